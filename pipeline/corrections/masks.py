"""The ROIs of a structure set or segmentation on the reference series' grid, sorted by the region they mean."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset

from pipeline.corrections.recognise import drawn_on, kind_of
from pipeline.corrections.regions import NamedRoi, RegionNames
from pipeline.corrections.segments import Segments
from pipeline.corrections.study import Mask, Study
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.objects.rtstruct.parse import InvalidAttributeError, ParsedRoi, ParsedStructureSet, parse_structure_set
from pipeline.objects.rtstruct.read import roi_on


@dataclass(frozen=True, eq=False)
class DrawnRoi:
    """An ROI or segment on the reference grid.

    Attributes
    ----------
    roi
        Its name.
    mask
        Bool, shape (slices, rows, columns) of the reference series; empty where nothing was drawn in it.
    sequence
        On whose slices it was drawn.
    warnings
        What was unusual, in words.
    """

    roi: NamedRoi
    mask: Mask
    sequence: MRSequence
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawn:
    """The regions that an object holds.

    Attributes
    ----------
    rois
        The ROIs of each region, in the order of their numbers.
    unread
        Regions that have an ROI which cannot be read or does not lie on the images: nothing is known of them.
    sequences
        On whose slices they were drawn.
    unknown
        Names of ROIs that mean no region.
    cavities
        Names of ROIs that are the resection cavity that this node drew; they are not read.
    notes
        What was left out or is unusual, in words.
    """

    rois: dict[Region, tuple[DrawnRoi, ...]]
    unread: frozenset[Region] = frozenset()
    sequences: tuple[MRSequence, ...] = ()
    unknown: tuple[str, ...] = ()
    cavities: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def masks(self) -> dict[Region, Mask]:
        """All ROIs of each region together."""
        return {region: np.logical_or.reduce([one.mask for one in rois]) for region, rois in self.rois.items()}


@dataclass(frozen=True)
class _OpenRoi:
    """An ROI that was not rasterised yet."""

    name: str
    title: str
    read: Callable[[], DrawnRoi]


def read_drawn(dataset: Dataset, study: Study, names: RegionNames) -> Drawn:
    """Read the tumour regions of a structure set or segmentation.

    Parameters
    ----------
    dataset
        The object, with all its content.
    study
        The processed study.
    names
        Meaning of ROI names.

    Returns
    -------
    Drawn
        On the reference grid; what was drawn on another sequence's slices is carried over by the study's
        alignment. A region that cannot be read, or lies elsewhere, is left out and told.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN, STRUCTURE_SET_UNREADABLE where no region of it can be taken.
    """
    found: dict[Region, list[DrawnRoi]] = {}
    unread: dict[Region, GlioLoopError] = {}
    unknown: list[str] = []
    cavities: list[str] = []
    for roi in _open(dataset, study):
        region = names.region(roi.name)
        if region is None:
            (cavities if names.is_cavity(roi.name) else unknown).append(roi.title)
            continue
        try:
            found.setdefault(region, []).append(roi.read())
        except GlioLoopError as error:
            if error.code not in ("STRUCTURE_SET_UNREADABLE", "STRUCTURE_SET_FOREIGN"):
                raise
            unread[region] = error
    if unread and not found.keys() - unread.keys():
        raise next(iter(unread.values()))
    rois = {region: tuple(members) for region, members in found.items() if members and region not in unread}
    read = [one for members in rois.values() for one in members]
    return Drawn(
        rois=_nested(rois) if kind_of(dataset) == "seg" and Segments(dataset).exclusive else rois,
        unread=frozenset(unread),
        sequences=tuple(dict.fromkeys(one.sequence for one in read)),
        unknown=tuple(sorted(unknown)),
        cavities=tuple(cavities),
        notes=(
            *(f"{region} left out: {error.detail}" for region, error in unread.items()),
            *(f"{one.roi.name}: {warning}" for one in read for warning in one.warnings),
        ),
    )


def read_cavity(dataset: Dataset, study: Study, names: RegionNames) -> Mask | None:
    """Return the resection cavity that this node drew, on the reference grid; None where it drew none.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN, STRUCTURE_SET_UNREADABLE.
    """
    found = [roi.read().mask for roi in _open(dataset, study) if names.is_cavity(roi.name)]
    return np.logical_or.reduce(found) if found else None


def read_unknown(dataset: Dataset, study: Study, names: RegionNames) -> Iterator[tuple[str, Mask]]:
    """Give name and mask of the ROIs that mean no region, one after the other; those that cannot be read are skipped.

    Masks are on the reference grid, bool, shape (slices, rows, columns).
    """
    for roi in _open(dataset, study):
        if names.region(roi.name) is None and not names.is_cavity(roi.name):
            try:
                yield roi.title, roi.read().mask
            except GlioLoopError as error:
                if error.code not in ("STRUCTURE_SET_UNREADABLE", "STRUCTURE_SET_FOREIGN"):
                    raise


def _open(dataset: Dataset, study: Study) -> Iterator[_OpenRoi]:
    if kind_of(dataset) == "seg":
        segments = Segments(dataset)
        for one in segments.named:
            yield _OpenRoi(
                one.name,
                one.name or f"segment {one.number}",
                lambda one=one: _read_segment(one, segments, dataset, study),  # type: ignore[misc]
            )
    else:
        parsed = parse_structure_set(dataset)
        for roi in sorted(parsed.rois, key=lambda one: one.number or 0):
            yield _OpenRoi(roi.name, roi.title, lambda roi=roi: _read_roi(roi, parsed, dataset, study))  # type: ignore[misc]


def _read_segment(named: NamedRoi, segments: Segments, dataset: Dataset, study: Study) -> DrawnRoi:
    if segments.empty:
        return DrawnRoi(named, study.nothing(), study.reference)
    sequence = _drawn_on(dataset, study)[0]
    return DrawnRoi(named, study.onto_reference(segments.mask(named.number), sequence), sequence)


def _read_roi(roi: ParsedRoi, structure_set: ParsedStructureSet, dataset: Dataset, study: Study) -> DrawnRoi:
    if roi.marks_only and not roi.fault:
        fault = InvalidAttributeError("ContourGeometricType", "or number of points of every contour bounds no area")
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"ROI {roi.number}: {fault}")
    if not (roi.polygons or roi.fault or roi.number is None):
        return DrawnRoi(NamedRoi(roi.number or 0, roi.name, roi.automatic), study.nothing(), study.reference)
    images = study.images()
    sequence = max(_drawn_on(dataset, study), key=lambda one: len(roi.referenced_instances & images[one]))
    read = roi_on(roi, structure_set, study.volumes[sequence])
    if read.contour_count and not read.used_count:
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", f"no contour of ROI {roi.number} lies on the images")
    named = NamedRoi(read.number, roi.name, roi.automatic)
    return DrawnRoi(named, study.onto_reference(read.mask, sequence), sequence, read.warnings)


def _drawn_on(dataset: Dataset, study: Study) -> tuple[MRSequence, ...]:
    frames = {sequence: volume.frame_of_reference_uid for sequence, volume in study.volumes.items()}
    return drawn_on(dataset, study.images(), frames, study.reference)


def _nested(rois: dict[Region, tuple[DrawnRoi, ...]]) -> dict[Region, tuple[DrawnRoi, ...]]:
    """Give outer regions what inner ones hold, where a voxel can be of one segment only."""
    nested: dict[Region, tuple[DrawnRoi, ...]] = {}
    within: tuple[DrawnRoi, ...] = ()
    for region in reversed(TUMOUR_REGIONS):
        own = rois.get(region, ())
        inner = np.logical_or.reduce([one.mask for one in within]) if within else None
        if inner is not None and own:
            own = (DrawnRoi(own[0].roi, own[0].mask | inner, own[0].sequence, own[0].warnings), *own[1:])
        elif inner is not None:
            own = within
        if own:
            nested[region] = own
            within = own
    return nested
