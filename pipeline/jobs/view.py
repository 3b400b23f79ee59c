"""From DBOS's row of a job to what people see of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from dbos import WorkflowStatus
from pydantic import Field

from pipeline.case.job import Delivery, JobView
from pipeline.case.outcomes import JobOutput
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import place_of
from pipeline.jobs.request import delivery_id
from pipeline.names import BROKEN_DELIVERIES, DeliveryState, JobState, Stage
from pipeline.records import StoredRecord

#: States by DBOS's status; a workflow that ended well says its own.
STATES: Final = {
    "ENQUEUED": JobState.QUEUED,
    "DELAYED": JobState.QUEUED,
    "PENDING": JobState.RUNNING,
    "CANCELLED": JobState.CANCELLED,
    "ERROR": JobState.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobState.FAILED,
}
#: DBOS's status of what worker after worker died of, and is not begun again.
DIED: Final = "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
#: Its statuses of what ended, and not well.
BROKEN: Final = ("ERROR", DIED, "CANCELLED")
_DELIVERY: Final = "delivery."


class JobAttributes(StoredRecord):
    """What is kept beside a job's workflow for people, and is no part of its durable history.

    Attributes
    ----------
    study, study_instance_uid, model, origin, sequences
        As in :class:`pipeline.case.job.JobView`.
    stage, progress
        What is at work.
    timings_s
        Of a job that has not ended.
    """

    study: str | None = None
    study_instance_uid: str | None = None
    model: str | None = None
    origin: str | None = None
    sequences: tuple[str, ...] = ()
    stage: str | None = None
    progress: float = 0.0
    timings_s: dict[str, float] = Field(default_factory=dict)

    @classmethod
    def of(cls, status: WorkflowStatus) -> "JobAttributes":
        """The attributes of a workflow."""
        return cls.model_validate(status.attributes or {})

    @property
    def deliveries(self) -> dict[str, Delivery]:
        """Deliveries by modality."""
        return {
            key.removeprefix(_DELIVERY): Delivery.model_validate(value)
            for key, value in (self.model_extra or {}).items()
            if key.startswith(_DELIVERY)
        }


def job_view(status: WorkflowStatus, delivery_statuses: Mapping[str, str] | None = None) -> JobView:
    """Return a job as people see it.

    Parameters
    ----------
    status
        The job's workflow.
    delivery_statuses
        DBOS's status of deliveries by their workflow's id: one that was cancelled, or whose worker died at
        every try, could not note its own end.
    """
    attributes = JobAttributes.of(status)
    output = JobOutput.model_validate(status.output) if isinstance(status.output, dict) else JobOutput()
    deliveries = {
        modality: ended_otherwise(
            (delivery_statuses or {}).get(delivery_id(status.workflow_id, modality, delivery.number))
        )
        or delivery
        for modality, delivery in attributes.deliveries.items()
    }
    state, error = _with_deliveries(STATES.get(status.status) or output.state, _error(status, output), deliveries)
    timings = dict(output.timings_s or attributes.timings_s)
    if deliveries and all(one.state is DeliveryState.DONE for one in deliveries.values()):
        timings[Stage.FORWARD.value] = max(one.seconds for one in deliveries.values())
    return JobView(
        id=status.workflow_id,
        state=state,
        stage=attributes.stage,
        progress=attributes.progress,
        study=attributes.study,
        study_instance_uid=attributes.study_instance_uid,
        model=attributes.model,
        origin=attributes.origin,
        priority=getattr(status, "priority", None),
        sequences=attributes.sequences,
        created=time_of(status.created_at),
        updated=time_of(status.updated_at),
        waits_until=time_of(status.delay_until_epoch_ms) if status.status == "DELAYED" else None,
        attempts=status.recovery_attempts,
        timings_s=timings,
        result=output.result,
        deliveries=deliveries,
        error=error,
    )


def _with_deliveries(
    state: JobState, error: ErrorRecord | None, deliveries: Mapping[str, Delivery]
) -> tuple[JobState, ErrorRecord | None]:
    """A job that is segmented is done when its deliveries are."""
    # What another destination got instead is that one's to deliver.
    states = {one.state for one in deliveries.values() if one.replaced_by not in deliveries}
    if state is not JobState.DONE or not states:
        return state, error
    if states & BROKEN_DELIVERIES:
        error = next(one.error for one in deliveries.values() if one.state in states & BROKEN_DELIVERIES)
        refused = error is not None and error.kind == Kind.REFUSAL.value
        return JobState.REFUSED if refused else JobState.FAILED, error
    if DeliveryState.CANCELLED in states:
        return JobState.CANCELLED, error
    return JobState.DONE if states == {DeliveryState.DONE} else JobState.RUNNING, error


def ended_otherwise(status: str | None) -> Delivery | None:
    """State of a delivery that did not note its end itself; None where it did, or has not ended."""
    if status == "CANCELLED":
        return Delivery(state=DeliveryState.CANCELLED, error=None)
    if status == DIED:
        return _failed(GlioLoopError("TASK_DIED", f"in stage {Stage.FORWARD}"))
    if status == "ERROR":
        return _failed(
            GlioLoopError("FORWARD_FAILED", "the end of the delivery could not be written down; see the worker's log")
        )
    return None


def _failed(error: GlioLoopError) -> Delivery:
    return Delivery(state=DeliveryState.FAILED, error=ErrorRecord.of(error))


def _error(status: WorkflowStatus, output: JobOutput) -> ErrorRecord | None:
    if status.status == DIED:
        return ErrorRecord.of(GlioLoopError("WORKER_DIED", f"in stage {(status.attributes or {}).get('stage')}"))
    return output.error if status.error is None else error_of(status.error)


def error_of_row(status: WorkflowStatus) -> ErrorRecord | None:
    """What a workflow that is no job ended with, also where it could not say so itself; None where that is success."""
    if status.status == DIED:
        return ErrorRecord.of(GlioLoopError("TASK_DIED", status.name))
    return None if status.error is None else error_of(status.error)


def failure_of(status: WorkflowStatus) -> ErrorRecord:
    """Why a workflow that is no job did not end well, for one of :data:`BROKEN`."""
    return error_of_row(status) or ErrorRecord.of(GlioLoopError("INTERNAL", status.status))


def error_of(error: BaseException) -> ErrorRecord:
    """What a workflow ended with."""
    if not isinstance(error, GlioLoopError):
        error = GlioLoopError("INTERNAL", place_of(error))
    return ErrorRecord.of(error)


def time_of(epoch_ms: int | None) -> str | None:
    """A time of DBOS's as people see it: UTC, ISO 8601, milliseconds."""
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
