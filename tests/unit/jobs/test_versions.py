"""Versions of the worker beside one another: what an earlier one leaves is gone on with, and it gets nothing new."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.corrections.edits import AskedConsensus, Edits
from pipeline.jobs import queues
from pipeline.jobs.checks import CheckOptions
from pipeline.jobs.finetuning import FinetuneOptions
from pipeline.jobs.notifications import Telling
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import WORKFLOWS_VERSION
from pipeline.jobs.request import DeliveryTry, JobRequest
from pipeline.settings import Settings
from pipeline.settings.fetch import StudyQuery

JOB = "a" * 32
#: What each version reads from the queue; an earlier version's line stays as it is.
QUEUED = {"2": "aff6ba26dc2a", "3": "96dea3bb5ce0", "4": "62a5eb46efb9"}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    made = JobQueue(Settings(state_folder=tmp_path).queue_database_url)
    made.make_tables()
    made.enqueue_job(
        JOB,
        JobRequest(
            study="s", study_instance_uid="1.2", decision={}, instances={}, model="m", destinations=None, origin="rest"
        ),
    )
    yield made
    made.close()


def _row(queue: JobQueue, **values: str | None) -> tuple[str, str]:
    """Set columns of the job's row; return its status and version."""
    with queue.engine.begin() as connection:
        for name, value in values.items():
            connection.execute(sqlalchemy.text(f"UPDATE workflow_status SET {name} = :value"), {"value": value})
        row = connection.execute(sqlalchemy.text("SELECT status, application_version FROM workflow_status")).one()
    return row.status, row.application_version


def _steps(queue: JobQueue) -> int:
    with queue.engine.begin() as connection:
        return int(connection.execute(sqlalchemy.text("SELECT count(*) FROM operation_outputs")).scalar_one())


def _record_a_step(queue: JobQueue) -> None:
    with queue.engine.begin() as connection:
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO operation_outputs (workflow_uuid, function_id, function_name) VALUES (:id, 1, 'former')"
            ),
            {"id": JOB},
        )


def test_what_is_queued_is_for_the_latest_version(queue: JobQueue) -> None:
    """DBOS gives a row without a version to the latest one alone."""
    assert _row(queue) == ("ENQUEUED", None)


@pytest.mark.parametrize("status", ["ENQUEUED", "DELAYED"])
def test_what_an_earlier_version_queued_is_done(queue: JobQueue, status: str) -> None:
    _row(queue, status=status, application_version="1")
    queue.adopt_queued()
    assert _row(queue) == (status, WORKFLOWS_VERSION)


def test_an_earlier_version_that_comes_later_is_not_the_latest(queue: JobQueue) -> None:
    client = queue.client
    for version in (WORKFLOWS_VERSION, "1"):
        client._sys_db.create_application_version(version)
    client.set_latest_application_version("1")
    queue.adopt_queued()
    assert client.get_latest_application_version()["version_name"] == WORKFLOWS_VERSION


def test_what_an_earlier_version_is_at_work_on_is_left_to_it(queue: JobQueue) -> None:
    _row(queue, status="PENDING", application_version="1", executor_id="old")
    _record_a_step(queue)
    queue.adopt_queued()
    queue.adopt_begun("other")
    assert _row(queue) == ("PENDING", "1")
    assert _steps(queue) == 1


def test_what_a_worker_of_an_earlier_version_left_is_begun_anew(queue: JobQueue) -> None:
    _row(queue, status="PENDING", application_version="1", executor_id="old")
    _record_a_step(queue)
    assert queue.executors_at_work() == ["old"]
    assert queue.take_over("old") == [JOB]
    assert _row(queue) == ("ENQUEUED", WORKFLOWS_VERSION)
    assert _steps(queue) == 0


def test_the_steps_of_this_version_are_gone_on_with(queue: JobQueue) -> None:
    _row(queue, status="PENDING", application_version=WORKFLOWS_VERSION, executor_id="gone")
    _record_a_step(queue)
    assert queue.take_over("gone") == [JOB]
    assert _steps(queue) == 1


def test_a_later_version_s_are_left_alone(queue: JobQueue) -> None:
    later = str(int(WORKFLOWS_VERSION) + 1)
    for status in ("ENQUEUED", "PENDING"):
        _row(queue, status=status, application_version=later, executor_id="newer")
        queue.adopt_queued()
        assert queue.take_over("newer") == []
        assert _row(queue) == (status, later)


def test_the_version_is_raised_with_what_is_queued() -> None:
    """Where this fails, raise WORKFLOWS_VERSION and add its line: workers of the version before would misread it."""
    read = (JobRequest, DeliveryTry, FinetuneOptions, Telling, CheckOptions, StudyQuery, Edits, AskedConsensus)
    shapes = {one.__name__: sorted(one.model_fields) for one in read}
    workflows = sorted(value for name, value in vars(queues).items() if name.endswith("_WORKFLOW"))
    known = hashlib.sha256(json.dumps([shapes, workflows], sort_keys=True).encode()).hexdigest()[:12]
    assert {WORKFLOWS_VERSION: known}.items() <= QUEUED.items(), known
