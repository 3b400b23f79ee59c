"""Checks asked for and their outcomes, as the queue's database has them; without numpy, for the plugin.

Every host of a node sees the same, and a worker that dies in a check takes it up again.
"""

import time
from typing import Final

from dbos import EnqueueOptions, WorkflowStatus
from prometheus_client import CollectorRegistry, Gauge
from pydantic import BaseModel, ConfigDict, Field

from pipeline.case.identity import fresh_nonce
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import CHECK_QUEUE, CHECK_WORKFLOW
from pipeline.records import Record

_ENDED: Final = ("SUCCESS", "ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_OPEN: Final = ("ENQUEUED", "PENDING")
_LATEST: Final = 20


class CheckOptions(BaseModel):
    """What is asked of a check; body of ``POST /glioloop/check``.

    Attributes
    ----------
    record
        Expect from now on what this check finds, if it is near the sample's truth.
    """

    model_config = ConfigDict(extra="forbid")

    record: bool = False


class CheckOutcome(Record):
    """How a check ended.

    Attributes
    ----------
    well
        Whether the node delineated the sample as expected.
    model
        ``name@version``; empty where no job came about.
    recorded
        Whether this check became what later ones are compared with.
    seconds
        From the first image sent to the verdict.
    dice, volumes_ml
        By region: agreement with what was expected (with the truth where that was recorded only now), and volume.
    error
        Why the node is unwell: code, message, detail, hint.
    """

    well: bool
    model: str = ""
    recorded: bool = False
    seconds: float = 0.0
    dice: dict[str, float] = Field(default_factory=dict)
    volumes_ml: dict[str, float] = Field(default_factory=dict)
    error: ErrorRecord | None = None


class CheckState(Record):
    """Where the node stands with its check: the document of ``GET /glioloop/check``.

    Attributes
    ----------
    state
        ``never``, ``running``, ``well`` or ``unwell``: by the latest check that ended, unless there is none.
    id
        Of the latest check that was asked for.
    running
        Whether that one has not ended yet.
    ended
        When the latest one that ended did, seconds since 1970.
    outcome
        Its outcome.
    error
        Why the node is unwell.
    """

    state: str
    id: str = ""
    running: bool = False
    ended: float | None = None
    outcome: CheckOutcome | None = None
    error: ErrorRecord | None = None


def enqueue_check(queue: JobQueue, options: CheckOptions, name: str = "", delay_seconds: float = 0) -> str:
    """Ask for a check; return its id. The same name twice is one check."""
    identity = f"check-{name or fresh_nonce()}"
    how = EnqueueOptions(workflow_name=CHECK_WORKFLOW, queue_name=CHECK_QUEUE, workflow_id=identity)
    if delay_seconds:
        how["delay_seconds"] = delay_seconds
    queue.client.enqueue(how, options.model_dump(), name.partition("_")[0])
    return identity


def schedule_check(queue: JobQueue, hours: float) -> None:
    """Ask for the next of the regular checks, unless it is asked for already."""
    period = hours * 3600
    number = int(time.time() // period) + 1
    enqueue_check(queue, CheckOptions(), f"{hours:g}h_{number}", number * period - time.time())


def check_state(queue: JobQueue, deadline_seconds: float, every_hours: float) -> CheckState:
    """Return where the node stands.

    Parameters
    ----------
    queue
        The node's queue.
    deadline_seconds
        A check that runs for longer does not end any more.
    every_hours
        How often one is due; 0 for never.
    """
    found = queue.client.list_workflows(name=CHECK_WORKFLOW, status=[*_ENDED, *_OPEN], limit=_LATEST, sort_desc=True)
    found = [one for one in found if one.status != "SUCCESS" or one.output is not None]
    ended = next((one for one in found if one.status in _ENDED), None)
    running = next((one for one in found if one.status in _OPEN), None)
    latest = running or ended
    if latest is None:
        return CheckState(state="never")
    outcome = _outcome(ended) if ended else None
    at = (ended.updated_at or ended.created_at or 0) / 1000 if ended else None
    error = outcome.error if outcome else None
    now = time.time()
    if running and now - max((running.delay_until_epoch_ms or 0), running.created_at or 0) / 1000 > deadline_seconds:
        error = _unwell("the check of the node does not end")
    elif every_hours and at and now - at > 2 * every_hours * 3600 + deadline_seconds:
        error = _unwell(f"no check for {(now - at) / 3600:.0f} hours")
    state = "unwell" if error else "well" if outcome else "running"
    return CheckState(
        state=state, id=latest.workflow_id, running=running is not None, ended=at, outcome=outcome, error=error
    )


def _unwell(detail: str) -> ErrorRecord:
    return ErrorRecord.of(GlioLoopError("NODE_UNWELL", detail))


def _outcome(ended: WorkflowStatus) -> CheckOutcome:
    if isinstance(ended.output, dict):
        return CheckOutcome.model_validate(ended.output)
    return CheckOutcome(well=False, error=_unwell("the check itself failed"))


def collect_check(state: CheckState, collector: CollectorRegistry) -> None:
    """Add the metrics of the check; none where there never was one."""
    if state.outcome is None and state.error is None:
        return
    Gauge("glioloop_check_well", "Whether the node delineates its sample study as expected", registry=collector).set(
        state.error is None
    )
    if state.outcome is None or state.ended is None:
        return
    Gauge("glioloop_check_last_timestamp_seconds", "When the last check ended", registry=collector).set(state.ended)
    Gauge("glioloop_check_duration_seconds", "How long it took", registry=collector).set(state.outcome.seconds)
    dice = Gauge("glioloop_check_dice", "Agreement with the expected contours", ["region"], registry=collector)
    for region, value in state.outcome.dice.items():
        dice.labels(region).set(value)
