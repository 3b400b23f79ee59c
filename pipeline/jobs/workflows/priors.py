"""The durable workflow that fetches a patient's earlier studies from other archives, beside the study that asks.

Nothing waits for it. A study that comes so is delineated after every other one and sent to nobody; its end makes the
course anew. An archive that does not answer is asked again after the waits of deliveries, and told meanwhile.
"""

import structlog
from dbos import DBOS, EnqueueOptions

from pipeline.course import searches
from pipeline.course.archives import PriorSearch, RemoteStudy
from pipeline.course.records import LeftOut
from pipeline.errors import GlioLoopError
from pipeline.jobs import course_tasks
from pipeline.jobs.queues import ARCHIVE, COURSE_WORKFLOW, PRIORS_QUEUE, PRIORS_WORKFLOW
from pipeline.jobs.request import JobRequest
from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.children import InChild, Job, talking
from pipeline.jobs.workflows.course import enqueue_course
from pipeline.jobs.workflows.resources import audit, database
from pipeline.jobs.workflows.steps import step
from pipeline.records import StoredRecord

log = structlog.get_logger()


class Fetched(StoredRecord):
    """What came of fetching a study: why it is of no use, or what kept it from coming; both empty where it is here."""

    left_out: str = ""
    failed: str = ""


def enqueue_priors(request: JobRequest) -> None:
    """Have the priors of a job's study looked for in other archives; called from the job's workflow."""
    policy = settings().priors
    if policy.archives and policy.most and request.origin not in (COURSE_WORKFLOW, ARCHIVE):
        _enqueue(f"priors-{DBOS.workflow_id}", request.study, 1, 0)


def _enqueue(identity: str, study: str, attempt: int, wait: float) -> None:
    options: EnqueueOptions = {
        "workflow_name": PRIORS_WORKFLOW,
        "queue_name": PRIORS_QUEUE,
        "workflow_id": identity,
    }
    if wait:
        options["delay_seconds"] = wait
    DBOS.enqueue_workflow_with_options(options, study, attempt)


@step("prior-search", talks_to_orthanc=True)
def _search(study: str) -> PriorSearch:
    with talking().lend() as lent:
        child = InChild(Job(str(DBOS.workflow_id), lent), "prior-search")
        try:
            found: PriorSearch = child(course_tasks.search_priors, study)
        except GlioLoopError as error:
            if error.code != "STUDY_UNKNOWN":
                raise
            return PriorSearch()
    return found


@step("prior-fetch", talks_to_orthanc=True)
def _fetch(study: str, wanted: RemoteStudy) -> Fetched:
    # Before anything of it is here: it would be taken for a new study.
    searches.expect(database(), wanted.orthanc_id)
    with talking().lend() as lent:
        child = InChild(Job(str(DBOS.workflow_id), lent), "prior-fetch")
        try:
            why = child(course_tasks.fetch_prior, study, wanted)
        except GlioLoopError as error:
            if error.code not in ("QUERY_FAILED", "RETRIEVE_FAILED"):
                raise
            log.warning("prior not fetched", study=study, modality=wanted.modality, code=error.code)
            return Fetched(failed=f"{error.code}: {error.reason.message}")
    facts = {"for": study, "from": wanted.modality, "left_out": why}
    audit().append("fetched", wanted.orthanc_id, "worker", facts, once=str(DBOS.workflow_id))
    return Fetched(left_out=why)


@step("prior-search-noted")
def _note(study: str, found: PriorSearch) -> None:
    searches.note(database(), study, found)


@DBOS.workflow(name=PRIORS_WORKFLOW, max_recovery_attempts=20)
def priors(study: str, attempt: int = 1) -> PriorSearch:
    """Look for a study's priors in other archives, and fetch them one after the other.

    Parameters
    ----------
    study
        Orthanc's id of the study.
    attempt
        Of the tries since a job asked, from 1.
    """
    found = _search(study)
    failed, left_out = dict(found.failed), list(found.left_out)
    for wanted in found.wanted:
        if wanted.modality in failed:
            continue
        outcome = _fetch(study, wanted)
        if outcome.failed:
            failed[wanted.modality] = outcome.failed
        elif outcome.left_out:
            left_out.append(LeftOut(study=wanted.study_instance_uid, why=outcome.left_out))
    found = found.model_copy(update={"failed": failed, "left_out": tuple(left_out)})
    _note(study, found)
    waits = settings().forward_retry_seconds
    if failed and attempt <= len(waits):
        first = str(DBOS.workflow_id).partition(".")[0]
        _enqueue(f"{first}.{attempt + 1}", study, attempt + 1, waits[attempt - 1])
    # What came makes the course anew at the end of its own job; what did not is told now.
    if failed or left_out or attempt > 1:
        enqueue_course(study, behind=False)
    log.info("priors looked for", study=study, fetched=len(found.wanted), left_out=len(left_out), failed=sorted(failed))
    return found
