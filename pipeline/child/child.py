"""A child as its worker sees it: given tasks, waited for, ended."""

import math
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any, Final

from pipeline.child.task import STARVED_STATUS, Done, Progress, Report, StopAskedError, Task
from pipeline.errors import GlioLoopError

#: What a child is started with; a pipe's number follows, and for the list of processes the stage it starts with.
COMMAND: Final = [sys.executable, "-m", "pipeline.child"]
_LOOK_SECONDS: Final = 1.0
#: Imports and networks, on a slow and busy machine.
_STARTING_SECONDS: Final = 300.0


class ChildDiedError(Exception):
    """The child ended in the middle of a task."""


class OverdueError(Exception):
    """The task was over its deadline, and the child was killed."""


class CancelledError(Exception):
    """The task was cancelled, and the child was killed."""


class Child:
    """A process that does one task at a time.

    To be made in a thread that stays: the kernel ends the child when that thread ends.

    Parameters
    ----------
    first
        What it does before it is given anything, so that it stands ready.
    grace_seconds
        What a task that is cancelled has to come to an end where it next reports; 0: it is killed at once.
    """

    def __init__(self, first: Task, grace_seconds: float = 0.0) -> None:
        self._grace_seconds = grace_seconds
        self._pipe, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            command = [*COMMAND, str(number), first.stage]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=(number,))
        self._ready = False
        self._pipe.send(first)

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
                self._receive(_STARTING_SECONDS, lambda _fraction: None, cancelled)
                self._ready = True
            self._pipe.send(task)
            answer = self._receive(deadline_seconds, report, cancelled)
        except (EOFError, OSError) as error:
            status = self._process.wait()
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
        return self._process.poll() is not None

    @property
    def megabytes(self) -> float:
        """Memory it has resident; infinite where it is no more."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS"))
        except (OSError, StopIteration):
            return float("inf")

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            self._pipe.close()
