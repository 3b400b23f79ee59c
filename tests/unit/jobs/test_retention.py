"""Ended jobs go by age and size, with a record; nothing goes that is at work, and no study is asked about anew."""

import os
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.audit import AuditTrail
from pipeline.case.identity import content_of
from pipeline.database.engine import database_in
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import DeliveryTry, JobRequest
from pipeline.jobs.workflows.retention import clean
from pipeline.settings import Settings, load_settings

NOW = 2_000_000_000.0
DAY = 86_400.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(
        {"StateFolder": str(tmp_path), "Retention": {"JobDays": 100, "JobGigabytes": 1e-3, "LookDays": 10}}
    )


def _request(number: int) -> JobRequest:
    return JobRequest(
        study=f"study-{number}",
        study_instance_uid="1.2",
        decision={},
        instances={"1.2.3": [f"image-{number}"]},
        model="net@1",
        destinations=None,
        origin="stable",
        content=content_of([f"image-{number}"]),
    )


def _end(queue: JobQueue, workflow: str, days_ago: float, status: str = "SUCCESS") -> None:
    table = queue.client._sys_db.tables.workflow_status
    with queue.engine.begin() as connection:
        connection.execute(
            sqlalchemy.update(table)
            .where(table.c.workflow_uuid == workflow)
            .values(status=status, updated_at=int((NOW - days_ago * DAY) * 1000))
        )


def _job(queue: JobQueue, settings: Settings, number: int, days_ago: float, size: int = 1000) -> str:
    identity = f"{number:032x}"
    queue.enqueue_job(identity, _request(number))
    folder = settings.jobs_folder / identity / "objects"
    folder.mkdir(parents=True)
    (folder / "preview.png").write_bytes(b"x" * size)
    _end(queue, identity, days_ago)
    return identity


def _folders(settings: Settings) -> set[str]:
    return {one.name for one in settings.jobs_folder.iterdir()}


def test_by_age(queue: JobQueue, settings: Settings) -> None:
    old, young, waiting = (_job(queue, settings, number, days) for number, days in ((1, 101), (2, 99), (3, 200)))
    one = DeliveryTry(job=waiting, destination="w", resources=[])
    queue.client.enqueue(one.options(3600), one.model_dump())
    sent = DeliveryTry(job=old, destination="w", resources=[])
    queue.client.enqueue(sent.options(), sent.model_dump())
    _end(queue, f"{old}.w.1", 101)
    running = _job(queue, settings, 4, 300)
    _end(queue, running, 300, "PENDING")
    stray = settings.jobs_folder / "f".rjust(32, "0")
    stray.mkdir()
    os.utime(stray, (NOW - 101 * DAY,) * 2)
    trail = AuditTrail(database_in(settings.state_folder))

    done = clean(settings, queue, trail, NOW)
    assert (done["jobs"], done["folders"], done["bytes"]) == (1, 2, 1000)
    assert _folders(settings) == {young, waiting, running}
    assert queue.job(old) is None and all(queue.job(one) for one in (young, waiting, running))
    assert not queue.client.list_workflows(workflow_ids=[f"{old}.w.1"])
    assert queue.client.list_workflows(workflow_ids=[f"{waiting}.w.1"])
    removed = {(one.subject, one.data["why"]) for one in trail.entries() if one.event == "removed"}
    assert removed == {(old, "age"), (stray.name, "no such job")}
    # What was decided stands: an automatic look at the old study does nothing.
    assert queue.same_input(_request(1)) == old
    assert queue.same_input(_request(9)) is None
    assert sum(clean(settings, queue, trail, NOW).values()) == 0


def test_by_size_the_oldest_files_go_and_the_jobs_stay_listed(queue: JobQueue, settings: Settings) -> None:
    size = int(0.4e-3 * 1024**3)
    jobs = [_job(queue, settings, number, 50 - number, size) for number in range(4)]
    done = clean(settings, queue, AuditTrail(database_in(settings.state_folder)), NOW)
    assert (done["jobs"], done["folders"]) == (0, 2)
    assert _folders(settings) == set(jobs[2:])
    assert all(queue.job(one) for one in jobs)


def test_looks_go_sooner_and_only_ended_ones(queue: JobQueue, settings: Settings) -> None:
    for number in range(3):
        queue.enqueue_intake(f"study-{number}", "stable-1", "stable")
    _end(queue, "intake-study-0-stable-1", 11)
    _end(queue, "intake-study-1-stable-1", 9)
    assert clean(settings, queue, AuditTrail(database_in(settings.state_folder)), NOW)["looks"] == 1
    left = {one.workflow_id for one in queue.client.list_workflows(name="intake")}
    assert left == {"intake-study-1-stable-1", "intake-study-2-stable-1"}


def test_zero_keeps_everything(queue: JobQueue, tmp_path: Path) -> None:
    keep = load_settings({"StateFolder": str(tmp_path), "Retention": {"JobDays": 0, "JobGigabytes": 0, "LookDays": 0}})
    _job(queue, keep, 1, 9999)
    assert sum(clean(keep, queue, AuditTrail(database_in(tmp_path)), NOW).values()) == 0
