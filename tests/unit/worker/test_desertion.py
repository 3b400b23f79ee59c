"""What a worker ends over: jobs that nobody is at work on."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import WORKFLOWS_VERSION
from pipeline.jobs.request import JobRequest
from pipeline.settings import Settings
from pipeline.worker.desertion import Desertion

JOB = "a" * 32
_STARTED = "UPDATE workflow_status SET status='PENDING', executor_id='worker-0', application_version=:version"


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings with a queue in which a job counts as this worker's."""
    made = Settings(state_folder=tmp_path)
    queue = JobQueue(made.queue_database_url)
    queue.make_tables()
    request = JobRequest(
        study="s", study_instance_uid="1.2", decision={}, instances={}, model="m@1", destinations=None, origin="rest"
    )
    queue.enqueue_job(JOB, request)
    with sqlalchemy.create_engine(made.queue_database_url).begin() as connection:
        connection.execute(sqlalchemy.text(_STARTED), {"version": WORKFLOWS_VERSION})
    yield made
    queue.close()


def _desertion(settings: Settings, executor: str = "worker-0", at_work: tuple[str, ...] = ()) -> Iterator[set[str]]:
    queue = JobQueue(settings.queue_database_url)
    desertion = Desertion(queue, executor, lambda: at_work)
    yield desertion.found()
    yield desertion.found()
    queue.close()


def test_a_job_that_nobody_is_at_work_on(settings: Settings) -> None:
    """Seen twice: one that is only just starting or ending is seen once."""
    assert list(_desertion(settings)) == [set(), {JOB}]


def test_a_job_that_was_just_taken_from_the_queue_is_starting(settings: Settings) -> None:
    """On a busy machine its thread comes later than two looks."""
    with sqlalchemy.create_engine(settings.queue_database_url).begin() as connection:
        begun = sqlalchemy.text("UPDATE workflow_status SET started_at_epoch_ms = :at")
        connection.execute(begun, {"at": int((time.time() - 30) * 1000)})
    assert list(_desertion(settings)) == [set(), set()]


def test_jobs_at_work_and_those_of_others_are_left(settings: Settings) -> None:
    assert list(_desertion(settings, at_work=(JOB,))) == [set(), set()]
    assert list(_desertion(settings, "worker-1")) == [set(), set()]


def test_jobs_of_another_version_are_left(settings: Settings) -> None:
    """DBOS hands them to no worker of this version: to start anew because of them would never end."""
    with sqlalchemy.create_engine(settings.queue_database_url).begin() as connection:
        connection.execute(sqlalchemy.text(_STARTED), {"version": "0.0"})
    assert list(_desertion(settings)) == [set(), set()]
