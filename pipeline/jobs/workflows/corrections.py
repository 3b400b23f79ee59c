"""The durable workflow behind a study's event: find corrections in it and keep them.

A step of its own for each object: a worker that dies in the middle looks at that object again, and the
store keeps the same correction once.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog
from dbos import DBOS

from pipeline.archive.client import fetch_image
from pipeline.case import stages
from pipeline.case.job import JobView
from pipeline.case.workspace import Workspace
from pipeline.corrections.recognise import OwnObject, content_hash, read_object, referenced_images
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.store import FeedbackStore
from pipeline.corrections.take import Outcome, ProcessedStudy, judge_early, load_study, take
from pipeline.corrections.verdicts import Verdict
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.resources import raise_if_exhausted, trace_of
from pipeline.jobs.deadline import TRIES, WATCH
from pipeline.jobs.queues import FEEDBACK_WORKFLOW
from pipeline.jobs.workflows.resources import archive, audit, database, queue, settings, workspace
from pipeline.jobs.workflows.steps import step
from pipeline.names import JobState, MRSequence
from pipeline.objects.rtstruct.parse import text_of
from pipeline.records import StoredRecord

log = structlog.get_logger()

_MODALITIES = ("RTSTRUCT", "SEG")
_KINDS = ("rtstruct", "seg")
GONE: Final = "gone"


class Taken(StoredRecord):
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


class Reviewed(StoredRecord):
    """What a study held beside its images, and the fine-tuning that was queued for it."""

    objects: dict[str, Taken]
    finetune: str | None


def store() -> FeedbackStore:
    """Return this worker's store of corrections."""
    return FeedbackStore(settings().feedback_folder, database(), settings().feedback)


