"""The durable workflow behind a patient's course: it follows a result, a correction, or the end of a study.

What was measured of a study is kept: only what has changed is done again, and only what says something new is written.
"""

from collections.abc import Iterable
from datetime import datetime

import structlog
from dbos import DBOS, EnqueueOptions
from pydantic import Field

from pipeline.archive.orthanc import PatientRecord
from pipeline.child.children import Lent
from pipeline.course import rows, searches, shown
from pipeline.course.candidate import Candidate, Followed
from pipeline.database.transactions import Tables, writing
from pipeline.errors import GlioLoopError
from pipeline.jobs import course_tasks, tasks
from pipeline.jobs.queues import CORRECTIONS_QUEUE, COURSE_WORKFLOW, LOW_PRIORITY
from pipeline.jobs.request import DeliveryTry
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.children import InChild, Job, computing
from pipeline.jobs.workflows.deliver import begin_delivery
from pipeline.jobs.workflows.resources import audit, database, queue, registry
from pipeline.jobs.workflows.routes import routes_of
from pipeline.jobs.workflows.steps import step
from pipeline.names import TEST_PATIENT_ID
from pipeline.records import StoredRecord

log = structlog.get_logger()


class CourseOutcome(StoredRecord):
    """What came of it.

    Attributes
    ----------
    studies
        Number of studies in the course.
    stored, to_send
        Orthanc's ids of the objects that are to be sent, by study, and by destination.
    again
        Jobs of earlier studies that the present network does anew.
    """

    studies: int = 0
    stored: dict[str, list[str]] = Field(default_factory=dict)
    to_send: dict[str, list[str]] = Field(default_factory=dict)
    again: tuple[str, ...] = ()


class CourseStudies(StoredRecord):
    """Studies of a patient's number that were segmented; none where there is nothing to compare."""

    patient: str = ""
    studies: tuple[str, ...] = ()


def enqueue_course(study: str, behind: bool = True) -> None:
    """Have the course that a study is part of looked at: by default once the workflow that calls this has ended."""
    if settings().priors.most:
        options = EnqueueOptions(
            workflow_name=COURSE_WORKFLOW,
            queue_name=CORRECTIONS_QUEUE,
            workflow_id=f"course-{study}-{DBOS.workflow_id}",
        )
        DBOS.enqueue_workflow_with_options(options, study, DBOS.workflow_id if behind else None)


def _patient_of(study: str) -> str | None:
    """Orthanc's id of a study's patient; also where the study is gone, which then is in no course any more."""
    record = archive().get(f"/studies/{study}")
    if record is not None:
        return str(record["ParentPatient"])
    patient = rows.patient_of(database(), study)
    searches.forget(database(), study)
    shown.forget(settings().state_folder, study)
    with writing(database(), Tables.COURSE) as connection:
        rows.forget(connection, study)
    return patient


def _candidates(studies: Iterable[str]) -> list[Candidate]:
    found = []
    for study in studies:
        jobs = [job for job in queue().jobs(study) if job.has_objects]
        requests = {job.id: request for job in jobs if (request := queue().request(job.id))}
        if requests:
            found.append(Candidate(study, jobs, requests))
    return found


@step("course-studies", talks_to_orthanc=True)
def _studies(study: str) -> CourseStudies:
    """Look whether there is anything to compare."""
    patient = _patient_of(study)
    record = archive().get(f"/patients/{patient}") if patient else None
    if record is None:
        return CourseStudies()
    found = PatientRecord.model_validate(record)
    studies = [one for one in found.studies if any(job.has_objects for job in queue().jobs(one))]
    told = any(searches.search_of(database(), one).is_told for one in studies)
    if found.patient_id == TEST_PATIENT_ID or (len(studies) < 2 and not told):
        return CourseStudies()
    return CourseStudies(patient=found.id, studies=tuple(studies))


@step("course", talks_to_orthanc=True)
def _follow(study: str, found: CourseStudies, lent: Lent) -> CourseOutcome:
    """Make the course anew, and ask for what has to be delineated again."""
    candidates = _candidates(found.studies)
    if not candidates:
        return CourseOutcome()
    anchor = study if any(one.study == study for one in candidates) else candidates[0].study
    child = InChild(Job(str(DBOS.workflow_id), lent), "course")
    followed: Followed = child(course_tasks.follow, found.patient, anchor, candidates)
    for made, resources in followed.stored.items():
        facts = {"study": made, "objects": resources, "studies": followed.studies}
        audit().append("followed", followed.jobs[made], "worker", facts, once=" ".join(resources))
    log.info("course followed", study=study, studies=followed.studies, made=sorted(followed.stored))
    return CourseOutcome(
        studies=followed.studies,
        stored=followed.stored,
        to_send=_to_send(followed),
        again=tuple(_do_again(child, followed)),
    )


def _do_again(child: InChild, followed: Followed) -> Iterable[str]:
    """Queue what another network had delineated, to be done by the present one and sent to nobody."""
    if not followed.again or not settings().priors.again:
        return
    for study in followed.again:
        try:
            card = registry().get(settings().model or None).card
            if card.identity != followed.model:  # the newest study itself is not by the present network
                return
            prepared = child(tasks.find_and_identify, study, COURSE_WORKFLOW, card).prepared
        except GlioLoopError as error:
            log.warning("prior not done again", study=study, code=error.code)
            continue
        if prepared is not None and not prepared.decision.missing:
            quiet_in = settings().turns.seconds_to_quiet(datetime.now())
            queue().enqueue_job(prepared.identity, prepared.request, LOW_PRIORITY, quiet_in)
            yield prepared.identity


@step("course-sent")
def _note_sent(stored: dict[str, list[str]]) -> None:
    for study, objects in stored.items():
        rows.sent(database(), study, objects)


@DBOS.workflow(name=COURSE_WORKFLOW, max_recovery_attempts=5)
def course(study: str, after: str | None = None) -> CourseOutcome:
    """Look at the course that a study is part of, and send what was made to where the study's results go.

    Parameters
    ----------
    after
        Id of the workflow that asked, whose outcome is part of it.
    """
    if after is not None:
        DBOS.get_result(after)
    found = _studies(study)
    if not found.studies:
        return CourseOutcome()
    with computing().lend() as lent:
        outcome = _follow(study, found, lent)
    for destination, resources in outcome.to_send.items():
        begin_delivery(DeliveryTry(job=str(DBOS.workflow_id), destination=destination, resources=resources))
    # Only now: whoever makes the course anew before sends what was made, too.
    _note_sent(outcome.stored)
    return outcome


def _to_send(followed: Followed) -> dict[str, list[str]]:
    """Orthanc's ids of what was made, by the destinations that the results of its study went to."""
    found: dict[str, list[str]] = {}
    for study, resources in followed.stored.items():
        request = queue().request(followed.jobs[study])
        view = queue().job(followed.jobs[study]) if settings().rules else None
        if request is not None and request.destinations is None and view is not None and view.result is not None:
            goes_to = [one.destination for one in routes_of(request, view.result) if "course" in one.send]
        else:
            named = settings().destinations_of(request.destinations if request else None)
            goes_to = [one.name for one in named if "course" in one.send]
        for name in goes_to:
            found.setdefault(name, []).extend(resources)
    return found
