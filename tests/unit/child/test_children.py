"""A child does tasks, and is ended by its deadline, its end, a cancellation or its worker's end, with a reason."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.child.child import CancelledError, Child, ChildDiedError, OverdueError
from pipeline.child.children import Children, Lent
from pipeline.child.task import STARVED_STATUS, Task
from pipeline.errors import GlioLoopError
from pipeline.settings import ROOT
from tests.patience import wait_for
from tests.unit.child import work


def _first() -> Task:
    return Task("", "start", work.nothing, ())


@pytest.fixture
def lent() -> Iterator[Lent]:
    with Children(_first, 0).lend() as lent:
        yield lent


def _run(lent: Lent, function: Callable[..., Any], *arguments: object, seconds: float = 300) -> Any:
    return lent.run(Task("job", "stage", function, arguments), seconds, lambda _fraction: None, lambda: False)


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_what_a_function_returns_and_reports(lent: Lent) -> None:
    told: list[float] = []
    pid = lent.run(Task("job", "stage", work.pid, ()), 300, told.append, lambda: False)
    assert pid != os.getpid()
    assert told == [0.5]
    assert _run(lent, work.pid) == pid, "one child for all tasks of a job"


@pytest.mark.parametrize(
    ("function", "code", "detail"),
    [
        (work.refuse, "NOT_A_VOLUME", "two slices"),
        (work.take_memory, "OUT_OF_MEMORY", "stage"),
        (work.refuse_for_want_of_memory, "OUT_OF_MEMORY", "stage"),
        (work.stumble, "INTERNAL", "stage: ValueError"),
    ],
)
def test_what_a_function_raises(lent: Lent, function: Callable[..., Any], code: str, detail: str) -> None:
    with pytest.raises(GlioLoopError) as raised:
        _run(lent, function)
    assert raised.value.code == code
    assert raised.value.detail.startswith(detail)
    assert "ZYXWHOLM" not in raised.value.detail
    assert raised.value.data == ({"slices": 2} if code == "NOT_A_VOLUME" else {})


def test_no_memory_to_say_so(lent: Lent) -> None:
    with pytest.raises(GlioLoopError) as raised:
        _run(lent, work.leave, STARVED_STATUS)
    assert raised.value.code == "OUT_OF_MEMORY"
    assert _run(lent, work.pid), "the next task has a child again"


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (work.die, (signal.SIGKILL,), "signal 9"),
        (work.die, (signal.SIGSEGV,), "signal 11"),
        (work.end_in_the_library, (), "signal 6"),
        (work.leave, (1,), "with 1"),
    ],
)
def test_a_child_that_dies(lent: Lent, function: Callable[..., Any], arguments: tuple[int, ...], words: str) -> None:
    with pytest.raises(ChildDiedError, match=words):
        _run(lent, function, *arguments)
    assert _run(lent, work.pid), "the next task has a child again"


@pytest.mark.parametrize(("seconds", "cancelled", "error"), [(0.2, False, OverdueError), (300, True, CancelledError)])
def test_deadline_and_cancellation_kill(lent: Lent, seconds: float, cancelled: bool, error: type[Exception]) -> None:
    pid = _run(lent, work.ignore_the_end)
    with pytest.raises(error):
        lent.run(Task("job", "stage", work.hang, ()), seconds, lambda _fraction: None, lambda: cancelled)
    assert _gone(pid)


def test_a_task_that_is_given_time_comes_to_its_end() -> None:
    child = Child(_first(), grace_seconds=60)
    try:
        for _ in range(2):
            task = Task("job", "stage", work.report_until_asked, ())
            assert child.run(task, math.inf, lambda _fraction: None, lambda: True) == "stopped"
    finally:
        child.end()


def test_one_that_does_not_use_its_time_is_killed() -> None:
    child = Child(_first(), grace_seconds=0.2)
    with pytest.raises(OverdueError):
        child.run(Task("job", "stage", work.hang, ()), math.inf, lambda _fraction: None, lambda: True)
    assert child.over


def test_a_child_serves_one_job_and_the_next_stands_ready() -> None:
    children = Children(_first, ahead=1)
    with children.lend() as lent:
        pid = _run(lent, work.pid)
    assert _gone(pid), "what a job left in memory is gone"
    with children.lend() as lent:
        assert _run(lent, work.pid) != pid


def test_a_small_child_is_kept_where_that_is_wanted() -> None:
    children = Children(_first, 0, kept_megabytes=1000)
    found = []
    for _ in range(2):
        with children.lend() as lent:
            found.append(_run(lent, work.pid))
    assert found[0] == found[1]
    os.kill(found[0], signal.SIGKILL)  # while nobody uses it


def test_it_ends_with_its_worker() -> None:
    program = """
import math
import os
from pipeline.child.children import Children
from pipeline.child.task import Task
from tests.unit.child import work
with Children(lambda: Task("", "start", work.nothing, ()), 0).lend() as lent:
    print(lent.run(Task("job", "stage", work.pid, ()), 300, lambda fraction: None, lambda: False), flush=True)
    lent.run(Task("job", "stage", work.hang, ()), 300, lambda fraction: None, lambda: False)
"""
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(worker.stdout.readline())
        worker.kill()
        wait_for(lambda: _gone(pid), 30, "the child's end")


def test_one_that_imports_for_all_is_replaced() -> None:
    """The process that forks the children is one that the kernel may kill, too."""
    with Children(_first, 0).lend() as lent:
        child = _run(lent, work.pid)
        server = _run(lent, work.parent)
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: _gone(child), 30, "the child's end")
        assert _run(lent, work.parent) != server


def test_what_the_first_task_returned_is_told() -> None:
    told: list[int] = []
    with Children(lambda: Task("", "start", work.pid, ()), 0, told=told.append).lend() as lent:
        assert _run(lent, work.pid) == told[0]


def test_its_name_tells_what_it_starts_with() -> None:
    with Children(_first, 0).lend() as lent:
        assert Path(f"/proc/{_run(lent, work.pid)}/comm").read_text() == "glioloop-start\n"
