"""The durable workflow that fetches studies from another archive; what comes is taken like what a scanner sends."""

from datetime import datetime
from typing import Any

import structlog
from dbos import DBOS, EnqueueOptions

from pipeline.archive.query import asked, retrieve
from pipeline.archive.study import find_study
from pipeline.errors import GlioLoopError
from pipeline.jobs.fetching import FetchOutcome
from pipeline.jobs.queues import FETCH_QUEUE, FETCH_SCHEDULE_WORKFLOW, FETCH_WORKFLOW
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.resources import audit
from pipeline.jobs.workflows.schedules import daily, schedule
from pipeline.jobs.workflows.steps import last_error, step
from pipeline.settings import StudyQuery

log = structlog.get_logger()


@step("fetch-find", talks_to_orthanc=True)
def _find(query: StudyQuery) -> tuple[str, ...]:
    wanted = query.attributes(datetime.now().astimezone().date())
    with asked(archive(), query.modality, "Study", wanted) as answered:
        found = tuple(dict.fromkeys(one.get("StudyInstanceUID", "") for one in answered.answers))
    if len(found) > query.most:
        raise GlioLoopError("QUERY_TOO_WIDE", f"{len(found)} studies, {query.most} allowed")
    return tuple(filter(None, found))


@step("fetch-here", talks_to_orthanc=True)
def _is_here(uid: str) -> bool:
    try:
        find_study(archive(), uid)
    except GlioLoopError as error:
        if error.code == "STUDY_UNKNOWN":
            return False
        if error.code != "STUDY_AMBIGUOUS":
            raise
    return True


@step("fetch-retrieve", talks_to_orthanc=True)
def _retrieve(modality: str, uid: str, user: str) -> str:
    """Fetch one study; return why it did not come, or nothing."""
    try:
        with asked(archive(), modality, "Study", {"StudyInstanceUID": uid}) as answered:
            retrieve(archive(), answered, range(len(answered.answers)), settings().stage_deadline_seconds)
    except GlioLoopError as error:
        if error.code not in ("QUERY_FAILED", "RETRIEVE_FAILED"):
            raise
        log.warning("study not fetched", modality=modality, code=error.code, detail=error.detail)
        return f"{error.code}: {error.detail}"
    audit().append("fetched", uid, user, {"from": modality}, once=str(DBOS.workflow_id))
    return ""


@DBOS.workflow(name=FETCH_WORKFLOW, max_recovery_attempts=5)
def fetch(query: object, user: str) -> FetchOutcome:
    """Find studies at a modality and have those sent that are not here, one after the other.

    Raises
    ------
    GlioLoopError
        MODALITY_UNKNOWN, QUERY_FAILED, QUERY_TOO_WIDE.
    """
    wanted = StudyQuery.model_validate(query)
    with last_error():
        found = _find(wanted)
        here = tuple(uid for uid in found if not wanted.study and _is_here(uid))
        told = {uid: _retrieve(wanted.modality, uid, user) for uid in found if uid not in here}
    fetched = tuple(uid for uid, why in told.items() if not why)
    log.info("fetched", modality=wanted.modality, found=len(found), here=len(here), fetched=len(fetched))
    return FetchOutcome(found=found, here=here, fetched=fetched, failed={uid: why for uid, why in told.items() if why})


@DBOS.workflow(name=FETCH_SCHEDULE_WORKFLOW)
def fetch_scheduled(_at: datetime, name: Any) -> None:
    """Ask what the settings name so; nothing where they no longer do."""
    for one in settings().fetch:
        if one.name == name:
            query = one.model_dump(mode="json", exclude={"name", "daily"})
            options = EnqueueOptions(
                workflow_name=FETCH_WORKFLOW, queue_name=FETCH_QUEUE, workflow_id=f"fetch-{DBOS.workflow_id}"
            )
            DBOS.enqueue_workflow_with_options(options, query, f"schedule {name}")


def schedule_fetches() -> None:
    """Ask every day what the settings want."""
    for one in settings().fetch:
        schedule(f"glioloop-fetch-{one.name}", fetch_scheduled, daily(one.daily), one.name)
