"""The durable workflows of delivery: one for each try, so that nothing is held while the next one is waited for.

Tries wait in a queue with a part for each destination: one that is down costs a row of the database, one that
accepts and never answers costs its own slot, and the others are served meanwhile. What people see of a delivery
(state, tries, next try, error) is kept with the job.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from dbos import DBOS

from pipeline.archive.forward import forward_once
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import coded
from pipeline.jobs.deadline import WATCH
from pipeline.jobs.queues import DELIVER_WORKFLOW
from pipeline.jobs.request import DeliveryTry
from pipeline.jobs.workflows.resources import archive, audit, queue, settings
from pipeline.jobs.workflows.steps import refuse_endless, step
from pipeline.names import Stage

log = structlog.get_logger()

#: Orthanc gives up long before; this is for an Orthanc that does not.
_SLOWEST_TRY_SECONDS: Final = 600.0


def begin_delivery(first: DeliveryTry) -> None:
    """Put a delivery before its destination; to be called from a workflow."""
    # Known before the workflow that asks ends, so that the job is at no moment "done" with its delivery to come.
    _note(first, {"state": "queued", "attempts": 0})
    DBOS.enqueue_workflow_with_options(first.options(), first.model_dump(mode="json"))


@step(Stage.FORWARD)
def _forward(one: DeliveryTry) -> dict[str, Any]:
    """Send once; a failure is an outcome here, so that it is recorded with the try, and when the next one is due."""
    start = time.perf_counter()
    report = {"state": "running", "attempts": one.attempt, "number": one.number}
    queue().report(one.job, stage=Stage.FORWARD.value, **{one.key: report})
    stage = f"{Stage.FORWARD}.{one.destination}"  # several destinations are served at once
    deadline = settings().stage_deadline_seconds
    facts = {"job": one.job, "modality": one.destination, "attempt": one.attempt}
    try:
        refuse_endless(one.job, stage)
        with coded(stage), WATCH.at_work(one.job, stage):
            forward_once(archive(), one.destination, one.resources, min(_SLOWEST_TRY_SECONDS, deadline * 0.8))
    except GlioLoopError as error:
        log.warning("forward failed", code=error.code, detail=error.detail, **facts)
        waits = settings().forward_retry_seconds
        again = one.attempt <= len(waits) and error.code != "STUDY_GONE"
        seconds = round(time.perf_counter() - start, 3)
        return {"error": error.as_json(), "seconds": seconds, "wait": waits[one.attempt - 1] if again else None}
    seconds = round(time.perf_counter() - start, 3)
    log.info("forwarded", seconds=seconds, **facts)
    return {"error": None, "seconds": seconds}


@step("delivery-state")
def _note(one: DeliveryTry, state: dict[str, Any]) -> None:
    wait = state.get("next_in_seconds")
    due = {} if wait is None else {"next_try": (datetime.now(UTC) + timedelta(seconds=wait)).isoformat()}
    queue().report(one.job, **{one.key: {"number": one.number, **state, **due}})


@DBOS.workflow(name=DELIVER_WORKFLOW, max_recovery_attempts=20)
def deliver(request: dict[str, Any] | str, *earlier_form: Any) -> None:
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
    seconds = round(one.seconds + outcome["seconds"], 3)
    failure = outcome["error"]
    if failure is None:
        facts = {"to": one.destination, "resources": one.resources}
        audit().append("forwarded", one.job, "worker", facts, once=one.destination)
        _note(one, {"state": "done", "attempts": one.attempt, "seconds": seconds})
    elif outcome["wait"] is None:
        _note(one, {"state": "failed", "attempts": one.attempt, "error": failure})
        raise GlioLoopError(failure["code"], failure["detail"])
    else:
        following = one.following(seconds)
        state = {"state": "waiting", "attempts": one.attempt, "error": failure, "next_in_seconds": outcome["wait"]}
        # Under the number of the try to come: whoever cancels or asks for the delivery means that one.
        _note(following, state)
        DBOS.enqueue_workflow_with_options(following.options(outcome["wait"]), following.model_dump(mode="json"))
