"""Fine-tunings in the queue: asked for, listed, cancelled. No torch and no numpy here."""

import hashlib
from typing import Final

from dbos import EnqueueOptions, WorkflowStatus
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import FINETUNE_WORKFLOW, TRAINING_QUEUE
from pipeline.jobs.view import STATES, error_of_row, time_of
from pipeline.names import JobState
from pipeline.records import Record, StoredRecord

RUN_ID: Final = r"finetune-[0-9a-f]{12}"
#: Behind every clinical job, should a site put both on one queue's workers.
_PRIORITY: Final = 10_000


class FinetuneOptions(BaseModel):
    """Body of ``POST /glioloop/finetune``; unknown keys are refused. What is left out comes from the settings."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=128, pattern=r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$")
    steps: int | None = Field(default=None, ge=1, le=100_000)
    learn_from: str | None = Field(default=None, pattern=r"^(trusted|all)$")


class FinetuneResult(StoredRecord):
    """What came of a fine-tuning.

    Attributes
    ----------
    parent, version
        ``name@version`` it started from; version of what it made.
    learn, held_back
        Ids of the corrections that were learnt and of those it was judged by.
    model, promoted
        ``name@version`` of what it made, and whether that is in use.
    decision
        Of the guard, see :class:`pipeline.finetune.verdict.Judgement`.
    phases
        What each phase took, see :func:`pipeline.finetune.supervise.run_phase`.
    """

    parent: str
    version: str = ""
    learn: tuple[str, ...] = ()
    held_back: tuple[str, ...] = ()
    model: str = ""
    promoted: bool = False
    decision: JsonValue = None
    phases: JsonValue = None


class FinetuneOutput(StoredRecord):
    """How a fine-tuning ended: with its result, or with what it was refused for."""

    state: JobState = JobState.DONE
    result: FinetuneResult | None = None
    error: ErrorRecord | None = None


class RunView(Record):
    """A fine-tuning as people see it.

    Attributes
    ----------
    phase, progress
        What is at work, and how far it is, 0-1.
    paused
        Whether it waits for a clinical job.
    created, updated
        UTC, ISO 8601.
    """

    id: str
    state: JobState
    phase: str | None
    progress: float
    paused: bool
    created: str | None
    updated: str | None
    result: FinetuneResult | None
    error: ErrorRecord | None


class FinetuneRuns:
    """The fine-tunings of a node.

    Parameters
    ----------
    queue
        The durable queue.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    def enqueue(self, event: str, options: FinetuneOptions | None = None) -> str:
        """Queue a fine-tuning; the same event twice is one. Returns its id."""
        identity = f"finetune-{hashlib.sha256(event.encode()).hexdigest()[:12]}"
        self._queue.client.enqueue(
            EnqueueOptions(
                workflow_name=FINETUNE_WORKFLOW,
                queue_name=TRAINING_QUEUE,
                workflow_id=identity,
                priority=_PRIORITY,
                attributes={"phase": None, "progress": 0.0},
            ),
            (options or FinetuneOptions()).model_dump(mode="json"),
        )
        return identity

    def run(self, identity: str) -> RunView:
        """One fine-tuning.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN.
        """
        found = self._queue.client.list_workflows(workflow_ids=[identity], name=FINETUNE_WORKFLOW)
        if not found:
            raise GlioLoopError("JOB_UNKNOWN", identity)
        return run_view(found[0])

    def runs(self, limit: int = 100) -> list[RunView]:
        """Fine-tunings, latest first."""
        found = self._queue.client.list_workflows(name=FINETUNE_WORKFLOW, limit=limit, sort_desc=True)
        return [run_view(status) for status in found]

    def cancel(self, identity: str) -> None:
        """Stop a fine-tuning.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN; JOB_STATE where it has ended.
        """
        state = self.run(identity).state
        if state not in (JobState.QUEUED, JobState.RUNNING):
            raise GlioLoopError("JOB_STATE", state)
        self._queue.client.cancel_workflow(identity)

    def is_cancelled(self, identity: str) -> bool:
        """Whether a fine-tuning was asked to stop."""
        return self.run(identity).state is JobState.CANCELLED

    def report(self, identity: str, **attributes: object) -> None:
        """Merge values into what people see of a fine-tuning."""
        self._queue.client.update_workflow_attributes(identity, attributes, merge=True)


def run_view(status: WorkflowStatus) -> RunView:
    """Return a fine-tuning as people see it."""
    output = FinetuneOutput.model_validate(status.output if isinstance(status.output, dict) else {})
    attributes = status.attributes or {}
    return RunView(
        id=status.workflow_id,
        state=STATES.get(status.status) or output.state,
        phase=attributes.get("phase"),
        progress=attributes.get("progress", 0.0),
        paused=bool(attributes.get("paused", False)),
        created=time_of(status.created_at),
        updated=time_of(status.updated_at),
        result=output.result,
        error=error_of_row(status) or output.error,
    )
