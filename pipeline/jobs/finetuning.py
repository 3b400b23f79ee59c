"""Fine-tunings in the queue: asked for, listed, cancelled. No torch and no numpy here."""

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

from dbos import EnqueueOptions, WorkflowStatus
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import GlioLoopError
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import FINETUNE_WORKFLOW, TRAINING_QUEUE
from pipeline.names import JobState

RUN_ID: Final = r"finetune-[0-9a-f]{12}"
#: Behind every clinical job, should a site put both on one queue's workers.
_PRIORITY: Final = 10_000


class FinetuneOptions(BaseModel):
    """Body of ``POST /glioloop/finetune``; unknown keys are refused. What is left out comes from the settings."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=128, pattern=r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$")
    steps: int | None = Field(default=None, ge=1, le=100_000)
    learn_from: str | None = Field(default=None, pattern=r"^(trusted|all)$")


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

    def run(self, identity: str) -> dict[str, Any]:
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

    def runs(self, limit: int = 100) -> list[dict[str, Any]]:
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
        state = self.run(identity)["state"]
        if state not in (JobState.QUEUED, JobState.RUNNING):
            raise GlioLoopError("JOB_STATE", state)
        self._queue.client.cancel_workflow(identity)

    def is_cancelled(self, identity: str) -> bool:
        """Whether a fine-tuning was asked to stop."""
        return bool(self.run(identity)["state"] == JobState.CANCELLED)

    def report(self, identity: str, **attributes: object) -> None:
        """Merge values into what people see of a fine-tuning."""
        self._queue.client.update_workflow_attributes(identity, attributes, merge=True)


_STATES: Final = {
    "ENQUEUED": JobState.QUEUED,
    "DELAYED": JobState.QUEUED,
    "PENDING": JobState.RUNNING,
    "CANCELLED": JobState.CANCELLED,
    "ERROR": JobState.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobState.FAILED,
}


def run_view(status: WorkflowStatus) -> dict[str, Any]:
    """Return a fine-tuning as REST shows it."""
    output: dict[str, Any] = status.output if isinstance(status.output, dict) else {}
    attributes = status.attributes or {}
    failed = status.error
    error = failed.as_json() if isinstance(failed, GlioLoopError) else output.get("error")
    state = _STATES.get(status.status) or JobState(output.get("state", JobState.DONE))
    return {
        "id": status.workflow_id,
        "state": state.value,
        "phase": attributes.get("phase"),
        "progress": attributes.get("progress", 0.0),
        "paused": bool(attributes.get("paused", False)),
        "created": _time(status.created_at),
        "updated": _time(status.updated_at),
        "result": output.get("result"),
        "error": error,
    }


def _time(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
