"""The structure set's contours in pixels of the reference series' slices, for the dashboard."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.names import REGION_MEANING, Region
from pipeline.objects.directions import direction_letters
from pipeline.objects.rtstruct.loops import loops
from pipeline.records import Record
from pipeline.volume.records import SourceVolume

#: A tenth of a pixel is finer than any screen draws it.
DECIMALS: Final = 1


class Roi(Record):
    """An ROI of the structure set: its region where the name is one of the node's, and its colour, RGB 0-255."""

    name: str
    region: str | None
    meaning: str
    colour: tuple[int, ...]


class Contour(Record):
    """A contour: its ROI's place in the list; column and row of each point in turn, 0: centre of the first pixel."""

    roi: int
    points: list[float]


class ContoursOnSlices(Record):
    """The slices of the reference series and the contours on them.

    Attributes
    ----------
    size
        Columns, rows, slices.
    spacing_mm
        Between columns, rows, slices.
    edges
        Patient direction at the ``left``, ``right``, ``top`` and ``bottom`` edge of a slice.
    slices
        SOP Instance UID of each.
    rois
        Of the structure set.
    contours
        By slice.
    """

    size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    edges: dict[str, str]
    slices: tuple[str, ...]
    rois: tuple[Roi, ...]
    contours: dict[int, list[Contour]]


def contours_on_slices(
    structure_set: pydicom.Dataset | None, reference: SourceVolume, roi_names: Mapping[Region, str]
) -> ContoursOnSlices:
    """Describe the reference series' slices and the contours on them.

    Parameters
    ----------
    structure_set
        RT Structure Set drawn on the reference series; None where none was made.
    reference
        The series.
    roi_names
        ROI name of each region, to tell which ROI is which.
    """
    rois = _rois(structure_set, roi_names)
    places = {number: place for place, number in enumerate(rois)}
    contours: dict[int, list[Contour]] = {}
    for number, k, points in contours_of(structure_set, reference) if structure_set is not None else ():
        contours.setdefault(k, []).append(Contour(roi=places[number], points=points))
    return ContoursOnSlices(
        size=reference.image.GetSize(),
        spacing_mm=tuple(round(one, 4) for one in reference.image.GetSpacing()),
        edges=_edges(reference.image),
        slices=tuple(one.sop_instance_uid for one in reference.slices),
        rois=tuple(rois.values()),
        contours=contours,
    )


def contours_of(structure_set: pydicom.Dataset, reference: SourceVolume) -> Iterator[tuple[int, int, list[float]]]:
    """Give the contours of a structure set in pixels of the series that they are drawn on.

    Parameters
    ----------
    structure_set
        RT Structure Set.
    reference
        The series.

    Yields
    ------
    tuple
        ROI Number, slice, and column and row of each point in turn, 0 being the centre of the first pixel; each hole
        for itself, without the channel that joins it to its border.
    """
    to_pixels = _to_pixels(reference.image)
    places = {one.sop_instance_uid: k for k, one in enumerate(reference.slices)}
    for item in structure_set.get("ROIContourSequence") or ():
        for contour in item.get("ContourSequence") or ():
            pixels = to_pixels(np.array(contour.ContourData, float).reshape(-1, 3))
            k = _slice_of(contour, places, pixels)
            for border in loops(pixels[:, :2]):
                yield int(item.ReferencedROINumber), k, np.round(border, DECIMALS).ravel().tolist()


def _rois(structure_set: pydicom.Dataset | None, roi_names: Mapping[Region, str]) -> dict[int, Roi]:
    """ROIs by ROI Number, in the order of the structure set."""
    if structure_set is None:
        return {}
    regions = {name: region for region, name in roi_names.items()}
    colours = {
        int(item.ReferencedROINumber): [int(part) for part in item.ROIDisplayColor]
        for item in structure_set.ROIContourSequence
    }
    return {
        int(roi.ROINumber): Roi(
            name=str(roi.ROIName),
            region=region.value if (region := regions.get(str(roi.ROIName))) else None,
            meaning=REGION_MEANING[region] if region else "",
            colour=tuple(colours[int(roi.ROINumber)]),
        )
        for roi in structure_set.StructureSetROISequence
    }


def _slice_of(contour: pydicom.Dataset, places: Mapping[str, int], pixels: NDArray[np.float64]) -> int:
    named = contour.get("ContourImageSequence")
    uid = str(named[0].ReferencedSOPInstanceUID) if named else ""
    nearest = round(float(pixels[:, 2].mean()))
    # A multi-frame reference series is one instance: there the height alone tells.
    return places.get(uid, nearest) if len(places) > 1 else nearest


def _to_pixels(image: sitk.Image) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """Return the map of (n, 3) points in LPS mm to continuous (column, row, slice)."""
    direction = np.array(image.GetDirection()).reshape(3, 3)
    inverse = np.linalg.inv(direction * np.array(image.GetSpacing()))
    origin = np.array(image.GetOrigin())
    return lambda points: (points - origin) @ inverse.T


def _edges(image: sitk.Image) -> dict[str, str]:
    direction = np.array(image.GetDirection()).reshape(3, 3)
    right, down = direction_letters(direction[:, 0]), direction_letters(direction[:, 1])
    return {
        "left": direction_letters(-direction[:, 0]),
        "right": right,
        "top": direction_letters(-direction[:, 1]),
        "bottom": down,
    }
