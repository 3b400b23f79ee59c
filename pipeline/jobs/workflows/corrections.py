"""The durable workflow behind a study's event: find corrections in it and keep them.

A step of its own for each object: a worker that dies in the middle looks at that object again, and the
store keeps the same correction once.
"""

from datetime import UTC, datetime
from typing import Final

import structlog
from dbos import DBOS

from pipeline.child.children import Lent
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.verdicts import Outcome, Verdict
from pipeline.errors import GlioLoopError
from pipeline.jobs import tasks
from pipeline.jobs.queues import CORRECTIONS_WORKFLOW
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.children import InChild, Job, computing
from pipeline.jobs.workflows.course import enqueue_course
from pipeline.jobs.workflows.resources import audit, database, queue
from pipeline.jobs.workflows.routes import send_approved
from pipeline.jobs.workflows.steps import step
from pipeline.names import JobState
from pipeline.records import StoredRecord

log = structlog.get_logger()

_MODALITIES = ("RTSTRUCT", "SEG")
GONE: Final = "gone"


class ReviewedObject(StoredRecord):
    """What became of an object.

    Attributes
    ----------
    verdict
        See :class:`pipeline.corrections.verdicts.Verdict`; ``gone`` where the object is no longer there.
    case
        Id of the case it became, or was before.
    detail
        What is particular to it.
    """

    verdict: str
    case: str | None = None
    detail: str = ""


class ReviewedStudy(StoredRecord):
    """What a study held beside its images, and the fine-tuning that was queued for it."""

    objects: dict[str, ReviewedObject]
    finetune: str | None


def store() -> CorrectionStore:
    """Return this worker's store of corrections."""
    return CorrectionStore(settings().feedback_folder, database(), settings().feedback)


@step("feedback-look", talks_to_orthanc=True)
def _unreviewed(study: str) -> list[tuple[str, str]]:
    """Objects of a processed study that were not looked at yet, or whose images may be back."""
    if not any(job.result for job in queue().jobs(study)):
        return []
    seen = {key for key, one in store().verdicts().items() if one.verdict is not Verdict.IMAGES_LACKING}
    series = archive().get(f"/studies/{study}/series") or []
    found = []
    for one in series:
        if one["MainDicomTags"].get("Modality") not in _MODALITIES:
            continue
        for instance in one["Instances"]:
            record = archive().get(f"/instances/{instance}")
            if record is not None and (instance, record["FileUuid"]) not in seen:
                found.append((instance, str(record["FileUuid"])))
    return found


@step("feedback-take", talks_to_orthanc=True)
def _review_object(study: str, instance: str, digest: str, lent: Lent) -> ReviewedObject:
    """Look at one object; what it was is noted, so that no later event reads it again."""
    done = [job for job in queue().jobs(study) if job.has_objects]
    requests = {job.id: request for job in done if (request := queue().request(job.id))}
    child = InChild(Job(str(DBOS.workflow_id), lent), f"feedback.{instance}")
    try:
        outcome = child(tasks.judge, study, instance, done, requests)
    except GlioLoopError as error:
        if error.code != "STAGE_TIMEOUT":
            raise
        outcome = Outcome(Verdict.UNREADABLE, detail=f"{error.code}: {error.detail}")
    if outcome is None:
        return ReviewedObject(verdict=GONE)
    case = outcome.case.id if outcome.case else None
    store().write_verdict(instance, digest, outcome.verdict, case, outcome.detail)
    if outcome.verdict in (Verdict.CORRECTED, Verdict.ACCEPTED):
        facts = {"instance": instance, "verdict": outcome.verdict.value, "case": case}
        audit().append("corrected", study, "worker", facts, once=f"{instance} {digest}")
    log.info("object looked at", study=study, instance=instance, verdict=outcome.verdict.value, case=case)
    return ReviewedObject(verdict=outcome.verdict.value, case=case, detail=outcome.detail)


@step("feedback-schedule", talks_to_orthanc=True)
def _schedule() -> str | None:
    """Queue a fine-tuning, in quiet hours, where the site wants one after so many corrections; returns its id."""
    from pipeline.finetune.schedule import due  # noqa: PLC0415 - only where corrections arrived
    from pipeline.jobs.finetuning import FinetuneRuns  # noqa: PLC0415 - only where corrections arrived

    runs = FinetuneRuns(queue(), settings().turns)
    earlier = runs.runs()
    if any(run.state in (JobState.QUEUED, JobState.RUNNING) for run in earlier):
        return None
    since = datetime.fromisoformat(str(earlier[0].created)) if earlier else None
    last = earlier[0].result if earlier else None
    if not due(settings().finetune, store(), since, (*last.learn, *last.held_back) if last else ()):
        return None
    return runs.enqueue(f"scheduled-{datetime.now(UTC):%Y%m%dT%H%M%S}", quiet=True)


@step("feedback-route", talks_to_orthanc=True)
def _route_approved(instance: str, case: str) -> None:
    """Have a correction that is trusted sent where the rules say so."""
    try:
        record = store().case(case)
    except GlioLoopError:  # deleted meanwhile
        return
    if record.trusted:
        send_approved(record.job, instance, record.source_kind)


@DBOS.workflow(name=CORRECTIONS_WORKFLOW, max_recovery_attempts=5)
def review(study: str) -> ReviewedStudy:
    """Look at what lies in a study beside its images."""
    outcomes: dict[str, ReviewedObject] = {}
    failures: list[GlioLoopError] = []
    with computing().lend() as lent:
        for instance, digest in _unreviewed(study):
            try:
                outcomes[instance] = _review_object(study, instance, digest, lent)
            except GlioLoopError as error:
                # The node's trouble, not the object's: it is looked at again at the next event, and none waits for it.
                failures.append(error)
    kept = [one for one in outcomes.values() if one.verdict in (Verdict.CORRECTED, Verdict.ACCEPTED)]
    if any(rule.on == "approved" for rule in settings().rules):
        for instance, one in outcomes.items():
            if one in kept and one.case is not None:
                _route_approved(instance, one.case)
    if kept:
        enqueue_course(study)
    scheduled = _schedule() if kept and settings().finetune.after_corrections else None
    if failures:
        raise failures[0]
    return ReviewedStudy(objects=outcomes, finetune=scheduled)
