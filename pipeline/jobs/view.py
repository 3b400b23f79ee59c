"""A job as REST, the dashboard and the demo show it."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from dbos import WorkflowStatus

from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.resources import place_of
from pipeline.jobs.request import delivery_id
from pipeline.names import JobState, Stage

_STATES: Final = {
    "ENQUEUED": JobState.QUEUED,
    "DELAYED": JobState.QUEUED,
    "PENDING": JobState.RUNNING,
    "CANCELLED": JobState.CANCELLED,
    "ERROR": JobState.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobState.FAILED,
}


#: What a delivery's own state says once it has ended.
DELIVERED: Final = ("done", "failed", "cancelled")


def job_view(status: WorkflowStatus, delivery_statuses: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a job as REST, the dashboard and the demo show it.

    Parameters
    ----------
    status
        The job's workflow.
    delivery_statuses
        DBOS's status of deliveries by their workflow's id: one that was cancelled, or whose worker died at
        every try, could not note its own end.
    """
    attributes = status.attributes or {}
    output: dict[str, Any] = status.output if isinstance(status.output, dict) else {}
    deliveries = {
        modality: _ended_otherwise(
            (delivery_statuses or {}).get(delivery_id(status.workflow_id, modality, state.get("number", 0)))
        )
        or state
        for modality, state in deliveries_of(attributes)
    }
    error = _error(status, output)
    state = _STATES.get(status.status) or JobState(output.get("state", JobState.DONE))
    if state == JobState.DONE and deliveries:
        states = {d["state"] for d in deliveries.values()}
        if "failed" in states:
            error = next(d["error"] for d in deliveries.values() if d["state"] == "failed")
            state = JobState.REFUSED if error["kind"] == Kind.REFUSAL.value else JobState.FAILED
        elif "cancelled" in states:
            state = JobState.CANCELLED
        elif states != {"done"}:
            state = JobState.RUNNING
    timings = dict(output.get("timings_s") or attributes.get("timings_s") or {})
    if deliveries and all(d["state"] == "done" for d in deliveries.values()):
        timings["forward"] = max(d["seconds"] for d in deliveries.values())
    return {
        "id": status.workflow_id,
        "state": state.value,
        "stage": attributes.get("stage"),
        "progress": attributes.get("progress", 0.0),
        "study": attributes.get("study"),
        "study_instance_uid": attributes.get("study_instance_uid"),
        "model": attributes.get("model"),
        "origin": attributes.get("origin"),
        "sequences": attributes.get("sequences", []),
        "created": _time(status.created_at),
        "updated": _time(status.updated_at),
        "attempts": status.recovery_attempts,
        "timings_s": timings,
        "result": output.get("result"),
        "deliveries": deliveries,
        "error": error,
    }


def _ended_otherwise(status: str | None) -> dict[str, Any] | None:
    """State of a delivery that did not note its end itself; None where it did, or has not ended."""
    if status == "CANCELLED":
        return {"state": "cancelled", "error": None}
    if status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return {"state": "failed", "error": GlioLoopError("WORKER_DIED", f"in stage {Stage.FORWARD}").as_json()}
    if status == "ERROR":
        detail = "the end of the delivery could not be written down; see the worker's log"
        return {"state": "failed", "error": GlioLoopError("FORWARD_FAILED", detail).as_json()}
    return None


def deliveries_of(attributes: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Modality and state of each delivery that a job's attributes tell of."""
    for key, value in attributes.items():
        if key.startswith("delivery."):
            yield key.removeprefix("delivery."), value


def _error(status: WorkflowStatus, output: Mapping[str, Any]) -> dict[str, Any] | None:
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return GlioLoopError("WORKER_DIED", f"in stage {(status.attributes or {}).get('stage')}").as_json()
    if isinstance(status.error, GlioLoopError):
        return status.error.as_json()
    if status.error is not None:
        return GlioLoopError("INTERNAL", place_of(status.error)).as_json()
    return output.get("error")


def _time(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
