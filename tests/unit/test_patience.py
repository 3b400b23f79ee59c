"""The clock that tests wait by."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import FairClock, holds_within


@contextmanager
def _children(code: str, count: int) -> Iterator[list[subprocess.Popen[str]]]:
    started = [sys.executable, "-c", f"print(flush=True)\n{code}"]
    children = [subprocess.Popen(started, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()  # an interpreter that still starts asks for a processor, too
        yield children
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _passed(rounds: int = 4) -> tuple[float, float]:
    """Seconds on the wall and seconds that count."""
    began, clock = time.monotonic(), FairClock()
    for _ in range(rounds):
        time.sleep(0.5)
        clock.read()
    return time.monotonic() - began, clock.seconds


def test_seconds_of_waiting_processes_count_whole() -> None:
    # Not Python's: where coverage is measured it saves again and again.
    with _children("import os; os.execvp('sleep', ['sleep', '600'])", 2) as children:
        assert holds_within(lambda: all(_sleeps(child.pid) for child in children), 60)
        wall, counted = _passed()
    assert counted == pytest.approx(wall, rel=0.05)


def test_seconds_without_a_processor_count_less() -> None:
    with _children("while True: pass", 4 * (os.cpu_count() or 1)):
        wall, counted = _passed()
    assert counted < 0.7 * wall


def test_a_wait_ends_where_nothing_comes() -> None:
    assert not holds_within(lambda: False, 0.5)
    assert holds_within(lambda: True, 0)
