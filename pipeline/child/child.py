"""A child as its worker sees it: given tasks, waited for, ended."""

import math
import multiprocessing
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pipeline.child import serve
from pipeline.child.task import STARVED_STATUS, Done, Progress, Report, StopAskedError, Task
from pipeline.errors import GlioLoopError

#: One process for all children of this one: it has imported what they need, and forks. It ends with this process, as
#: its children end with it.
_FORK_SERVER: Final = multiprocessing.get_context("forkserver")
_LOOK_SECONDS: Final = 1.0
#: Imports and networks, on a slow and busy machine.
_STARTING_SECONDS: Final = 300.0


class ChildDiedError(Exception):
    """The child ended in the middle of a task."""


class OverdueError(Exception):
    """The task was over its deadline, and the child was killed."""


class CancelledError(Exception):
    """The task was cancelled, and the child was killed."""


def import_ahead(module: str) -> None:
    """Have a module imported once, for all children; to be called before the first is made."""
    _FORK_SERVER.set_forkserver_preload([module])


class Child:
    """A process that does one task at a time.

    Parameters
    ----------
    first
        What it does before it is given anything, so that it stands ready.
    grace_seconds
        What a task that is cancelled has to come to an end where it next reports; 0: it is killed at once.
    told
        Given what the first task returned.

    Raises
    ------
    ChildDiedError
        It could not be started.
    """

    def __init__(
        self, first: Task, grace_seconds: float = 0.0, told: Callable[[Any], None] = lambda _value: None
    ) -> None:
        self._grace_seconds = grace_seconds
        self._told = told
        self._pipe, theirs = multiprocessing.Pipe()
        with theirs:
            # Named by the stage it starts with, for the list of processes; daemon: not waited for at this one's end.
            self._process = _FORK_SERVER.Process(target=serve.main, args=(theirs,), name=first.stage, daemon=True)
            try:
                self._process.start()
                self._pipe.send(first)
            except (EOFError, OSError) as error:
                raise ChildDiedError(f"not started: {type(error).__name__}") from error
        self._ready = False

    def run(self, task: Task, deadline_seconds: float, report: Report, cancelled: Callable[[], bool]) -> Any:
        """Do a task and return what its function returns.

        Parameters
        ----------
        deadline_seconds
            From when the child is ready. Not by the wall clock, which may jump.
        report
            Told the progress.
        cancelled
            Asked every second.

        Raises
        ------
        GlioLoopError
            What the function raised; OUT_OF_MEMORY, DISK_FULL or INTERNAL for what else it ended with.
        ChildDiedError, OverdueError, CancelledError
            The child is no more.
        """
        try:
            if not self._ready:
                # What went wrong there goes wrong again where it is needed, and is told there.
                begun = self._receive(_STARTING_SECONDS, lambda _fraction: None, cancelled)
                self._ready = True
                if isinstance(begun, Done):
                    self._told(begun.value)
            self._pipe.send(task)
            answer = self._receive(deadline_seconds, report, cancelled)
        except (EOFError, OSError) as error:
            self._process.join()
            status = self._process.exitcode or 0
            if status == STARVED_STATUS:
                raise GlioLoopError("OUT_OF_MEMORY", task.stage) from error
            raise ChildDiedError(f"ended by signal {-status}" if status < 0 else f"ended with {status}") from error
        except (OverdueError, CancelledError):
            self.end()
            raise
        if isinstance(answer, Done):
            return answer.value
        raise answer

    def _receive(self, seconds: float, report: Report, cancelled: Callable[[], bool]) -> Any:
        """Wait for an answer that is more than progress."""
        asked = time.monotonic()
        end = asked + seconds
        while (now := time.monotonic()) < end:
            if self._pipe.poll(min(_LOOK_SECONDS, end - now)):
                answer = self._pipe.recv()
                if not isinstance(answer, Progress):
                    return answer
                report(answer.fraction)
            if now - asked >= _LOOK_SECONDS:
                asked = now
                if not cancelled():
                    continue
                if not self._grace_seconds:
                    raise CancelledError
                self._pipe.send(StopAskedError())
                asked, end = math.inf, now + self._grace_seconds
        raise OverdueError

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._process.exitcode is not None

    @property
    def megabytes(self) -> float:
        """Memory that it shares with no other; infinite where it is no more."""
        try:
            lines = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            return math.inf
        return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Private_"))

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.join()
        with suppress(OSError):
            self._pipe.close()
