"""From an object that lies in a processed study to what became of it: everything of it that reads images."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from pipeline.archive.client import HttpArchive, fetch_series
from pipeline.case import stages
from pipeline.case.job import JobView
from pipeline.case.workspace import Workspace
from pipeline.corrections.importing import ProcessedStudy, import_object, judge_without_images, load_study
from pipeline.corrections.recognise import OwnObject, content_hash, read_object, referenced_images
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.verdicts import Outcome, Verdict
from pipeline.database.engine import database_of
from pipeline.database.folders import SharedFolders
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.resources import raise_if_exhausted, trace_of
from pipeline.identify import Decision
from pipeline.names import MRSequence
from pipeline.objects.rtstruct.parse import text_of
from pipeline.settings import Settings

log = structlog.get_logger()

_KINDS = ("rtstruct", "seg")


class Request(Protocol):
    """What was asked of a job, as far as it names images."""

    @property
    def identification(self) -> Decision:
        """The identification."""

    @property
    def instances(self) -> Mapping[str, list[str]]:
        """Orthanc's instance ids of each series."""


@dataclass(frozen=True)
class Judge:
    """Looks at one object.

    Attributes
    ----------
    archive, settings
        The node's.
    study, instance
        Orthanc's ids of the study and the object.
    done
        The study's jobs that have a result, the latest first, as people see them.
    requests
        What was asked of each, by its id.
    """

    archive: HttpArchive
    settings: Settings
    study: str
    instance: str
    done: list[JobView]
    requests: Mapping[str, Request]

    def judge(self) -> Outcome | None:
        """Tell what became of the object; None where it is no longer there."""
        work = self.settings.feedback_folder / "work" / self.instance
        try:
            return self._judge(work)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _judge(self, work: Path) -> Outcome | None:
        work.mkdir(parents=True, exist_ok=True)
        path = work / "object.dcm"
        if not self.archive.download(f"/instances/{self.instance}/file", path):
            return None
        processed = self._processed(path, work)
        if processed is None:
            return None
        store = CorrectionStore(self.settings.feedback_folder, database_of(self.settings), self.settings.feedback)
        early = _understood(lambda: judge_without_images(path, processed, store))
        if early is not None:
            return early
        case = Workspace(work / "case")
        # The sequence on whose slices the job's contours lie, whatever is configured now.
        reference = (processed.job.result and processed.job.result.reference) or self.settings.reference
        try:
            self._load(case, processed.job.id)
            known = load_study(case, self._folder(processed.job), reference)
        except GlioLoopError as error:
            if error.reason.kind is not Kind.REFUSAL:
                raise
            return Outcome(Verdict.IMAGES_LACKING, detail=f"{error.code} {error.detail}".strip())
        names = RegionNames(self.settings.roi_names, self.settings.feedback)
        return _understood(lambda: import_object(path, processed, known, names, store, work))

    def _folder(self, job: JobView) -> Workspace:
        database = partial(database_of, self.settings)
        return Workspace(SharedFolders.of(self.settings, database).file(f"jobs/{job.id}", "result.json").parent)

    def _processed(self, path: Path, work: Path) -> ProcessedStudy | None:
        record = self.archive.get(f"/studies/{self.study}")
        if record is None or not self.done:
            return None
        job = _job_behind(path, self.done)
        return ProcessedStudy(
            orthanc_id=self.study,
            patient_id=str(record.get("PatientMainDicomTags", {}).get("PatientID", "")),
            study_instance_uid=str(record["MainDicomTags"]["StudyInstanceUID"]),
            job=job,
            own={one.sop_instance_uid: one for each in self.done for one in self._own_objects(each)},
            objects=self._objects(job, work),
        )

    def _objects(self, job: JobView, work: Path) -> Path:
        """Folder with a job's objects as they were stored; from the archive where its own was cleared away.

        The archive's copy does not count where it is the object that is looked at: that was edited in place.
        """
        kept = self._folder(job).objects
        if any((kept / f"{kind}.dcm").exists() for kind in _KINDS):
            return kept
        fetched = work / "automatic"
        fetched.mkdir(exist_ok=True)
        for kind, stored in (job.result.stored if job.result else {}).items():
            if kind in _KINDS and stored != self.instance:
                self.archive.download(f"/instances/{stored}/file", fetched / f"{kind}.dcm")
        return fetched

    def _own_objects(self, job: JobView) -> Iterator[OwnObject]:
        """The objects of a job as they were stored; the content of one whose file is gone is not known."""
        folder = self._folder(job).objects
        for kind in _KINDS:
            written = job.result.objects.get(kind) if job.result else None
            if written:
                content = ""
                with suppress(GlioLoopError, FileNotFoundError):
                    content = content_hash(folder / f"{kind}.dcm")
                yield OwnObject(job.id, written.sop_instance_uid, written.series_instance_uid, content)

    def _load(self, case: Workspace, job: str) -> None:
        """Read a job's series from the archive again: its working files are dropped when it ends."""
        request = self.requests.get(job)
        if request is None:
            raise GlioLoopError("CASE_LOST", f"job {job}")
        load_again(self.archive, self.settings, request, case)


def load_again(archive: HttpArchive, settings: Settings, request: Request, case: Workspace) -> None:
    """Read a job's series from the archive again, each in its own resolution.

    Parameters
    ----------
    archive, settings
        The node's.
    request
        What was asked of the job.
    case
        Where files and volumes go.

    Raises
    ------
    GlioLoopError
        What :func:`pipeline.case.stages.load_stage` and the fetching of files raise.
    """
    most = settings.most_series_bytes

    def fetch(sequence: MRSequence, uid: str) -> None:
        fetch_series(archive, request.instances[uid], case.source(sequence), most)

    # Contours may lie on the slices of any of the series.
    stages.load_stage(case, request.identification, most, lambda _fraction: None, fetch=fetch, fine=True)


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
