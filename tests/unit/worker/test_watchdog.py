"""A worker ends itself where only a fresh one helps, and nowhere else."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from pipeline import PIPELINE_VERSION
from pipeline.jobs.deadline import DAMAGED_STATUS, OVERDUE_STATUS
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import JobRequest
from pipeline.settings import ROOT, Settings
from pipeline.worker import watchdog
from pipeline.worker.watchdog import Watchdog

JOB = "a" * 32
_STARTED = "UPDATE workflow_status SET status='PENDING', executor_id='worker-0', application_version=:version"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings with a queue in which a job counts as this worker's; ending is an exception here."""
    made = Settings(state_folder=tmp_path)
    queue = JobQueue(made.queue_database_url)
    queue.make_tables()
    request = JobRequest(
        study="s", study_instance_uid="1.2", decision={}, instances={}, model="m@1", destinations=None, origin="rest"
    )
    queue.enqueue_job(JOB, request)
    with sqlalchemy.create_engine(made.queue_database_url).begin() as connection:
        connection.execute(sqlalchemy.text(_STARTED), {"version": PIPELINE_VERSION})

    def leave(status: int) -> None:
        raise SystemExit(status)

    monkeypatch.setattr(watchdog.os, "_exit", leave)
    monkeypatch.setattr(watchdog, "_DATABASE_CHECK_SECONDS", -1.0)
    yield made
    queue.close()


def test_a_job_that_nobody_is_at_work_on(settings: Settings) -> None:
    """Seen twice: one that is only just starting or ending is seen once."""
    dog = Watchdog(settings, "worker-0", list)
    dog.look()
    with pytest.raises(SystemExit) as ended:
        dog.look()
    assert ended.value.code == OVERDUE_STATUS


def test_jobs_at_work_and_those_of_others_are_left(settings: Settings) -> None:
    for dog in (Watchdog(settings, "worker-0", lambda: [JOB]), Watchdog(settings, "worker-1", list)):
        dog.look()
        dog.look()


def test_jobs_of_another_version_are_left(settings: Settings) -> None:
    """DBOS hands them to no worker of this version: to start anew because of them would never end."""
    with sqlalchemy.create_engine(settings.queue_database_url).begin() as connection:
        connection.execute(sqlalchemy.text(_STARTED), {"version": "0.0"})
    dog = Watchdog(settings, "worker-0", list)
    dog.look()
    dog.look()


def test_a_damaged_queue(settings: Settings) -> None:
    dog = Watchdog(settings, "worker-0", lambda: [JOB])
    dog.look()
    for path in settings.state_folder.glob("queue.sqlite*"):
        path.write_bytes(b"\xff" * path.stat().st_size)
    with pytest.raises(SystemExit) as ended:
        dog.look()
    assert ended.value.code == DAMAGED_STATUS


def test_no_memory_left(tmp_path: Path) -> None:
    """Under a limit that leaves nothing: ended, not left as a process that can do nothing."""
    program = f"""
import resource
from pathlib import Path
from pipeline.settings import Settings
from pipeline.worker.watchdog import Watchdog
dog = Watchdog(Settings(state_folder=Path({str(tmp_path)!r})), "worker-0", list)
dog.look()
used = next(int(one.split()[1]) << 10 for one in open("/proc/self/status") if one.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (used + (1 << 20),) * 2)
for _ in range(3):
    dog.look()
print("still there")
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == OVERDUE_STATUS, ran.stdout + ran.stderr
