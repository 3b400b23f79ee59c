"""The durable workflows of intake: a study that arrived is looked at, and what follows of it is queued.

An automatic look never repeats work: where a job of the same images is there already it does nothing, whichever network
made it. Only a person asks for a study a second time.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final

import structlog
from dbos import DBOS, EnqueueOptions, SetWorkflowID

from pipeline.archive.study import find_study
from pipeline.course import searches
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import coded
from pipeline.jobs import tasks
from pipeline.jobs.changes import ChangeCursor
from pipeline.jobs.preparation import refused
from pipeline.jobs.queues import (
    CORRECTIONS_QUEUE,
    CORRECTIONS_WORKFLOW,
    COURSE_WORKFLOW,
    DEFAULT_PRIORITY,
    INTAKE_QUEUE,
    INTAKE_WORKFLOW,
    LOW_PRIORITY,
    READY,
    RESCAN_WORKFLOW,
    URGENT_PRIORITY,
)
from pipeline.jobs.request import JobRequest
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.children import InChild, Job, talking
from pipeline.jobs.workflows.resources import audit, database, queue, registry
from pipeline.jobs.workflows.steps import last_error, step
from pipeline.names import MRSequence
from pipeline.records import StoredRecord

log = structlog.get_logger()

_STAGE: Final = "intake"


def _cursor() -> ChangeCursor:
    return ChangeCursor(queue().engine, archive())


class Finding(StrEnum):
    """What came of a look at a study."""

    GONE = "gone"
    STILL_ARRIVING = "still arriving"
    INCOMPLETE = "incomplete"
    KNOWN = "known"
    QUEUED = "queued"
    GIVEN_UP = "given up"


class IntakeOutcome(StoredRecord):
    """A look at a study.

    Attributes
    ----------
    outcome
        What came of it.
    code
        Why nothing came of it, or why the study is refused.
    missing
        Sequences that are waited for.
    job
        The job of the study's images.
    until
        End of Orthanc's log of changes when the look began; of a look that counts as one.
    test
        Whether it is the node's own test study.
    """

    outcome: Finding
    code: str = ""
    missing: tuple[MRSequence, ...] = ()
    job: str = ""
    until: int | None = None
    test: bool = False


class Changed(StoredRecord):
    """Studies for which something arrived that no look has seen, and the end of the log of changes."""

    studies: tuple[str, ...]
    last: int


# Here there is no job yet that could say why nothing came of a study.
@step("look", talks_to_orthanc=True, waits_for=("DISK_FULL", "OUT_OF_MEMORY"))
def _inspect(study_id: str, origin: str) -> IntakeOutcome:
    """Look at a study and queue what follows: a job, a second look after the grace time, or nothing."""
    with coded("look"), talking().lend() as lent:
        if origin == READY and searches.is_prior(database(), study_id):
            return IntakeOutcome(outcome=Finding.STILL_ARRIVING)  # nobody waits for it
        end = _cursor().end()
        outcome = _inspected(InChild(Job(str(DBOS.workflow_id), lent), _STAGE), study_id, origin)
        # A look before the study was stable leaves corrections out, and counts as none.
        counts = outcome.outcome is not Finding.STILL_ARRIVING and origin != READY
        return outcome.model_copy(update={"until": end}) if counts else outcome


def _inspected(child: InChild, study_id: str, origin: str) -> IntakeOutcome:
    prior = searches.is_prior(database(), study_id)
    card = unknown = None
    try:
        # A registry that is being put right is waited for like a sequence that lacks.
        card = registry().get(settings().model or None).card
    except GlioLoopError as error:
        unknown = error
    try:
        found = child(tasks.find_and_identify, study_id, COURSE_WORKFLOW if prior else origin, card)
    except GlioLoopError as error:
        if error.code != "STUDY_UNKNOWN":
            raise
        return IntakeOutcome(outcome=Finding.GONE, code=error.code)
    study = found.study
    audit().append(
        "received",
        study.orthanc_id,
        origin,
        {
            "study_instance_uid": study.study_instance_uid,
            "series": len(study.series),
            "instances": study.instance_count,
        },
        once=str(DBOS.workflow_id),
    )
    if origin in ("grace", "rescan") and not study.stable:
        return IntakeOutcome(outcome=Finding.STILL_ARRIVING)  # its own stable event follows
    reason = unknown or found.error
    if origin == READY and (reason is not None or found.prepared is None or not found.whole):
        return IntakeOutcome(outcome=Finding.STILL_ARRIVING)
    if reason is not None and reason.reason.kind is not Kind.REFUSAL:
        raise reason
    first = origin in ("stable", "rescan")
    if found.prepared is None:
        assert reason is not None
        if first:
            return IntakeOutcome(outcome=Finding.INCOMPLETE, code=reason.code)
        identity, request = refused(study, reason, card.identity if card else "", origin)
    else:
        identity, request = found.prepared.identity, found.prepared.request
        missing = found.prepared.decision.missing
        if missing and first and not queue().same_input(request):
            return IntakeOutcome(outcome=Finding.INCOMPLETE, missing=missing)
    urgent = settings().turns.urgent(study.description)
    priority = LOW_PRIORITY if prior else URGENT_PRIORITY if urgent else DEFAULT_PRIORITY
    outcome = _queue_once(identity, request, priority, lambda: _sender(request))
    return outcome.model_copy(update={"test": True}) if study.is_test else outcome


def _sender(request: JobRequest) -> str:
    """AE title that the images came from; empty where they did not come from one."""
    images = next((one for one in request.instances.values() if one), None)
    known = archive().get(f"/instances/{images[0]}/metadata?expand") if images else None
    return str((known or {}).get("RemoteAET", ""))


def _queue_once(
    identity: str, request: JobRequest, priority: int = DEFAULT_PRIORITY, sender: Callable[[], str] = str
) -> IntakeOutcome:
    """Queue a job unless there is one of the same images: by another network, by an earlier version, or waiting.

    The archive is asked for its sender only where it is queued.
    """
    known = queue().same_input(request)
    if known is not None:
        return IntakeOutcome(outcome=Finding.KNOWN, job=known)
    quiet_in = settings().turns.seconds_to_quiet(datetime.now()) if priority == LOW_PRIORITY else None
    queue().enqueue_job(identity, request, priority, quiet_in, sender())
    return IntakeOutcome(outcome=Finding.QUEUED, job=identity)


@step("give-up", talks_to_orthanc=True)
def _give_up(study_id: str, origin: str, failure: ErrorRecord) -> IntakeOutcome:
    """Queue a job that says why a study could not even be looked at: none disappears without a reason."""
    error = failure.error
    study = find_study(archive(), study_id)
    identity, request = refused(study, error, settings().model or "", origin)
    queued = _queue_once(identity, request)
    return queued.model_copy(update={"outcome": Finding.GIVEN_UP, "code": error.code})


def _inspect_or_give_up(study_id: str, origin: str) -> IntakeOutcome:
    try:
        with last_error():
            return _inspect(study_id, origin)
    except GlioLoopError as error:
        log.error("study not looked at", study=study_id, origin=origin, code=error.code, detail=error.detail)
        return _give_up(study_id, origin, ErrorRecord.of(error))


@step("look-noted", talks_to_orthanc=True)
def _note_inspection(study_id: str, until: int) -> None:
    _cursor().note_inspection(study_id, until)


@DBOS.workflow(name=INTAKE_WORKFLOW)
def intake(study_id: str, origin: str) -> IntakeOutcome:
    """Look at a study; where sequences lack, look again after the grace time and then decide."""
    outcome = _inspect_or_give_up(study_id, origin)
    if outcome.outcome is Finding.INCOMPLETE:
        DBOS.enqueue_workflow_with_options(
            EnqueueOptions(
                workflow_name=INTAKE_WORKFLOW,
                queue_name=INTAKE_QUEUE,
                workflow_id=f"{DBOS.workflow_id}-grace",
                delay_seconds=settings().grace_seconds,
            ),
            study_id,
            "grace",
        )
    learns = settings().feedback.enabled and not outcome.test
    if learns and origin in ("stable", "rescan") and outcome.outcome is not Finding.GONE:
        DBOS.enqueue_workflow_with_options(
            EnqueueOptions(
                workflow_name=CORRECTIONS_WORKFLOW,
                queue_name=CORRECTIONS_QUEUE,
                workflow_id=f"{DBOS.workflow_id}-feedback",
            ),
            study_id,
        )
    # Only now: what follows of the look is queued, and a start need not find the study again.
    if outcome.until is not None:
        _note_inspection(study_id, outcome.until)
    log.info("study looked at", study=study_id, origin=origin, **outcome.as_json())
    return outcome


@step("changed-studies", talks_to_orthanc=True)
def _changed_studies() -> Changed:
    studies, end = _cursor().changed_studies()
    return Changed(studies=tuple(studies), last=end)


@step("changes-seen")
def _move_cursor(sequence: int) -> None:
    _cursor().move(sequence)


@DBOS.workflow(name=RESCAN_WORKFLOW)
def rescan() -> int:
    """Look at every study for which something arrived that no look has seen."""
    changed = _changed_studies()
    for study in changed.studies:
        with SetWorkflowID(f"{DBOS.workflow_id}-{study}"):
            DBOS.enqueue_workflow(INTAKE_QUEUE, intake, study, "rescan")
    # Only now: a worker that dies before looks at all of them again, and none is lost.
    _move_cursor(changed.last)
    log.info("rescan", studies=len(changed.studies))
    return len(changed.studies)
