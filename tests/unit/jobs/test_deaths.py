"""What worker after worker died of is told by those who still live; an acceptance that failed is shown as such."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from dbos import EnqueueOptions

from pipeline.case.identity import study_prefix
from pipeline.corrections.decisions import Decisions
from pipeline.corrections.review import ReviewState, review_of, reviews_of
from pipeline.corrections.store import CorrectionStore
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.acceptance import enqueue_acceptance, failed_acceptances
from pipeline.jobs.deaths import hand_over
from pipeline.jobs.fetching import enqueue_fetch, fetches
from pipeline.jobs.notifications import notice_of
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import DeliveryTry, JobRequest, acceptance_id
from pipeline.jobs.serializer import JsonSerializer
from pipeline.jobs.workflows.notify import announce_deaths
from pipeline.jobs.worklist import Order, WorklistQuery
from pipeline.names import Event
from pipeline.settings import Notify, StudyQuery
from pipeline.settings.corrections import CorrectionPolicy

DIED = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"


def _identity(number: int) -> str:
    return study_prefix(f"study-{number}").ljust(32, "0")


JOB = _identity(1)
CHANNEL = {"Name": "it", "Webhook": "http://127.0.0.1:9/"}
RESULT = {"result": {"objects": {"rtstruct": {"sop_instance_uid": "1.2.3"}}}, "state": "done"}


def _job(queue: JobQueue, number: int, **request: Any) -> str:
    asked: dict[str, Any] = {"destinations": None, "origin": "rest"}
    one = JobRequest(
        study=f"study-{number}", study_instance_uid=f"1.2.{number}", decision={}, instances={}, model="net@1",
        **asked | request,
    )  # fmt: skip
    identity = _identity(number)
    queue.enqueue_job(identity, one)
    return identity


def _become(queue: JobQueue, identity: str, status: str, **values: object) -> None:
    table = queue.client._sys_db.tables.workflow_status
    with queue.engine.begin() as connection:
        change = sqlalchemy.update(table).where(table.c.workflow_uuid == identity)
        assert connection.execute(change.values(status=status, **values)).rowcount == 1


def _ended(queue: JobQueue, number: int) -> str:
    """A job that has made contours."""
    identity = _job(queue, number)
    _become(queue, identity, "SUCCESS", output=JsonSerializer().serialize(RESULT))
    return identity


def _delivery(queue: JobQueue, destination: str, status: str, noted: str, number: int = 1) -> None:
    one = DeliveryTry(job=JOB, destination=destination, resources=["r"])
    queue.client.enqueue(one.options(), one.model_dump(mode="json"))
    queue.report(JOB, **{one.key: {"state": noted, "number": number, "attempts": 1}})
    _become(queue, one.options()["workflow_id"], status)


def _told(queue: JobQueue, *channels: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Code and StudyInstanceUID of what is told, after two looks, by what it is about."""
    for _ in range(2):
        announce_deaths(queue, Notify.model_validate({"Channels": channels or [CHANNEL]}))
    told = queue.client.list_workflows(name="notify", load_output=False)
    notices = [one.input["args"][0]["notice"] for one in told if one.input]
    assert len({one["key"] for one in notices}) == len(notices), "once"
    return {one["key"].split("-", 1)[1].rsplit("-", 3)[0]: (one["code"], one["study_instance_uid"]) for one in notices}


def test_a_job_that_workers_died_of_is_told_once(queue: JobQueue) -> None:
    """Its workflow can't tell of it any more; the node's test study is still nobody's news."""
    for job in (_job(queue, 1), _job(queue, 2, destinations=(), origin="check")):
        _become(queue, job, DIED)
    _job(queue, 3)
    assert _told(queue) == {JOB: ("WORKER_DIED", "1.2.1")}
    (one,) = queue.notifications.listed(10)
    assert (one.channel, one.event, one.job) == ("it", "failed", JOB)


def test_a_delivery_that_could_not_write_its_end_down_is_told(queue: JobQueue) -> None:
    _ended(queue, 1)
    _delivery(queue, "pacs", DIED, "running")
    _delivery(queue, "archive", "ERROR", "running")
    _delivery(queue, "told", "ERROR", "failed")  # by itself
    _delivery(queue, "again", DIED, "waiting", number=2)  # a person has asked for it again
    _delivery(queue, "well", "SUCCESS", "done")
    _delivery(queue, "stopped", "CANCELLED", "running")  # by a person
    assert _told(queue) == {
        f"{JOB}.pacs.1": ("TASK_DIED", "1.2.1"),
        f"{JOB}.archive.1": ("FORWARD_FAILED", "1.2.1"),
    }
    shown = queue.job(JOB)
    assert shown is not None
    assert (shown.deliveries["pacs"].error or ErrorRecord(code="")).code == "TASK_DIED"
    standing = queue.deliveries.standings()["pacs"]
    assert (standing.failed, (standing.error or ErrorRecord(code="")).code) == (1, "TASK_DIED")


