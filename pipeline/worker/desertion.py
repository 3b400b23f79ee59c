"""Whether each of the queue's jobs has somebody at work on it."""

from collections.abc import Callable, Collection
from typing import Final

from pipeline.jobs.queue import JobQueue

#: On a machine with far more to do than it can, a job that was taken from the queue has no thread for so long.
_STARTING_SECONDS: Final = 60.0


class Desertion:
    """Jobs that count as this worker's and that no thread is at work on: their end could not be written down.

    Only another process takes them up: DBOS hands a worker the jobs of its name when it starts.

    Parameters
    ----------
    queue
        The durable queue.
    executor
        This worker's name in it.
    at_work
        Ids of the workflows that threads of this process are at work on, until their end is written down.
    """

    def __init__(self, queue: JobQueue, executor: str, at_work: Callable[[], Collection[str]]) -> None:
        self._queue = queue
        self._executor = executor
        self._at_work = at_work
        self._before: set[str] = set()

    def found(self) -> set[str]:
        """Those of two looks in a row: one that is only just starting or ending is seen once."""
        now = set(self._queue.at_work(self._executor, _STARTING_SECONDS)) - set(self._at_work())
        lasting, self._before = now & self._before, now
        return lasting
