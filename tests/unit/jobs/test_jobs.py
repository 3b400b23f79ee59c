"""A job's identity is its content; what the queue's database holds is JSON."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy
from dbos import WorkflowStatus, error

from pipeline.case.identity import fresh_nonce, job_id
from pipeline.errors import GlioLoopError
from pipeline.jobs.backlog import Backlog
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import ARCHIVE, DEFAULT_PRIORITY, INTAKE_QUEUE, JOBS_QUEUE, LOW_PRIORITY, URGENT_PRIORITY
from pipeline.jobs.request import JobRequest, ProcessOptions
from pipeline.jobs.serializer import JsonSerializer
from pipeline.jobs.view import job_view
from pipeline.jobs.workflows.notify import _is_news

UIDS = ["1.2.3", "1.2.4", "1.2.5"]


def test_identity_is_the_content() -> None:
    one = job_id("study", UIDS, "net@1", {"series": {"t1": "1.9"}})
    assert one == job_id("study", list(reversed(UIDS)), "net@1", {"series": {"t1": "1.9"}})
    others = {
        job_id("study", UIDS[:2], "net@1", {"series": {"t1": "1.9"}}),
        job_id("study", UIDS, "net@2", {"series": {"t1": "1.9"}}),
        job_id("study", UIDS, "net@1", {"series": {"t1": "1.8"}}),
        job_id("study", UIDS, "net@1", {"series": {"t1": "1.9"}}, fresh_nonce()),
        job_id("study", UIDS, "net@1", {"series": {"t1": "1.9"}}, fresh_nonce()),
    }
    assert one not in others
    assert len(others) == 5


def test_errors_survive_the_database() -> None:
    serializer = JsonSerializer()
    error = serializer.deserialize(serializer.serialize(GlioLoopError("SEQUENCE_MISSING", "t2", {"a": [1]})))
    assert isinstance(error, GlioLoopError)
    assert (error.code, error.detail, error.data) == ("SEQUENCE_MISSING", "t2", {"a": [1]})
    unforeseen = serializer.deserialize(serializer.serialize(ValueError("no")))
    assert (unforeseen.code, unforeseen.detail) == ("INTERNAL", "ValueError")


def test_times_survive_the_database() -> None:
    serializer, moment = JsonSerializer(), datetime(2026, 1, 2, 3, 15, tzinfo=UTC)
    assert serializer.deserialize(serializer.serialize([moment, {"__time__": 1, "b": 2}])) == [
        moment,
        {"__time__": 1, "b": 2},
    ]


def test_only_json_is_stored() -> None:
    with pytest.raises(TypeError):
        JsonSerializer().serialize(object())


@pytest.mark.parametrize("model", ["../x@1", "a/b@1", "net@", "x" * 200])
def test_names_that_could_be_paths_are_refused(model: str) -> None:
    with pytest.raises(ValueError, match="model"):
        ProcessOptions(model=model)


def test_tables_that_are_still_being_made(tmp_path: Path) -> None:
    """A worker makes them one after the other: half of them are as good as none."""
    queue = JobQueue(f"sqlite:///{tmp_path / 'queue.sqlite'}")
    with pytest.raises(error.DBOSInitializationError):
        queue.require_tables()
    queue.client._sys_db.run_migrations()
    with pytest.raises(GlioLoopError, match="NODE_STARTING"):
        queue.require_tables()
    queue.make_tables()
    queue.make_tables()  # another worker
    queue.require_tables()
    with queue.client._sys_db.engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE dbos_migrations SET version = version - 1"))
    with pytest.raises(error.DBOSInitializationError):
        queue.require_tables()
    queue.close()


def _request(study: str) -> JobRequest:
    return JobRequest(
        study=study,
        study_instance_uid="1.2",
        decision={},
        instances={},
        model="net@1",
        destinations=None,
        origin="rest",
    )


def test_waiting_jobs_are_counted(queue: JobQueue) -> None:
    for number in range(5):
        queue.enqueue_job(f"{number:032x}", _request(f"study-{number}"))
    queue.enqueue_job(f"{0:032x}", _request("study-0"))  # the same again
    queue.enqueue_intake("study-9", "event", "stable")  # not a job
    queue.cancel(f"{1:032x}")
    assert queue.waiting() == 4


@pytest.mark.parametrize(
    ("delivery", "state", "code"),
    [
        ("PENDING", "running", None),
        ("CANCELLED", "cancelled", None),
        ("MAX_RECOVERY_ATTEMPTS_EXCEEDED", "failed", "TASK_DIED"),
        ("ERROR", "failed", "FORWARD_FAILED"),
    ],
)
def test_a_delivery_that_could_not_note_its_end(delivery: str, state: str, code: str | None) -> None:
    """The job does not run for ever in the eyes of those who wait for it."""
    status = WorkflowStatus()
    status.workflow_id, status.status, status.output, status.error = "a" * 32, "SUCCESS", {"result": {}}, None
    status.attributes = {"delivery.workstation": {"state": "waiting", "attempts": 1}}
    status.created_at = status.updated_at = 0
    status.recovery_attempts = 1
    view = job_view(status, {f"{'a' * 32}.workstation": delivery})
    assert view.state == state
    assert (view.error.code if view.error else None) == code


def test_a_sender_with_many_does_not_hold_up_another(queue: JobQueue) -> None:
    def place(name: str) -> int:
        """In the order in which the queue hands out."""
        query = sqlalchemy.text("SELECT workflow_uuid FROM workflow_status ORDER BY priority, created_at, rowid")
        with queue.client._sys_db.engine.connect() as connection:
            return [row[0] for row in connection.execute(query)].index(name)

    def send(sender: str, number: int, priority: int = DEFAULT_PRIORITY) -> str:
        queue.enqueue_job(f"{sender}-{number}", _request(f"study-{sender}-{number}"), priority, sender=sender)
        return f"{sender}-{number}"

    many = [send("MR1", number) for number in range(60)]
    assert [place(one) for one in many] == list(range(60))
    assert place(send("MR2", 0)) == 1
    assert place(send("MR2", 1)) == 3
    assert place(send("MR3", 0)) == 2
    assert place(send("MR1", 60)) == 63
    assert place(send("MR3", 1, URGENT_PRIORITY)) == 0
    assert place(send("MR3", 2, LOW_PRIORITY)) == 65


def test_backlog_counts_what_waits_and_not_what_is_put_off(queue: JobQueue) -> None:
    assert set(queue.backlog().values()) == {Backlog()}
    for number in range(3):
        queue.enqueue_intake(f"study-{number}", "stable-1", "stable")
    queue.enqueue_intake("study-0", "stable-1", "stable")  # the same event again
    queue.enqueue_intake("study-0", "forced-1", "forced", delay_seconds=3600)
    backlog = queue.backlog()[INTAKE_QUEUE]
    assert (backlog.waiting, backlog.running) == (3, 0)
    assert 0 <= backlog.oldest_seconds < 60
    assert queue.backlog()[JOBS_QUEUE] == Backlog()


def test_a_run_over_the_archive_is_news_to_nobody() -> None:
    asked = _request("study")
    assert _is_news(asked) and not _is_news(asked.model_copy(update={"origin": ARCHIVE}))
