"""The durable workflow of a check: send the sample, follow its job, compare, remove, tell."""

import shutil
import time
from typing import Final

import structlog
from dbos import DBOS

from pipeline.case.job import JobView
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.jobs import check_tasks as tasks
from pipeline.jobs.checks import CheckOptions, CheckOutcome, schedule_check
from pipeline.jobs.queues import CHECK_WORKFLOW
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.children import InChild, Job, talking
from pipeline.jobs.workflows.notify import announce_unwell
from pipeline.jobs.workflows.resources import audit, queue
from pipeline.jobs.workflows.steps import last_error, step
from pipeline.names import ENDED_JOBS
from pipeline.records import StoredRecord

log = structlog.get_logger()

_POLL_SECONDS: Final = 1.0


class Sent(StoredRecord):
    """The sample as a study: Orthanc's id of it, and when it was sent, seconds since 1970."""

    study: str
    began: float


@step("check-send", talks_to_orthanc=True)
def _send(identity: str) -> Sent:
    """Send the sample as a study that arrives."""
    began = time.time()
    with talking().lend() as lent:
        study = InChild(Job(identity, lent), "check-send")(tasks.send_sample, identity)
    if not settings().automatic:  # then nothing comes of it by itself
        queue().enqueue_intake(study, identity, "check")
    return Sent(study=study, began=began)


@step("check-follow")
def _follow(study: str) -> JobView:
    """Wait for the study's job while anything moves; return it.

    Raises
    ------
    GlioLoopError
        NODE_UNWELL where the job does not come about or does not end.
    """
    patience = max(600.0, 2 * settings().stage_deadline_seconds)
    seen: object = None
    last = time.monotonic()
    while time.monotonic() - last < patience:
        found = queue().jobs(study)
        if found and found[0].state in ENDED_JOBS:
            return found[0]
        # Behind other studies it only waits its turn: the number of those waiting changes.
        mark = [(one.state, one.stage, one.progress) for one in found], queue().waiting()
        if mark != seen:
            seen, last = mark, time.monotonic()
        time.sleep(_POLL_SECONDS)
    what = "its job does not end" if queue().jobs(study) else "no job comes of it"
    raise GlioLoopError("NODE_UNWELL", f"the sample study was sent, and {what}")


@step("check-compare", talks_to_orthanc=True)
def _compare(identity: str, job: JobView, record: bool) -> CheckOutcome:
    with talking().lend() as lent:
        return InChild(Job(identity, lent), "check-compare")(tasks.compare_sample, job, record)


@step("check-remove", talks_to_orthanc=True)
def _remove(study: str) -> None:
    """Leave no trace of the test study: neither images nor job. The study first, so that no look finds it again."""
    archive().delete(f"/studies/{study}")
    for job in queue().jobs(study):
        queue().client.delete_workflow(job.id)
        shutil.rmtree(settings().jobs_folder / job.id, ignore_errors=True)


@step("check-tell")
def _tell(identity: str, outcome: CheckOutcome) -> None:
    """Tell who keeps the node: by log and audit trail; health and metrics read the workflow's own outcome."""
    detail = outcome.error.detail if outcome.error else ""
    facts = {"well": outcome.well, "model": outcome.model, "detail": detail}
    audit().append("checked", identity, "worker", facts, once="outcome")
    if outcome.well:
        log.info("node is well", check=identity, model=outcome.model, dice=outcome.dice)
    else:
        log.error("node is unwell", check=identity, code="NODE_UNWELL", detail=detail)
        announce_unwell(identity, outcome.error or ErrorRecord.of(GlioLoopError("NODE_UNWELL")))


@DBOS.workflow(name=CHECK_WORKFLOW, max_recovery_attempts=20)
def check(options: object, rhythm: str = "") -> CheckOutcome | None:
    """Check the node; ends with a :class:`pipeline.jobs.checks.CheckOutcome`, or None where it is out of date."""
    identity = str(DBOS.workflow_id)
    hours = settings().check_every_hours
    if rhythm:
        if rhythm != f"{hours:g}h":
            return None  # of a rhythm that is no longer the configured one
        _next(hours)
    study, outcome = "", CheckOutcome(well=False)
    try:
        with last_error():
            sent = _send(identity)
            study = sent.study
            compared = _compare(identity, _follow(study), CheckOptions.model_validate(options).record)
            outcome = compared.model_copy(update={"seconds": _seconds_since(sent.began)})
    except GlioLoopError as error:
        detail = error.detail if error.code == "NODE_UNWELL" else f"{error.code} {error.detail}"
        unwell = ErrorRecord.of(GlioLoopError("NODE_UNWELL", detail))
        outcome = outcome.model_copy(update={"error": unwell})
    if study:
        try:
            with last_error():
                _remove(study)
        except GlioLoopError as error:
            log.error("test study not removed", study=study, code=error.code)
    _tell(identity, outcome)
    return outcome


@step("check-next")
def _next(hours: float) -> None:
    schedule_check(queue(), hours)


@step("check-seconds")
def _seconds_since(began: float) -> float:
    return round(time.time() - began, 1)
