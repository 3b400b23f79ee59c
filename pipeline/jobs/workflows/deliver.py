"""The durable workflows of delivery: one for each try, so that nothing is held while the next one is waited for.

Tries wait in a queue with a part for each destination: one that is down costs a row of the database, one that
accepts and never answers costs its own slot, and the others are served meanwhile. What people see of a delivery
(state, tries, next try, error) is kept with the job. Where a destination commits to keep what it gets, each look for
that is such a workflow, too, further and further apart.
"""

import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from threading import BoundedSemaphore
from typing import Final

import structlog
from dbos import DBOS
from dbos import error as dbos_error

from pipeline.archive.commitment import COMMITTED, PENDING, ask_commitment, commitment_of
from pipeline.archive.forward import await_sent, sent_by_orthanc
from pipeline.case.job import Delivery
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import coded
from pipeline.jobs import tasks
from pipeline.jobs.queues import DELIVER_WORKFLOW
from pipeline.jobs.request import DeliveryTry
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.children import InChild, Job, cancelled, talking
from pipeline.jobs.workflows.notify import announce_failed_delivery
from pipeline.jobs.workflows.resources import audit, queue
from pipeline.jobs.workflows.steps import step
from pipeline.names import DeliveryState, Stage
from pipeline.records import StoredRecord
from pipeline.settings import AnyDestination, Modality

log = structlog.get_logger()

#: Orthanc gives up long before; this is for an Orthanc that does not.
_SLOWEST_TRY_SECONDS: Final = 600.0
#: The first looks for a commitment are so far apart; then as far as what has passed.
_FIRST_LOOK_SECONDS: Final = 1.0
_LONGEST_LOOK_SECONDS: Final = 1800.0
#: What Orthanc sends is begun at once; more children than this would take longer to start than they have to do.
_BEGINNING: Final = BoundedSemaphore(3)


class _Sent(StoredRecord):
    """How one try ended.

    Attributes
    ----------
    error
        None where it succeeded.
    seconds
        What it took.
    wait
        Seconds until the next try; None where there is none.
    sent
        When it succeeded, seconds since 1970.
    """

    error: ErrorRecord | None = None
    seconds: float = 0.0
    wait: float | None = None
    sent: float | None = None


class _Looked(StoredRecord):
    """What a look for a destination's commitment found.

    Attributes
    ----------
    status
        As the destination told; empty where it could not be asked.
    transaction
        To look for the next time; empty where it has to be asked for again.
    error
        Why there is no commitment.
    seconds
        Since everything was sent.
    """

    status: str = ""
    transaction: str = ""
    error: ErrorRecord | None = None
    seconds: float = 0.0


def begin_delivery(first: DeliveryTry) -> None:
    """Put a delivery before its destination; to be called from a workflow."""
    # Known before the workflow that asks ends, so that the job is at no moment "done" with its delivery to come.
    _note(first, Delivery(state=DeliveryState.QUEUED, attempts=0))
    DBOS.enqueue_workflow_with_options(first.options(), first.model_dump(mode="json"))


@step(Stage.FORWARD)
def _forward(one: DeliveryTry) -> _Sent:
    """Send once; a failure is an outcome here, so that it is recorded with the try, and when the next one is due."""
    start = time.perf_counter()
    report = Delivery(state=DeliveryState.RUNNING, number=one.number, attempts=one.attempt)
    queue().report(one.job, stage=Stage.FORWARD.value, **{one.key: report.as_json()})
    stage = f"{Stage.FORWARD}.{one.destination}"  # several destinations are served at once
    facts = {"job": one.job, "modality": one.destination, "attempt": one.attempt}
    try:
        with coded(stage):
            _try(one, stage)
    except GlioLoopError as error:
        log.warning("forward failed", code=error.code, detail=error.detail, **facts)
        seconds = round(time.perf_counter() - start, 3)
        return _Sent(error=ErrorRecord.of(error), seconds=seconds, wait=_wait(one, error.code))
    seconds = round(time.perf_counter() - start, 3)
    log.info("forwarded", seconds=seconds, **facts)
    return _Sent(seconds=seconds, sent=time.time())


def _try(one: DeliveryTry, stage: str) -> None:
    most_seconds = min(_SLOWEST_TRY_SECONDS, settings().stage_deadline_seconds * 0.8)
    destination, identity = _destination(one), str(DBOS.workflow_id)
    with _BEGINNING if sent_by_orthanc(destination) else nullcontext(), talking().lend() as lent:
        child = InChild(Job(one.job, lent), stage)
        orthanc_job = child(tasks.forward, one.destination, one.resources, most_seconds)
    # No child is held by a destination that is slow: this thread costs nothing.
    if orthanc_job is not None and not await_sent(
        archive(), destination, one.resources, orthanc_job, most_seconds, lambda: cancelled(identity)
    ):
        raise dbos_error.DBOSWorkflowCancelledError(f"{identity} was cancelled")


def _destination(one: DeliveryTry) -> AnyDestination:
    return settings().destination(one.destination)


def _wait(one: DeliveryTry, code: str) -> float | None:
    """Seconds until the try after one that failed; None where it was the last."""
    waits = _destination(one).retry_seconds
    waits = settings().forward_retry_seconds if waits is None else waits
    return waits[one.attempt - 1] if one.attempt <= len(waits) and code != "STUDY_GONE" else None


