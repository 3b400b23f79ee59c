"""More jobs are taken up than infer at once."""

import threading
import time

import pytest
from dbos import error as dbos_error

from pipeline.child.children import Children, Lent
from pipeline.child.task import Task
from pipeline.jobs import tasks
from pipeline.jobs.workflows import turns
from pipeline.jobs.workflows.children import Job
from tests.patience import wait_for


@pytest.fixture
def lent() -> Lent:
    """A loan that is never used: no child is started for it."""
    return Lent(Children(lambda: Task("", "start", tasks.nothing, ()), 0))


def test_one_waits_for_the_other(lent: Lent) -> None:
    inside: list[str] = []
    go = threading.Event()

    def infer(identity: str) -> None:
        with turns.turn(Job(identity, lent)):
            inside.append(identity)
            go.wait(60)

    first = threading.Thread(target=infer, args=("first",))
    first.start()
    wait_for(lambda: inside == ["first"], 30, "the first one's turn")
    second = threading.Thread(target=infer, args=("second",))
    second.start()
    time.sleep(0.1)
    assert inside == ["first"]
    go.set()
    first.join()
    second.join()
    assert inside == ["first", "second"]


def test_a_turn_ends_with_an_error(lent: Lent) -> None:
    with pytest.raises(ValueError, match="no"), turns.turn(Job("first", lent)):
        raise ValueError("no")
    with turns.turn(Job("second", lent)):
        pass


def test_one_that_is_cancelled_waits_no_longer(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "cancelled", lambda identity: identity == "second")
    with (
        turns.turn(Job("first", lent)),
        pytest.raises(dbos_error.DBOSWorkflowCancelledError),
        turns.turn(Job("second", lent)),
    ):
        pass
