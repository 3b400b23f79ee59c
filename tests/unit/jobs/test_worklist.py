"""Lists of jobs: what is searched, sorted and counted follows what became of the jobs."""

import json
import time
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy

from pipeline.corrections.review import ReviewState
from pipeline.database.tables import CASES, WORKLIST
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import URGENT_PRIORITY
from pipeline.jobs.request import JobRequest
from pipeline.jobs.worklist import Order, WorklistQuery
from pipeline.names import JobState

NOW_MS = int(time.time() * 1000)
DAY_MS = 86_400_000


def _job(queue: JobQueue, number: int, status: str = "ENQUEUED", priority: int = 100, **output: Any) -> str:
    identity = f"{number:032x}"
    request = JobRequest(
        study=f"study-{number % 10}", study_instance_uid="1.2", decision={}, instances={}, model="net@1",
        destinations=None, origin="rest",
    )  # fmt: skip
    queue.enqueue_job(identity, request, priority)
    _become(queue, identity, status, created_at=NOW_MS - number * DAY_MS, output=json.dumps(output) if output else None)
    return identity


def _become(queue: JobQueue, identity: str, status: str, **values: Any) -> None:
    table = queue.client._sys_db.tables.workflow_status
    with queue.engine.begin() as connection:
        given = {"status": status, "updated_at": NOW_MS - DAY_MS + len(status)} | values
        connection.execute(sqlalchemy.update(table).where(table.c.workflow_uuid == identity).values(**given))


def _result(ml: float, *flags: str) -> dict[str, Any]:
    told = [{"code": code, "message": "", "hint": "", "detail": ""} for code in flags]
    return {"volumes_ml": {"WT": ml}, "flags": told, "objects": {"rtstruct": {"sop_instance_uid": "1.2.3"}}}


def _listed(queue: JobQueue, order: Order = Order.DATE, names: dict[str, str] | None = None, **query: Any) -> list[int]:
    page = queue.worklist.page(WorklistQuery(**query), order, 50, 0, lambda _: names or {})
    assert [view.id for view in queue.jobs_of(page)] == page
    return [int(one, 16) for one in page]


@pytest.fixture
def filled(queue: JobQueue) -> JobQueue:
    _job(queue, 1)
    _job(queue, 2, "PENDING", URGENT_PRIORITY)
    _job(queue, 3, "SUCCESS", result=_result(12.0, "LOW_CONTRAST", "MODEL_UNCERTAIN"))
    _job(queue, 4, "SUCCESS", result=_result(55.0), state="done")
    _job(queue, 5, "ERROR")
    _job(queue, 6, "CANCELLED", URGENT_PRIORITY)
    record = {"job": f"{4:032x}", "kind": "corrected", "received": "2026-01-02T00:00:00+00:00"}
    older = record | {"kind": "accepted", "received": "2026-01-01T00:00:00+00:00"}
    with queue.engine.begin() as connection:
        for version, one in ((2, record), (1, older)):
            row = {"id": f"{1:016x}-v{version}", "patient": "p", "study": "s", "fingerprint": "f", "bytes": 1}
            connection.execute(sqlalchemy.insert(CASES).values(**row, record=json.dumps(one)))
    return queue


def test_jobs_are_searched(filled: JobQueue) -> None:
    assert _listed(filled) == [1, 2, 3, 4, 5, 6]
    assert _listed(filled, states=(JobState.FAILED, JobState.CANCELLED)) == [5, 6]
    assert _listed(filled, flag="LOW_CONTRAST") == _listed(filled, flag="any") == [3]
    assert _listed(filled, flag="CONTRAST") == _listed(filled, flag="%") == []
    assert _listed(filled, flag="none") == [4]
    assert _listed(filled, least_ml=12.0) == [3, 4] and _listed(filled, most_ml=54.9) == [3]
    assert _listed(filled, reviews=(ReviewState.CORRECTED,)) == [4]
    assert _listed(filled, reviews=(ReviewState.AUTOMATIC, ReviewState.NONE)) == [1, 2, 3, 5, 6]
    assert _listed(filled, studies=("study-3", "study-5", "elsewhere")) == [3, 5]
    assert _listed(filled, studies=()) == [] and _listed(filled, study="study-4") == [4]
    assert _listed(filled, urgent=True) == [2, 6]
    day = date.fromtimestamp((NOW_MS - 3 * DAY_MS) / 1000)
    assert _listed(filled, since=day, until=day) == [3]
    assert _listed(filled, until=day - timedelta(days=1)) == [4, 5, 6]


def test_jobs_are_sorted(filled: JobQueue) -> None:
    _become(filled, f"{2:032x}", "PENDING", created_at=NOW_MS - 10)
    _become(filled, f"{1:032x}", "ENQUEUED", created_at=NOW_MS)
    assert _listed(filled, Order.URGENT) == [2, 1, 3, 4, 5, 6], "what was cancelled is not urgent any more"
    assert _listed(filled, Order.STATE) == [1, 2, 3, 4, 5, 6]
    assert _listed(filled, Order.VOLUME)[:2] == [4, 3]
    assert _listed(filled, Order.PRIORITY)[:2] == [2, 6]
    names = {"study-5": "adams", "study-1": "young", "study-4": "adams"}
    assert _listed(filled, Order.PATIENT, names) == [4, 5, 1, 2, 3, 6]


def test_jobs_are_counted_by_state_whichever_is_listed(filled: JobQueue) -> None:
    counts = filled.worklist.counts(WorklistQuery(states=(JobState.DONE,)))
    assert (counts.total, counts.states[JobState.DONE], counts.states[JobState.FAILED]) == (2, 2, 1)
    assert counts.flags == {"LOW_CONTRAST": 1, "MODEL_UNCERTAIN": 1}
    assert filled.worklist.counts(WorklistQuery(flag="any", states=(JobState.FAILED,))).total == 0


def test_what_changes_is_seen_at_once_and_what_is_gone_is_gone(filled: JobQueue) -> None:
    assert _listed(filled, states=(JobState.RUNNING,)) == [2]
    job = f"{2:032x}"
    _become(filled, job, "SUCCESS", output=json.dumps({"result": _result(1.0)}))
    # A delivery that notes nothing of its end in the job's own row.
    filled.report(job, **{"delivery.pacs": {"state": "running", "number": 1}})
    assert _listed(filled, states=(JobState.RUNNING,)) == [2]
    filled.report(job, **{"delivery.pacs": {"state": "done", "number": 1}})
    assert _listed(filled, reviews=(ReviewState.SENT,)) == [2]
    filled.forget_job(job)
    assert _listed(filled) == [1, 3, 4, 5, 6]


def test_nothing_is_read_twice_that_did_not_change(filled: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.worklist.follow()
    monkeypatch.setattr(filled.client, "list_workflows", lambda **_: pytest.fail("read again"))
    filled.worklist.follow()
    with filled.engine.connect() as connection:
        assert connection.execute(sqlalchemy.select(sqlalchemy.func.count()).select_from(WORKLIST)).scalar() == 6
