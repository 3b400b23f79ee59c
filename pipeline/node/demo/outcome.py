"""What the demo found out, and the document that it prints."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict

from pipeline.case.job import JobView
from pipeline.errors.records import ErrorRecord, FlagRecord
from pipeline.names import JobState
from pipeline.records import Record, StoredRecord


class ShownJob(JobView):
    """A job as REST answers it, and more that is not needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Roi(Record):
    """An ROI of the structure set as the workstation has it: number of contours, ROI Volume (3006,002C) in ml."""

    name: str
    contours: int
    volume_ml: float | None


class StructureSet(Record):
    """The structure set, and whether it was read back from the workstation."""

    sop_instance_uid: str | None
    at_workstation: bool
    rois: tuple[Roi, ...]


class Document(StoredRecord):
    """What ``demo --json`` prints; ``error`` is absent where there is none."""

    study: str
    rtstruct: StructureSet
    timings_s: dict[str, float]
    urls: dict[str, str]
    model: str | None
    error: ErrorRecord | None = None


@dataclass(frozen=True)
class Outcome:
    """What the demo found out.

    Attributes
    ----------
    study
        StudyInstanceUID.
    state
        How the job ended.
    rois
        Of the structure set as the workstation has it.
    at_workstation
        Whether the structure set was read back from the workstation.
    timings_s
        Seconds: ``setup`` (both servers up), ``stable_wait`` (from the first image sent until the job
        was there), the job's stages, ``total``.
    flags
        What the result should be looked at for.
    error
        Why the job did not end well.
    """

    study: str
    state: JobState
    rtstruct_uid: str | None
    at_workstation: bool
    rois: tuple[Roi, ...]
    timings_s: dict[str, float]
    urls: dict[str, str]
    model: str | None
    preview: Path | None
    flags: tuple[FlagRecord, ...]
    error: ErrorRecord | None

    def document(self) -> Document:
        """What ``demo --json`` prints."""
        document = Document(
            study=self.study,
            rtstruct=StructureSet(
                sop_instance_uid=self.rtstruct_uid, at_workstation=self.at_workstation, rois=self.rois
            ),
            timings_s=self.timings_s,
            urls=self.urls,
            model=self.model,
        )
        return document.model_copy(update={"error": self.error}) if self.error else document
