"""Studies that are fetched from other archives: asked for and listed, from any process."""

from typing import Final

from dbos import EnqueueOptions, WorkflowStatus
from pydantic import Field

from pipeline.case.identity import fresh_nonce
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import FETCH_QUEUE, FETCH_WORKFLOW
from pipeline.jobs.view import STATES, error_of_row, time_of
from pipeline.names import JobState
from pipeline.records import Record, StoredRecord
from pipeline.settings import StudyQuery

_LATEST: Final = 100


class FetchOutcome(StoredRecord):
    """What came of a query: StudyInstanceUIDs found, here already, fetched, and why others did not come."""

    found: tuple[str, ...] = ()
    here: tuple[str, ...] = ()
    fetched: tuple[str, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict)


class FetchView(Record):
    """A query, how far it is, and what came of it."""

    id: str
    state: JobState
    modality: str
    created: str | None
    updated: str | None
    outcome: FetchOutcome | None
    error: ErrorRecord | None


def enqueue_fetch(queue: JobQueue, query: StudyQuery, user: str) -> str:
    """Have the studies of a query fetched; return the id."""
    identity = f"fetch-{fresh_nonce()}"
    options = EnqueueOptions(workflow_name=FETCH_WORKFLOW, queue_name=FETCH_QUEUE, workflow_id=identity)
    queue.client.enqueue(options, query.model_dump(mode="json"), user)
    return identity


def fetches(queue: JobQueue, identity: str | None = None) -> tuple[FetchView, ...]:
    """What was fetched lately, the latest first; or one of it."""
    which = [identity] if identity else None
    found = queue.client.list_workflows(name=FETCH_WORKFLOW, workflow_ids=which, sort_desc=True, limit=_LATEST)
    return tuple(map(_shown, found))


def _shown(status: WorkflowStatus) -> FetchView:
    asked = StudyQuery.model_validate((status.input or {"args": [None]})["args"][0])
    done = isinstance(status.output, dict)
    return FetchView(
        id=status.workflow_id,
        state=JobState.DONE if status.status == "SUCCESS" else STATES[status.status],
        modality=asked.modality,
        created=time_of(status.created_at),
        updated=time_of(status.updated_at),
        outcome=FetchOutcome.model_validate(status.output) if done else None,
        error=error_of_row(status),
    )