@step("commitment")
def _look(one: DeliveryTry, sent: float) -> _Looked:
    """Look for a destination's commitment; what keeps it from being asked is an outcome, too."""
    stage = f"commitment.{one.destination}"
    transaction, error = one.transaction, None
    try:
        with coded(stage):
            found = commitment_of(archive(), transaction) if transaction else None
            if found is None:
                transaction = ask_commitment(archive(), _destination(one).address, one.resources)
        status = PENDING if found is None else found.status
        if status not in (PENDING, COMMITTED) and found:
            error = ErrorRecord.of(GlioLoopError("COMMITMENT_MISSING", found.reason))
    except GlioLoopError as failure:
        log.warning("no commitment", job=one.job, to=one.destination, code=failure.code, detail=failure.detail)
        status, transaction, error = "", "", ErrorRecord.of(failure)
    return _Looked(status=status, transaction=transaction, error=error, seconds=round(time.time() - sent, 3))


@step("delivery-state")
def _note(one: DeliveryTry, state: Delivery) -> None:
    noted = {"number": one.number}
    wait = state.next_in_seconds
    due = {} if wait is None else {"next_try": (datetime.now(UTC) + timedelta(seconds=wait)).isoformat()}
    queue().report(one.job, **{one.key: state.model_copy(update=noted | due).as_json()})


@step("delivery-alternate")
def _hand_over(one: DeliveryTry, alternate: str) -> None:
    """Have the alternate get it, which may have got other objects of the job already."""
    queue().deliveries.more(one.job, alternate, one.resources)


def _enqueue(one: DeliveryTry, state: Delivery, wait: float) -> Delivery:
    # Under the number of the try to come: whoever cancels or asks for the delivery means that one.
    _note(one, state)
    DBOS.enqueue_workflow_with_options(one.options(wait), one.model_dump(mode="json"))
    return state


@DBOS.workflow(name=DELIVER_WORKFLOW, max_recovery_attempts=20)
def deliver(request: object, *earlier_form: object) -> Delivery:
    """Try once to send results to one destination; put the next try off where this one fails.

    Parameters
    ----------
    request
        A :class:`pipeline.jobs.request.DeliveryTry` as JSON.
    earlier_form
        What an earlier version of the product queued: job, destination and resources one by one.

    Raises
    ------
    GlioLoopError
        What the last try ended with, FORWARD_FAILED as a rule; STUDY_GONE where there is nothing left to send;
        COMMITMENT_MISSING where the destination never committed to keep it.
    """
    one = DeliveryTry.read(request, *earlier_form)
    return _send(one) if one.sent is None else _await_commitment(one, one.sent)


def _send(one: DeliveryTry) -> Delivery:
    outcome = _forward(one)
    seconds = round(one.seconds + outcome.seconds, 3)
    if outcome.error is not None:
        return _again(one, outcome.error, outcome.wait, seconds)
    facts = {"to": one.destination, "resources": one.resources}
    audit().append("forwarded", one.job, "worker", facts, once=one.destination)
    destination = _destination(one)
    if outcome.sent is not None and isinstance(destination, Modality) and destination.commitment:
        state = Delivery(
            state=DeliveryState.COMMITTING,
            attempts=one.attempt,
            seconds=seconds,
            committed=False,
            next_in_seconds=_FIRST_LOOK_SECONDS,
        )
        return _enqueue(one.looking(outcome.sent, seconds), state, _FIRST_LOOK_SECONDS)
    state = Delivery(state=DeliveryState.DONE, attempts=one.attempt, seconds=seconds)
    _note(one, state)
    return state


def _again(one: DeliveryTry, failure: ErrorRecord, wait: float | None, seconds: float) -> Delivery:
    """Put the next try off; after the last one hand over to the alternate, if there is one, and raise the failure."""
    if wait is not None:
        state = Delivery(state=DeliveryState.WAITING, attempts=one.attempt, error=failure, next_in_seconds=wait)
        return _enqueue(one.following(seconds), state, wait)
    alternate = _destination(one).alternate if failure.code != "STUDY_GONE" else None
    state = Delivery(state=DeliveryState.FAILED, attempts=one.attempt, error=failure)
    if alternate is not None:
        _hand_over(one, alternate)
        state = state.model_copy(update={"replaced_by": alternate})
    _note(one, state)
    announce_failed_delivery(one.job, one.destination, failure)
    raise failure.error


def _await_commitment(one: DeliveryTry, sent: float) -> Delivery:
    destination = _destination(one)
    looked = _look(one, sent)
    if not isinstance(destination, Modality) or looked.status == COMMITTED:
        audit().append("committed", one.job, "worker", {"to": one.destination}, once=one.destination)
        done = Delivery(state=DeliveryState.DONE, attempts=one.attempt, seconds=one.seconds, committed=True)
        _note(one, done)
        return done
    if looked.status not in ("", PENDING):  # the destination says that it does not keep it
        error = looked.error or ErrorRecord.of(GlioLoopError("COMMITMENT_MISSING", looked.status))
        return _again(one, error, _wait(one, error.code), one.seconds)
    kept = Delivery(state=DeliveryState.LATE, attempts=one.attempt, seconds=one.seconds, committed=False)
    late = looked.error or ErrorRecord.of(GlioLoopError("COMMITMENT_MISSING", f"none after {looked.seconds:.0f} s"))
    if looked.seconds > destination.commitment_most_seconds:
        over = {"state": DeliveryState.UNCOMMITTED, "error": late}
        _note(one, kept.model_copy(update=over))
        announce_failed_delivery(one.job, one.destination, late)
        raise late.error
    if looked.seconds > destination.commitment_late_seconds:
        shown: dict[str, object] = {"error": late}
    else:
        shown = {"state": DeliveryState.COMMITTING, "error": looked.error}
    wait = min(max(looked.seconds, _FIRST_LOOK_SECONDS), _LONGEST_LOOK_SECONDS, destination.commitment_most_seconds)
    state = kept.model_copy(update=shown | {"next_in_seconds": wait})
    return _enqueue(one.looking(sent, one.seconds, looked.transaction), state, wait)
