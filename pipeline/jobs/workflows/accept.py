"""The durable workflow behind an acceptance: the approved structure set is written, and taken as what a person said.

What follows is what follows any approved structure set that comes back: see
:mod:`pipeline.jobs.workflows.corrections`.
"""

import structlog
from dbos import DBOS

from pipeline.jobs import accept_tasks
from pipeline.jobs.queues import ACCEPT_WORKFLOW
from pipeline.jobs.workflows.children import InChild, Job, talking
from pipeline.jobs.workflows.resources import audit, queue
from pipeline.jobs.workflows.steps import step

log = structlog.get_logger()


@step("accept-write", talks_to_orthanc=True)
def _write(job: str, by: str, at: str) -> str:
    """Store the approved structure set; returns its Orthanc id."""
    with talking().lend() as lent:
        child = InChild(Job(str(DBOS.workflow_id), lent), "accept")
        stored: str = child(accept_tasks.approve, job, by, at)
    audit().append("approved", job, by, {"instance": stored}, once=stored)
    return stored


@step("accept-look", talks_to_orthanc=True)
def _look(study: str, job: str) -> None:
    queue().enqueue_corrections(study, f"accepted-{job}")


@DBOS.workflow(name=ACCEPT_WORKFLOW, max_recovery_attempts=5)
def accept(study: str, job: str, by: str, at: str) -> str:
    """Write what a person accepted.

    Parameters
    ----------
    study
        Orthanc's id.
    job
        Whose structure set was accepted.
    by, at
        Who accepted it, and when.
    """
    stored = _write(job, by, at)
    log.info("approved structure set stored", job=job, instance=stored)
    _look(study, job)
    return stored