def test_a_delivery_that_workers_died_of_is_handed_over(queue: JobQueue) -> None:
    """Once, and after it was told; the job is done when its alternate has it."""
    _ended(queue, 1)
    _delivery(queue, "pacs", DIED, "running")
    _delivery(queue, "archive", DIED, "running")  # which has no alternate
    _delivery(queue, "told", "ERROR", "failed")
    assert f"{JOB}.pacs.1" in _told(queue)
    alternates = {"pacs": "spare", "told": "spare"}
    day = datetime.now(UTC) - timedelta(days=1)
    assert hand_over(queue, alternates.get, day) == [f"{JOB}.pacs.1"]
    assert hand_over(queue, alternates.get, day) == []
    assert f"{JOB}.pacs.1" in _told(queue)
    shown = queue.job(JOB)
    assert shown is not None
    pacs, spare = shown.deliveries["pacs"], shown.deliveries["spare"]
    assert (pacs.state, pacs.replaced_by, (pacs.error or ErrorRecord(code="")).code) == ("failed", "spare", "TASK_DIED")
    assert spare.state == "queued"
    (sent,) = queue.client.list_workflows(workflow_ids=[f"{JOB}.spare.1"])
    assert sent.input is not None
    assert sent.input["args"][0]["resources"] == ["r"]


def test_whatever_else_workers_died_of_is_told(queue: JobQueue) -> None:
    _ended(queue, 1)
    queue.enqueue_corrections("study-1", "stable")
    queue.enqueue_course("study-9", "stable")  # of which there is no job
    fetch = enqueue_fetch(queue, StudyQuery(modality="pacs", study="1.2.3"), "ann")
    options = EnqueueOptions(workflow_name="edit", queue_name="glioloop-feedback", workflow_id="edit-0")
    queue.client.enqueue(options, "study-1", JOB, "edit-0", {}, "ann", "2026-01-01T00:00:00+00:00")
    for identity in ("feedback-study-1-stable", "course-study-9-stable", fetch, "edit-0"):
        _become(queue, identity, DIED)
    assert _told(queue) == {
        "feedback-study-1-stable": ("TASK_DIED", "1.2.1"),
        "course-study-9-stable": ("TASK_DIED", ""),
        fetch: ("TASK_DIED", ""),
        "edit-0": ("TASK_DIED", "1.2.1"),
    }
    assert {one.job for one in queue.notifications.listed(10)} == {"", JOB}
    (shown,) = fetches(queue)
    assert (shown.error or ErrorRecord(code="")).code == "TASK_DIED"
    assert _told(queue, {"Name": "calm", "Webhook": "http://127.0.0.1:9/", "Events": ["done"]}) == _told(queue)


def test_of_what_could_not_be_told_nobody_is_told(queue: JobQueue) -> None:
    """It would go on for ever; the list of what was told and the digest have it."""
    queue.notifications.announce(
        Notify.model_validate({"Channels": [CHANNEL]}), notice_of(Event.UNWELL, "archive", ErrorRecord(code="X"))
    )
    (sent,) = queue.client.list_workflows(name="notify")
    ended = datetime.now(UTC)
    _become(queue, sent.workflow_id, DIED, completed_at=int(ended.timestamp() * 1000))
    announce_deaths(queue, Notify.model_validate({"Channels": [CHANNEL]}))
    (one,) = queue.notifications.listed(10)
    assert (one.state, (one.error or ErrorRecord(code="")).code) == ("failed", "TASK_DIED")
    assert queue.notifications.failed(ended - timedelta(hours=1)) == {"it": 1}
    assert queue.notifications.failed(ended + timedelta(hours=1)) == {}


@pytest.mark.parametrize("status", ["ERROR", DIED])
def test_an_acceptance_that_failed_is_none(queue: JobQueue, tmp_path: Path, status: str) -> None:
    """It is told and shown, found in lists, outlives what is swept up, and may be accepted again or sent back."""
    _ended(queue, 1)
    store, decisions = CorrectionStore(tmp_path / "s", queue.engine, CorrectionPolicy()), Decisions(queue.engine)
    job = queue.job(JOB)
    assert job is not None
    enqueue_acceptance(queue, job, decisions.accept(JOB, "ann"))

    def states() -> list[ReviewState]:
        failed = failed_acceptances(queue, [JOB])
        (row,) = queue.worklist.rows(WorklistQuery())
        by_study = review_of(store, "study-1", "1.2.1", [job], failed)
        return [reviews_of(store, [job], failed)[JOB].state, by_study.state, row.review]

    assert states() == [ReviewState.ACCEPTED] * 3
    error = JsonSerializer().serialize(GlioLoopError("RESULT_LACKING", "gone")) if status == "ERROR" else None
    _become(queue, acceptance_id(JOB), status, error=error)
    assert states() == [ReviewState.ACCEPT_FAILED] * 3
    found = WorklistQuery(reviews=(ReviewState.ACCEPT_FAILED,))
    assert queue.worklist.page(found, Order.DATE, 10, 0, lambda _: {}) == [JOB]
    code = "RESULT_LACKING" if status == "ERROR" else "TASK_DIED"
    assert failed_acceptances(queue, [JOB])[JOB].code == code
    assert _told(queue) == {acceptance_id(JOB): (code, "1.2.1")}
    queue.drop_inspections(datetime.now(UTC).timestamp() + 60)
    assert states() == [ReviewState.ACCEPT_FAILED] * 3

    decisions.send_back(JOB, "bob", "too large", failed=True)
    assert states() == [ReviewState.SENT_BACK] * 3
    enqueue_acceptance(queue, job, decisions.accept(JOB, "bob"))
    assert states() == [ReviewState.ACCEPTED] * 3
    (again,) = queue.client.list_workflows(workflow_ids=[acceptance_id(JOB)])
    assert again.input is not None
    assert (again.status, again.input["args"][2]) == ("ENQUEUED", "bob")
    queue.forget_job(JOB)
    assert queue.client.list_workflows(workflow_ids=[acceptance_id(JOB)]) == []
