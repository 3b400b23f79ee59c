"""Waiting that follows the processors, not the clock on the wall.

A test that waits 60 seconds for a node means: 60 seconds in which the node could work. On a machine that others keep
busy, its processes spend a part of that time ready to run and without a processor. Linux counts that time
(``/proc/PID/task/TID/schedstat``: nanoseconds on a processor, nanoseconds of waiting for one), so a second counts
here as far as the processes below this one had what they asked for.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

#: How much longer than usual to wait for things to happen, whatever the reason.
PATIENCE = float(os.environ.get("GLIOLOOP_PATIENCE", "1"))
#: A second counts at least this much: what is ready to run for ever and never runs ends the wait, too.
LEAST = 0.05
#: How often a wait reads the clock: it looks at every thread of every process below, which takes a processor, too.
READ_SECONDS = 1.0
#: Processes that asked for less than this share of a second were waiting for something other than a processor.
IDLE = 0.02


class FairClock:
    """Seconds in which the processes below this one could work."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._moment = time.monotonic()
        self._seen = dict(_schedules(os.getpid()))

    def read(self) -> float:
        """Return the seconds that count since the clock was made; ask at least once a second."""
        moment, schedules = time.monotonic(), dict(_schedules(os.getpid()))
        passed, ran, waited = moment - self._moment, 0, 0
        for thread, (run, wait) in schedules.items():
            before = self._seen.get(thread, (0, 0))
            ran, waited = ran + run - before[0], waited + wait - before[1]
        asked = ran + waited
        share = ran / asked if asked > IDLE * passed * 1e9 else 1.0
        self.seconds += passed * max(share, LEAST)
        self._moment, self._seen = moment, schedules
        return self.seconds


def _schedules(root: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Nanoseconds run and waited, by thread, of every process below ``root``; it is not one of them."""
    for process in descendants(root):
        for thread in Path(f"/proc/{process}/task").glob("*"):
            try:
                run, wait, _ = (thread / "schedstat").read_text().split()
            except (OSError, ValueError):
                continue  # it has just ended, or this kernel does not count
            yield str(thread), (int(run), int(wait))


def descendants(root: int) -> list[int]:
    """Processes below another, which is none of them."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found, ahead = [], [root]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def holds_within(condition: Callable[[], bool], seconds: float, poll_seconds: float = 0.2) -> bool:
    """Whether a condition comes to hold while the processes below this one have ``seconds`` to work in."""
    clock, last = FairClock(), time.monotonic()
    while True:
        if condition():
            return True
        if time.monotonic() - last > min(READ_SECONDS, seconds):
            if clock.read() > seconds * PATIENCE:
                return False
            last = time.monotonic()
        time.sleep(poll_seconds)


def wait_for(condition: Callable[[], bool], seconds: float, what: str | Callable[[], str]) -> None:
    """Wait until a condition holds; fail the test where it does not in time.

    Parameters
    ----------
    condition
        Asked a few times a second.
    seconds
        Of a machine that has nothing else to do.
    what
        What is waited for, or how to tell it once the wait has failed.
    """
    if not holds_within(condition, seconds):
        pytest.fail(f"waited {seconds * PATIENCE:g} s for {what if isinstance(what, str) else what()}")


def wait_while_moving(condition: Callable[[], bool], progress: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until a condition holds; fail the test where nothing moves for so long.

    Parameters
    ----------
    condition
        Asked a few times a second.
    progress
        Gives something that changes while work goes on; what began it and how long it takes does not matter then.
    seconds
        Of a machine that has nothing else to do, in which nothing changes.
    what
        What is waited for.
    """
    while True:
        last = progress()
        if holds_within(lambda last=last: condition() or progress() != last, seconds):  # type: ignore[misc]
            if condition():
                return
        else:
            pytest.fail(f"nothing moved for {seconds * PATIENCE:g} s while waiting for {what}; last seen: {last}")


def wait_for_end(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """Wait for a process to end and return what it wrote; kill it and fail the test where it does not end in time."""
    clock = FairClock()
    while True:
        try:
            return process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            if clock.read() > seconds * PATIENCE:
                process.kill()
                out, told = process.communicate()
                pytest.fail(f"{process.args} did not end in {seconds * PATIENCE:g} s:\n{out}\n{told}")
