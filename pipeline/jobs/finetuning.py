"""Fine-tunings in the queue: asked for, listed, cancelled. No torch and no numpy here."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

from dbos import EnqueueOptions, WorkflowStatus
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import FINETUNE_WORKFLOW, TRAINING_QUEUE
from pipeline.jobs.quiet import QUIET, hasten
from pipeline.jobs.view import STATES, error_of_row, time_of
from pipeline.names import JobState, Wait
from pipeline.records import Record, StoredRecord
from pipeline.settings.turns import Turns

RUN_ID: Final = r"finetune-[0-9a-f]{12}"
#: Behind every clinical job, should a site put both on one queue's workers.
_PRIORITY: Final = 10_000


class FinetuneOptions(BaseModel):
    """What is asked of a fine-tuning; unknown keys are refused. What is left out comes from the settings."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, max_length=128, pattern=r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$")
    steps: int | None = Field(default=None, ge=1, le=100_000)
    learn_from: str | None = Field(default=None, pattern=r"^(trusted|all)$")


class FinetuneBody(FinetuneOptions):
    """Body of ``POST /glioloop/finetune``.

    Attributes
    ----------
    quiet
        Whether it waits for quiet hours.
    """

    quiet: bool = False

    @property
    def options(self) -> FinetuneOptions:
        """What is asked of the fine-tuning itself."""
        return FinetuneOptions.model_validate(self.model_dump(exclude={"quiet"}))


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
    asked_by
        Orthanc's user; empty where it began by itself, after so many corrections.
    quiet
        Whether it is done in quiet hours only.
    paused
        Whether it has begun and waits.
    waits_for, waits_until
        For what, and for quiet hours until when: UTC, ISO 8601.
    created, updated
        UTC, ISO 8601.
    """

    id: str
    state: JobState
    phase: str | None
    progress: float
    asked_by: str
    quiet: bool
    paused: bool
    waits_for: Wait | None
    waits_until: str | None
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
    turns
        Of the site, for its quiet hours.
    """

    def __init__(self, queue: JobQueue, turns: Turns | None = None) -> None:
        self._queue = queue
        self._turns = turns or Turns()

    def enqueue(
        self, event: str, options: FinetuneOptions | None = None, asked_by: str = "", quiet: bool = False
    ) -> str:
        """Queue a fine-tuning; the same event twice is one.

        Parameters
        ----------
        asked_by
            Orthanc's user; empty where nobody did.
        quiet
            Whether it waits for quiet hours.

        Returns
        -------
        str
            Its id.
        """
        identity = f"finetune-{hashlib.sha256(event.encode()).hexdigest()[:12]}"
        queued = EnqueueOptions(
            workflow_name=FINETUNE_WORKFLOW,
            queue_name=TRAINING_QUEUE,
            workflow_id=identity,
            priority=_PRIORITY,
            attributes={"phase": None, "progress": 0.0, "asked_by": asked_by, QUIET: quiet},
        )
        if quiet and (delay := self._turns.seconds_to_quiet(datetime.now())):
            queued["delay_seconds"] = delay
        self._queue.client.enqueue(queued, (options or FinetuneOptions()).model_dump(mode="json"))
        return identity

    def waits_for(self, identity: str) -> Wait | None:
        """What comes before a fine-tuning that is at work; None where nothing does."""
        if self._turns.seconds_to_quiet(datetime.now()) and self.run(identity).quiet:
            return Wait.QUIET_HOURS
        return Wait.JOBS if self._queue.waiting(put_off=False) else None

    def hasten(self, identity: str) -> None:
        """Have a fine-tuning wait for quiet hours no longer.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN; JOB_STATE where it has ended.
        """
        self._require_unended(identity)
        hasten(self._queue.client, identity)

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
        return self._view(found[0])

    def runs(self, limit: int = 100) -> list[RunView]:
        """Fine-tunings, latest first."""
        found = self._queue.client.list_workflows(name=FINETUNE_WORKFLOW, limit=limit, sort_desc=True)
        return [self._view(status) for status in found]

    def cancel(self, identity: str) -> None:
        """Stop a fine-tuning.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN; JOB_STATE where it has ended.
        """
        self._require_unended(identity)
        self._queue.client.cancel_workflow(identity)

    def _require_unended(self, identity: str) -> None:
        state = self.run(identity).state
        if state not in (JobState.QUEUED, JobState.RUNNING):
            raise GlioLoopError("JOB_STATE", state)

    def is_cancelled(self, identity: str) -> bool:
        """Whether a fine-tuning was asked to stop."""
        return self.run(identity).state is JobState.CANCELLED

    def report(self, identity: str, **attributes: object) -> None:
        """Merge values into what people see of a fine-tuning."""
        self._queue.client.update_workflow_attributes(identity, attributes, merge=True)

    def _view(self, status: WorkflowStatus) -> RunView:
        seconds = self._turns.seconds_to_quiet(datetime.now())
        return run_view(status, (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="seconds"))


def run_view(status: WorkflowStatus, quiet_from: str) -> RunView:
    """Return a fine-tuning as people see it; ``quiet_from`` is when the next quiet hours begin."""
    output = FinetuneOutput.model_validate(status.output if isinstance(status.output, dict) else {})
    attributes = status.attributes or {}
    waits_for = Wait.QUIET_HOURS if status.status == "DELAYED" else None
    if status.status == "PENDING" and attributes.get("waits_for"):
        waits_for = Wait(attributes["waits_for"])
    return RunView(
        id=status.workflow_id,
        state=STATES.get(status.status) or output.state,
        phase=attributes.get("phase"),
        progress=attributes.get("progress", 0.0),
        asked_by=attributes.get("asked_by", ""),
        quiet=bool(attributes.get(QUIET)),
        paused=status.status == "PENDING" and waits_for is not None,
        waits_for=waits_for,
        waits_until=quiet_from if waits_for is Wait.QUIET_HOURS else None,
        created=time_of(status.created_at),
        updated=time_of(status.updated_at),
        result=output.result,
        error=error_of_row(status) or output.error,
    )
