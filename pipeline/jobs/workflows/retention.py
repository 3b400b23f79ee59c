"""What the node lets go of: working files and rows of ended jobs and looks, by age and by size, with a record.

Images and results lie in the archive and are not touched; the audit trail keeps its lines. What was once decided about
a study's images is remembered in a row of a few bytes, so that an old study is not segmented again unasked.
"""

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import structlog
from dbos import DBOS, SetWorkflowID

from pipeline.audit import AuditTrail
from pipeline.database.backup import back_up
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import RETENTION_WORKFLOW
from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.resources import audit, database, queue
from pipeline.jobs.workflows.schedules import schedule
from pipeline.jobs.workflows.steps import step
from pipeline.settings import Retention, Settings

log = structlog.get_logger()

_DAY_SECONDS: Final = 86_400.0
_SCHEDULE: Final = "glioloop-retention"
#: Every day at a quarter past three, UTC.
_DAILY: Final = "15 3 * * *"


@dataclass(frozen=True)
class _Folder:
    """A job's folder."""

    path: Path
    size: int
    changed: float


def clean(settings: Settings, queue: JobQueue, trail: AuditTrail, now: float) -> dict[str, int]:
    """Let go of what the policy does not keep; what another worker removes meanwhile is gone, and no error.

    Parameters
    ----------
    now
        Seconds since 1970.

    Returns
    -------
    dict
        Numbers of jobs forgotten, of folders removed and of looks forgotten, and bytes freed.
    """
    policy = settings.retention
    folders = {one.path.name: one for one in _folders(settings.jobs_folder)}
    ended = queue.ended_jobs()
    known = queue.known_jobs(folders)
    done = {"jobs": 0, "folders": 0, "looks": 0, "bytes": 0}

    def remove(identity: str, why: str) -> None:
        folder = folders.pop(identity, None)
        size = folder.size if folder else 0
        # On record before it is gone.
        trail.append("removed", identity, "retention", {"why": why, "bytes": size}, once=why)
        if folder:
            shutil.rmtree(folder.path, ignore_errors=True)
            done["folders"] += 1
            done["bytes"] += size

    if policy.job_days:
        oldest = now - policy.job_days * _DAY_SECONDS
        for identity, when in ended.items():
            if when < oldest:
                remove(identity, "age")
                queue.forget_job(identity)
                done["jobs"] += 1
        for identity, folder in list(folders.items()):
            if identity not in known and folder.changed < oldest:
                remove(identity, "no such job")
    for identity in _over(policy, folders, ended):
        remove(identity, "size")
    if policy.look_days:
        done["looks"] = queue.drop_inspections(now - policy.look_days * _DAY_SECONDS)
    return done


def _over(policy: Retention, folders: dict[str, _Folder], ended: dict[str, float]) -> list[str]:
    """Ended jobs whose folders go, oldest first, until the rest fits."""
    most = policy.job_gigabytes * 1024**3
    total = sum(one.size for one in folders.values())
    chosen: list[str] = []
    for identity in sorted(folders.keys() & ended.keys(), key=ended.__getitem__):
        if not most or total <= most:
            break
        chosen.append(identity)
        total -= folders[identity].size
    return chosen


def _folders(root: Path) -> Iterator[_Folder]:
    for path in root.glob("*"):
        if path.is_dir():
            sizes = [os.lstat(Path(where, name)).st_size for where, _, names in os.walk(path) for name in names]
            yield _Folder(path, sum(sizes), path.stat().st_mtime)


@step("retention")
def _clean() -> dict[str, int]:
    return clean(settings(), queue(), audit(), time.time())


@step("backup")
def _back_up() -> None:
    back_up(database(), settings().state_folder)


@DBOS.workflow(name=RETENTION_WORKFLOW)
def retention(_at: datetime, _context: Any) -> None:
    """Let go of what the policy does not keep, and copy what the node remembers."""
    log.info("retention", **_clean())
    _back_up()


def schedule_retention(executor: str) -> None:
    """Clean now, once a day for each worker since each may have a disk of its own, and every day."""
    schedule(_SCHEDULE, retention, _DAILY)
    today = datetime.now(UTC)
    with SetWorkflowID(f"retention-{executor}-{today:%Y%m%d}"):
        DBOS.start_workflow(retention, today, None)
