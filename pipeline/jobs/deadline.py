"""Deadlines: a stage that hangs costs its worker, not the queue.

A stage runs in a thread, which Python can't end. So the process ends itself when a stage is over its
deadline; the supervisor starts it again, and the job's next try finds out how often that happened.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: How often a stage may run over its deadline before its job fails.
TRIES: Final = 2
#: Exit status of a worker that ended itself (EX_TEMPFAIL).
OVERDUE_STATUS: Final = 75
#: Exit status of a worker whose queue is no whole database (EX_DATAERR).
DAMAGED_STATUS: Final = 65


class StageWatch:
    """The stages at work in this process.

    Parameters
    ----------
    clock
        Seconds that never run backwards: a deadline must not depend on the wall clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[tuple[str, str], float] = {}

    @contextmanager
    def at_work(self, identity: str, stage: str) -> Iterator[None]:
        """Note that a stage of a job is at work for as long as the block runs."""
        with self._lock:
            self._since[identity, stage] = self._clock()
        try:
            yield
        finally:
            with self._lock:
                del self._since[identity, stage]

    def overdue(self, seconds: float) -> list[tuple[str, str]]:
        """Job and stage of everything at work for longer than this."""
        now = self._clock()
        with self._lock:
            return [key for key, since in self._since.items() if now - since > seconds]


#: This process's stages.
WATCH: Final = StageWatch()
