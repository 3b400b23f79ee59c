"""What was stored of a study's result, read again: the reference series and the contours on it."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom import Dataset

from pipeline.align import Alignment
from pipeline.archive.client import HttpArchive, fetch_series
from pipeline.case.job import JobView
from pipeline.corrections.judging import Request
from pipeline.corrections.masks import read_cavity, read_drawn
from pipeline.corrections.readings import corrected_masks
from pipeline.corrections.recognise import read_object
from pipeline.corrections.record import CaseRecord
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.study import Mask, Study
from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, SeriesPart
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.settings import Settings
from pipeline.volume import read_volume
from pipeline.volume.limits import VolumeLimits
from pipeline.volume.records import SourceVolume

#: Objects of a job that hold its contours, the exact one first.
KINDS = ("seg", "rtstruct")


@dataclass(frozen=True)
class Result:
    """The result of a study that its course takes.

    Attributes
    ----------
    job, request
        The job that drew the contours.
    case
        What a person made of them; None where nobody did.
    reference
        Sequence on whose slices they lie.
    """

    job: JobView
    request: Request
    case: CaseRecord | None
    reference: MRSequence

    @property
    def series(self) -> str:
        """SeriesInstanceUID of the reference series."""
        return self._decision.chosen[self.reference]

    @property
    def instances(self) -> list[str]:
        """Orthanc's ids of its images."""
        return self.request.instances[self.series]

    @property
    def _decision(self) -> Decision:
        settled = self.job.result.identification if self.job.result else None
        return settled or self.request.identification

    @property
    def part(self) -> SeriesPart | None:
        """Which part of the series was read; None for all of it."""
        return self._decision.parts.get(self.reference)


def choose_result(
    jobs: Sequence[JobView],
    requests: Mapping[str, Request],
    cases: Sequence[CaseRecord],
    model: str,
    settings: Settings,
) -> Result | None:
    """Choose what counts of a study: what a person corrected or accepted last, else the wanted network's contours.

    Parameters
    ----------
    jobs
        Those with objects, latest first.
    cases
        The study's corrections, latest first.
    model
        The network whose contours are wanted; where it drew none, the latest are taken.
    """
    usable = [job for job in jobs if job.id in requests]
    if not usable:
        return None
    # What may be a viewer's doing counts once somebody said that it was meant.
    case = next((one for one in cases if one.kind != "holes_filled"), None)
    own = [job for job in usable if case is not None and job.id == case.job]
    job = [*own, *(job for job in usable if job.model == model), *usable][0]
    reference = (job.result and job.result.reference) or settings.reference
    return Result(job, requests[job.id], case, reference)


@dataclass(frozen=True, eq=False)
class Scan:
    """A study as it is measured.

    Attributes
    ----------
    volume, headers
        The reference series.
    masks
        The tumour regions on it, shape (slices, rows, columns); a resection cavity where one was found.
    segmentation
        The network's segmentation, where that is what was measured.
    """

    volume: SourceVolume
    headers: tuple[Dataset, ...]
    masks: dict[Region, Mask]
    segmentation: Dataset | None


def read_scan(archive: HttpArchive, settings: Settings, store: CorrectionStore, result: Result, work: Path) -> Scan:
    """Read a study's reference series and contours from where they were stored.

    Parameters
    ----------
    work
        Folder for the files meanwhile; emptied.

    Raises
    ------
    GlioLoopError
        STUDY_GONE, IMAGE_WITHHELD, FILE_UNREADABLE, GEOMETRY_* of the images; CASE_LOST, STRUCTURE_SET_* of the
        contours.
    """
    shutil.rmtree(work, ignore_errors=True)
    try:
        most = settings.most_series_bytes
        fetch_series(archive, result.instances, work / "images", most)
        files = sorted((work / "images").iterdir())
        volume = read_volume(files, result.part, VolumeLimits(total_bytes=most))
        wanted = {one.sop_instance_uid for one in volume.slices}
        read = (pydicom.dcmread(path, stop_before_pixels=True) for path in files)
        headers = tuple(header for header in read if str(header.get("SOPInstanceUID", "")) in wanted)
        if result.case is not None:
            masks = corrected_masks(store, result.case, volume.image)
            return Scan(volume, headers, masks | _cavity_beside(archive, settings, result, volume, work), None)
        drawn = _contours(archive, settings, result, work)
        masks = masks_of(drawn, volume, result.reference, settings)
        return Scan(volume, headers, masks, drawn if drawn.Modality == "SEG" else None)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _cavity_beside(
    archive: HttpArchive, settings: Settings, result: Result, volume: SourceVolume, work: Path
) -> dict[Region, Mask]:
    """The network's cavity beside a person's contours, which hold none; nothing where it is gone."""
    try:
        masks = masks_of(_contours(archive, settings, result, work), volume, result.reference, settings)
    except GlioLoopError as error:
        if error.reason.transient:
            raise
        return {}
    return {region: mask for region, mask in masks.items() if region is Region.CAVITY}


def _contours(archive: HttpArchive, settings: Settings, result: Result, work: Path) -> Dataset:
    """The network's contours as they were stored."""
    stored = result.job.result.stored if result.job.result else {}
    for kind in KINDS:
        path = settings.jobs_folder / result.job.id / "objects" / f"{kind}.dcm"
        if path.is_file():
            return read_object(path)
        fetched = work / f"{kind}.dcm"
        if kind in stored and archive.download(f"/instances/{stored[kind]}/file", fetched):
            return read_object(fetched)
    raise GlioLoopError("CASE_LOST", f"the contours of job {result.job.id}")


def masks_of(drawn: Dataset, volume: SourceVolume, reference: MRSequence, settings: Settings) -> dict[Region, Mask]:
    """The regions of this node's own structure set or segmentation on its reference series.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN, STRUCTURE_SET_UNREADABLE.
    """
    # A segmentation covers a part of the grid.
    study = Study({reference: volume}, {reference: Alignment.of_itself()}, reference)
    names = RegionNames(settings.roi_names, settings.feedback)
    found = read_drawn(drawn, study, names).masks
    masks = {region: found.get(region, study.nothing()) for region in TUMOUR_REGIONS}
    cavity = read_cavity(drawn, study, names)
    return masks if cavity is None else {**masks, Region.CAVITY: cavity}
