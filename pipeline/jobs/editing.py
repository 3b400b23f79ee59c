"""Has what a person edited in the dashboard written, or a consensus of several, and tells what came of it."""

import hashlib
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from dbos import EnqueueOptions

from pipeline.case.job import JobView
from pipeline.corrections.edits import AskedConsensus, Edits
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.verdicts import MEANING
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.acceptance import again_where_failed
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import CORRECTIONS_QUEUE, EDIT_WORKFLOW
from pipeline.jobs.view import BROKEN, failure_of
from pipeline.records import Record

EDIT_ID: Final = "edit-[0-9a-f]{16}"


class EditState(StrEnum):
    """How far an edit has come."""

    WAITING = "waiting"
    STORED = "stored"
    KEPT = "kept"
    PASSED_OVER = "passed_over"
    FAILED = "failed"


class SavedEdit(Record):
    """An edit as people see it.

    Attributes
    ----------
    state
        ``stored`` in the archive, then ``kept`` as a correction or ``passed_over``.
    instance
        Orthanc's id of the structure set.
    case
        Id of the correction.
    detail
        Why it was passed over.
    error
        Why it failed.
    """

    id: str
    state: EditState
    instance: str | None = None
    case: str | None = None
    detail: str = ""
    error: ErrorRecord | None = None


def enqueue_edit(queue: JobQueue, job: JobView, edits: Edits | AskedConsensus, by: str) -> str:
    """Have edits of a job's contours written, or a consensus; the same twice is one. Returns its id."""
    digest = hashlib.sha256(f"{job.id}\n{by}\n{edits.model_dump_json()}".encode()).hexdigest()
    identity = f"edit-{digest[:16]}"
    options = EnqueueOptions(workflow_name=EDIT_WORKFLOW, queue_name=CORRECTIONS_QUEUE, workflow_id=identity)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    queue.client.enqueue(options, job.study, job.id, identity, edits.as_json(), by, at)
    again_where_failed(queue, identity)
    return identity


def saved_edit(queue: JobQueue, store: CorrectionStore, identity: str) -> SavedEdit:
    """Tell how far an edit has come.

    Raises
    ------
    GlioLoopError
        FEEDBACK_UNKNOWN.
    """
    found = queue.client.list_workflows(workflow_ids=[identity], name=EDIT_WORKFLOW, load_input=False)
    if not found:
        raise GlioLoopError("FEEDBACK_UNKNOWN", identity)
    status = found[0]
    if status.status in BROKEN:
        return SavedEdit(id=identity, state=EditState.FAILED, error=failure_of(status))
    if status.status != "SUCCESS":
        return SavedEdit(id=identity, state=EditState.WAITING)
    instance = str(status.output)
    verdict = next((one for (key, _), one in store.verdicts().items() if key == instance), None)
    if verdict is None:
        return SavedEdit(id=identity, state=EditState.STORED, instance=instance)
    state = EditState.KEPT if verdict.case else EditState.PASSED_OVER
    detail = "" if verdict.case else f"{MEANING[verdict.verdict]} {verdict.detail}".strip()
    return SavedEdit(id=identity, state=state, instance=instance, case=verdict.case, detail=detail)