@step("feedback-look", talks_to_orthanc=True)
def _look(study: str) -> list[tuple[str, str]]:
    """Objects of a processed study that were not looked at yet."""
    if not any(job.result for job in queue().jobs(study)):
        return []
    seen = store().seen()
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
def _take(study: str, instance: str, digest: str) -> Taken:
    """Look at one object; what it was is noted, so that no later event reads it again."""
    work = settings().feedback_folder / "work" / instance
    try:
        outcome = _judge_in_time(study, instance, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if outcome is None:
        return Taken(verdict=GONE)
    case = outcome.case.id if outcome.case else None
    store().note(instance, digest, outcome.verdict, case, outcome.detail)
    if outcome.verdict in (Verdict.CORRECTED, Verdict.ACCEPTED):
        facts = {"instance": instance, "verdict": outcome.verdict.value, "case": case}
        audit().append("corrected", study, "worker", facts, once=f"{instance} {digest}")
    log.info("object looked at", study=study, instance=instance, verdict=outcome.verdict.value, case=case)
    return Taken(verdict=outcome.verdict.value, case=case, detail=outcome.detail)


def _judge_in_time(study: str, instance: str, work: Path) -> Outcome | None:
    """Judge under the stages' deadline; an object over which workers hung counts as one that cannot be read."""
    look, stage = str(DBOS.workflow_id), f"feedback.{instance}"
    if queue().timeouts(look, stage) >= TRIES:
        return Outcome(Verdict.UNREADABLE, detail=f"STAGE_TIMEOUT: {TRIES} times")
    with WATCH.at_work(look, stage):
        return _judge(study, instance, work)


def _judge(study: str, instance: str, work: Path) -> Outcome | None:
    """None where the object is no longer there."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "object.dcm"
    if not archive().download(f"/instances/{instance}/file", path):
        return None
    processed = _processed(study, instance, path, work)
    if processed is None:
        return None
    early = _understood(lambda: judge_early(path, processed, store()))
    if early is not None:
        return early
    case = Workspace(work / "case")
    try:
        _load(case, processed.job.id)
        known = load_study(case, workspace(processed.job.id), _reference(processed.job))
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            raise
        # The images that the contours were drawn on are gone or were changed since.
        return Outcome(Verdict.FOREIGN, detail=f"{error.code} {error.detail}".strip())
    names = RegionNames(settings().roi_names, settings().feedback)
    return _understood(lambda: take(path, processed, known, names, store(), work))


def _understood(judge: Callable[[], Outcome | None]) -> Outcome | None:
    """Take what nobody thought of for the object's fault, too: those behind it must not wait for it."""
    try:
        return judge()
    except GlioLoopError:
        raise
    except Exception as error:
        raise_if_exhausted(error, "feedback")
        log.error("object not understood", where=trace_of(error))
        return Outcome(Verdict.UNREADABLE, detail=f"not understood: {type(error).__name__}")


def _processed(study: str, instance: str, path: Path, work: Path) -> ProcessedStudy | None:
    record = archive().get(f"/studies/{study}")
    done = [job for job in queue().jobs(study) if job.has_objects]
    if record is None or not done:
        return None
    job = _job_behind(path, done)
    return ProcessedStudy(
        orthanc_id=study,
        patient_id=str(record.get("PatientMainDicomTags", {}).get("PatientID", "")),
        study_instance_uid=str(record["MainDicomTags"]["StudyInstanceUID"]),
        job=job,
        own={one.sop_instance_uid: one for each in done for one in _own_objects(each)},
        objects=_objects(job, instance, work),
    )


def _objects(job: JobView, instance: str, work: Path) -> Path:
    """Folder with a job's objects as they were stored; from the archive where its own was cleared away.

    The archive's copy does not count where it is the object that is looked at: that was edited in place.
    """
    kept = workspace(job.id).objects
    if any((kept / f"{kind}.dcm").exists() for kind in _KINDS):
        return kept
    fetched = work / "automatic"
    fetched.mkdir(exist_ok=True)
    for kind, stored in (job.result.stored if job.result else {}).items():
        if kind in _KINDS and stored != instance:
            archive().download(f"/instances/{stored}/file", fetched / f"{kind}.dcm")
    return fetched


def _job_behind(path: Path, done: list[JobView]) -> JobView:
    """The job whose contours an object edits: the one it names, or else the study's latest."""
    try:
        dataset = read_object(path)
    except GlioLoopError:
        return done[0]
    named = {str(dataset.SOPInstanceUID), text_of(dataset, "SeriesInstanceUID"), *referenced_images(dataset)}
    for job in done:
        objects = job.result.objects.values() if job.result else ()
        if named & {uid for one in objects for uid in (one.sop_instance_uid, one.series_instance_uid)}:
            return job
    return done[0]


def _own_objects(job: JobView) -> Iterator[OwnObject]:
    """The objects of a job as they were stored; the content of one whose file is gone is not known."""
    folder = workspace(job.id).objects
    for kind in _KINDS:
        written = job.result.objects.get(kind) if job.result else None
        if written:
            content = ""
            with suppress(GlioLoopError, FileNotFoundError):
                content = content_hash(folder / f"{kind}.dcm")
            yield OwnObject(job.id, written.sop_instance_uid, written.series_instance_uid, content)


def _load(case: Workspace, job: str) -> None:
    """Read a job's series from the archive again: its working files are dropped when it ends."""
    request = queue().request(job)
    if request is None:
        raise GlioLoopError("CASE_LOST", f"job {job}")
    decision = request.identification

    def fetch(sequence: MRSequence, uid: str) -> None:
        shutil.rmtree(case.source(sequence), ignore_errors=True)
        case.source(sequence).mkdir(parents=True)
        for instance in request.instances[uid]:
            path = case.source(sequence) / f"{instance}.dcm"
            fetch_image(archive(), instance, path, settings().most_series_bytes)

    stages.load_stage(case, decision, settings().most_series_bytes, lambda _fraction: None, fetch=fetch)


def _reference(job: JobView) -> MRSequence:
    """The sequence on whose slices the job's contours lie, whatever is configured now."""
    return (job.result and job.result.reference) or settings().reference


@step("feedback-schedule", talks_to_orthanc=True)
def _schedule() -> str | None:
    """Queue a fine-tuning where the site wants one after so many corrections; returns its id."""
    from pipeline.finetune.schedule import due  # noqa: PLC0415 - only where corrections arrived
    from pipeline.jobs.finetuning import FinetuneRuns  # noqa: PLC0415 - only where corrections arrived

    runs = FinetuneRuns(queue())
    earlier = runs.runs()
    if any(run.state in (JobState.QUEUED, JobState.RUNNING) for run in earlier):
        return None
    since = datetime.fromisoformat(str(earlier[0].created)) if earlier else None
    if not due(settings().finetune, store(), since):
        return None
    return runs.enqueue(f"scheduled-{datetime.now(UTC):%Y%m%dT%H%M%S}")


@DBOS.workflow(name=FEEDBACK_WORKFLOW, max_recovery_attempts=5)
def review(study: str) -> Reviewed:
    """Look at what lies in a study beside its images."""
    outcomes: dict[str, Taken] = {}
    failures: list[GlioLoopError] = []
    for instance, digest in _look(study):
        try:
            outcomes[instance] = _take(study, instance, digest)
        except GlioLoopError as error:
            # The node's trouble, not the object's: it is looked at again at the next event, and no other waits for it.
            failures.append(error)
    kept = [one for one in outcomes.values() if one.verdict in (Verdict.CORRECTED, Verdict.ACCEPTED)]
    scheduled = _schedule() if kept and settings().finetune.after_corrections else None
    if failures:
        raise failures[0]
    return Reviewed(objects=outcomes, finetune=scheduled)
