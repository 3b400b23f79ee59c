"""What the report of a course says: regions, lesions and what has changed, as measurement groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from highdicom.sr import (
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    SourceImageForRegion,
    TimePointContext,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from skimage.measure import approximate_polygon, find_contours

from pipeline.names import Region
from pipeline.objects.course.enum import CHANGE, LATERALITY, SQUARE_MILLIMETRE, SUM_OF_PRODUCTS
from pipeline.objects.provenance import Provenance
from pipeline.objects.regions import REGION_STYLES
from pipeline.objects.report.content import algorithm, referenced_segment
from pipeline.objects.report.enum import MILLILITRE
from pipeline.objects.source import ReferenceSeries

Group = (
    MeasurementsAndQualitativeEvaluations
    | PlanarROIMeasurementsAndQualitativeEvaluations
    | VolumetricROIMeasurementsAndQualitativeEvaluations
)
#: How far a corner may be left out, pixels.
_TOLERANCE = 0.2


@dataclass(frozen=True)
class ReportedChange:
    """A difference to an earlier study.

    Attributes
    ----------
    against
        A key of :data:`pipeline.objects.course.enum.CHANGE`.
    difference, percent
        As :class:`pipeline.course.change.Change` has them.
    """

    against: str
    difference: float
    percent: float | None


@dataclass(frozen=True)
class ReportedRegion:
    """A region of this study.

    Attributes
    ----------
    tracking_uid, name
        The same in every study of the course; ROI name.
    volume_changes, product_changes
        Against earlier studies.
    """

    region: Region
    tracking_uid: str
    name: str
    volume_ml: float
    product_mm2: float
    volume_changes: Sequence[ReportedChange]
    product_changes: Sequence[ReportedChange]


@dataclass(frozen=True)
class ReportedLesion:
    """A lesion of this study.

    Attributes
    ----------
    side
        ``left``, ``right`` or ``both``.
    slice_index
        Slice of the two diameters; None where they were measured across the slices.
    mask, corner
        Bool, shape (slices, rows, columns) of a box around it; which slice, row and column its first voxel is.
    """

    region: Region
    tracking_uid: str
    name: str
    side: str
    volume_ml: float
    long_axis_mm: float
    short_axis_mm: float
    slice_index: int | None
    mask: NDArray[np.bool_]
    corner: tuple[int, int, int]
    changes: Sequence[ReportedChange]


def region_group(
    one: ReportedRegion,
    series: ReferenceSeries,
    provenance: Provenance,
    segmentation: Dataset | None,
    time_point: TimePointContext,
) -> Group:
    """Return the measurements of a region: TID 1411 with its segment, TID 1501 where a person drew it."""
    measurements = [
        Measurement(name=codes.SCT.Volume, value=round(one.volume_ml, 3), unit=MILLILITRE),
        *_changes(one.volume_changes, codes.SCT.Volume, MILLILITRE),
        Measurement(name=SUM_OF_PRODUCTS, value=round(one.product_mm2, 1), unit=SQUARE_MILLIMETRE),
        *_changes(one.product_changes, SUM_OF_PRODUCTS, SQUARE_MILLIMETRE),
    ]
    common = _common(one, time_point, None)
    segment = None if segmentation is None else referenced_segment(segmentation, one.name, series)
    if segment is None:
        return MeasurementsAndQualitativeEvaluations(measurements=measurements, **common)
    return VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=segment, algorithm_id=algorithm(provenance), measurements=measurements, **common
    )


def lesion_groups(one: ReportedLesion, series: ReferenceSeries, time_point: TimePointContext) -> Iterator[Group]:
    """Give the volume of a lesion with its outlines (TID 1411), then its diameters with those of a slice (TID 1410)."""
    first, *corner = one.corner
    outlines = {
        place: [outline + corner[::-1] for outline in _outlines(slice_)]
        for place, slice_ in enumerate(one.mask, start=first)
        if slice_.any()
    }
    volume = [
        Measurement(name=codes.SCT.Volume, value=round(one.volume_ml, 3), unit=MILLILITRE),
        *_changes(one.changes, codes.SCT.Volume, MILLILITRE),
    ]
    diameters = [
        Measurement(name=name, value=round(mm, 1), unit=codes.UCUM.Millimeter)
        for name, mm in ((codes.SCT.LongAxis, one.long_axis_mm), (codes.SCT.ShortAxis, one.short_axis_mm))
    ]
    common = _common(one, time_point, one.side)
    regions = [_image_region(polygon, series, place) for place, found in outlines.items() for polygon in found]
    yield VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_regions=regions, measurements=volume, **common)
    if one.slice_index is None or not outlines.get(one.slice_index):
        yield MeasurementsAndQualitativeEvaluations(measurements=diameters, **common)
    else:
        largest = max(outlines[one.slice_index], key=len)
        yield PlanarROIMeasurementsAndQualitativeEvaluations(
            referenced_region=_image_region(largest, series, one.slice_index), measurements=diameters, **common
        )


class _Common(TypedDict):
    """What every group says of what it measures."""

    tracking_identifier: TrackingIdentifier
    time_point_context: TimePointContext
    finding_type: Code
    finding_category: Code
    finding_sites: list[FindingSite]


def _common(one: ReportedRegion | ReportedLesion, time_point: TimePointContext, side: str | None) -> _Common:
    return {
        "tracking_identifier": TrackingIdentifier(uid=one.tracking_uid, identifier=one.name),
        "time_point_context": time_point,
        "finding_type": REGION_STYLES[one.region].property_type,
        "finding_category": codes.SCT.MorphologicallyAbnormalStructure,
        "finding_sites": [FindingSite(codes.SCT.Brain, laterality=LATERALITY[side] if side else None)],
    }


def _changes(changes: Sequence[ReportedChange], name: Code, unit: Code) -> Iterator[Measurement]:
    for one in changes:
        derivation = CHANGE[one.against]
        yield Measurement(name=name, value=one.difference, unit=unit, derivation=derivation)
        if one.percent is not None:
            yield Measurement(name=name, value=one.percent, unit=codes.UCUM.Percent, derivation=derivation)


def _outlines(slice_: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Closed outer borders (n, 2: column, row) of a mask, the centre of the first pixel at 0.5."""
    contours = find_contours(np.pad(slice_, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
    found = []
    for contour in contours:
        column, row = contour[:, 1], contour[:, 0]
        if np.sum(column[:-1] * row[1:] - column[1:] * row[:-1]) > 0:  # holes run the other way round
            found.append(approximate_polygon(contour, _TOLERANCE)[:, ::-1] - 0.5)  # type: ignore[no-untyped-call]
    return found


def _image_region(polygon: NDArray[np.float64], series: ReferenceSeries, place: int) -> ImageRegion:
    item = series.volume.slices[place]
    frames = None if item.frame_number is None else [item.frame_number]
    return ImageRegion(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=polygon,
        source_image=SourceImageForRegion(item.sop_class_uid, item.sop_instance_uid, frames),
    )
