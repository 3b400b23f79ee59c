"""The durable workflows of delivery: one for each try, so that nothing is held while the next one is waited for.

Tries wait in a queue with a part for each destination: one that is down costs a row of the database, one that
accepts and never answers costs its own slot, and the others are served meanwhile. What people see of a delivery
(state, tries, next try, error) is kept with the job.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from dbos import DBOS

from pipeline.case.job import Delivery
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import coded
from pipeline.jobs import tasks
from pipeline.jobs.queues import DELIVER_WORKFLOW
from pipeline.jobs.request import DeliveryTry
from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.children import InChild, Job, talking
from pipeline.jobs.workflows.resources import audit, queue
from pipeline.jobs.workflows.steps import step, workflow
from pipeline.names import DeliveryState, Stage
from pipeline.records import StoredRecord

log = structlog.get_logger()

#: Orthanc gives up long before; this is for an Orthanc that does not.
_SLOWEST_TRY_SECONDS: Final = 600.0


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
    """

    error: ErrorRecord | None = None
    seconds: float = 0.0
    wait: float | None = None


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
        with coded(stage), talking().lend() as lent:
            most_seconds = min(_SLOWEST_TRY_SECONDS, settings().stage_deadline_seconds * 0.8)
            InChild(Job(one.job, lent), stage)(tasks.forward, one.destination, one.resources, most_seconds)
    except GlioLoopError as error:
        log.warning("forward failed", code=error.code, detail=error.detail, **facts)
        waits = settings().forward_retry_seconds
        again = one.attempt <= len(waits) and error.code != "STUDY_GONE"
        seconds = round(time.perf_counter() - start, 3)
        return _Sent(error=ErrorRecord.of(error), seconds=seconds, wait=waits[one.attempt - 1] if again else None)
    seconds = round(time.perf_counter() - start, 3)
    log.info("forwarded", seconds=seconds, **facts)
    return _Sent(seconds=seconds)


@step("delivery-state")
def _note(one: DeliveryTry, state: Delivery) -> None:
    noted = {"number": one.number}
    wait = state.next_in_seconds
    due = {} if wait is None else {"next_try": (datetime.now(UTC) + timedelta(seconds=wait)).isoformat()}
    queue().report(one.job, **{one.key: state.model_copy(update=noted | due).as_json()})


@workflow(name=DELIVER_WORKFLOW, max_recovery_attempts=20)
def deliver(request: object, *earlier_form: object) -> None:
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
        What the last try ended with, FORWARD_FAILED as a rule; STUDY_GONE where there is nothing left to send.
    """
    one = DeliveryTry.read(request, *earlier_form)
    outcome = _forward(one)
    seconds = round(one.seconds + outcome.seconds, 3)
    failure = outcome.error
    if failure is None:
        facts = {"to": one.destination, "resources": one.resources}
        audit().append("forwarded", one.job, "worker", facts, once=one.destination)
        _note(one, Delivery(state=DeliveryState.DONE, attempts=one.attempt, seconds=seconds))
    elif outcome.wait is None:
        _note(one, Delivery(state=DeliveryState.FAILED, attempts=one.attempt, error=failure))
        raise failure.error
    else:
        following = one.following(seconds)
        state = Delivery(state=DeliveryState.WAITING, attempts=one.attempt, error=failure, next_in_seconds=outcome.wait)
        # Under the number of the try to come: whoever cancels or asks for the delivery means that one.
        _note(following, state)
        DBOS.enqueue_workflow_with_options(following.options(outcome.wait), following.model_dump(mode="json"))
