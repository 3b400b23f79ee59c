"""The durable workflow behind an edit in the dashboard, or a consensus: its structure set is written, and taken as a
correction.

What follows is what follows any structure set that comes back: see :mod:`pipeline.jobs.workflows.corrections`.
"""

import structlog
from dbos import DBOS

from pipeline.errors import GlioLoopError
from pipeline.jobs import edit_tasks
from pipeline.jobs.queues import EDIT_WORKFLOW
from pipeline.jobs.workflows.children import InChild, Job, computing
from pipeline.jobs.workflows.resources import audit, queue
from pipeline.jobs.workflows.steps import last_error, step

log = structlog.get_logger()


@step("edit-write", talks_to_orthanc=True)
def _write(job: str, edit: str, body: dict[str, object], by: str, at: str) -> str:
    """Store the edited structure set; returns its Orthanc id."""
    view, request = queue().job(job), queue().request(job)
    if view is None or request is None:
        raise GlioLoopError("RESULT_LACKING", f"job {job}")
    with computing().lend() as lent:
        child = InChild(Job(str(DBOS.workflow_id), lent), "edit")
        stored: str = child(edit_tasks.draw, view, request, edit, body, by, at)
    event = "approved" if body.get("accept") else "stored"
    audit().append(event, job, by, {"instance": stored, "edit": edit}, once=stored)
    return stored


@step("edit-look", talks_to_orthanc=True)
def _look(study: str, edit: str) -> None:
    queue().enqueue_corrections(study, edit)


@DBOS.workflow(name=EDIT_WORKFLOW, max_recovery_attempts=5)
def edit(study: str, job: str, identity: str, body: dict[str, object], by: str, at: str) -> str:
    """Write what a person edited.

    Parameters
    ----------
    study
        Orthanc's id.
    job
        Whose structure set was edited.
    identity
        Id of the edit.
    body
        :class:`pipeline.corrections.edits.Edits`, or :class:`pipeline.corrections.edits.AskedConsensus`.
    by, at
        Who edited, and when.
    """
    with last_error():
        stored = _write(job, identity, body, by, at)
    log.info("edited structure set stored", job=job, instance=stored)
    _look(study, identity)
    return stored
