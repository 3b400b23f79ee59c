"""Structure sets of any vendor to masks on a volume; how a radiologist's corrections come back."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.errors import GlioLoopError
from pipeline.objects.rtstruct.overlap import rasterise_joined
from pipeline.objects.rtstruct.parse import InvalidAttributeError, ParsedRoi, ParsedStructureSet, parse_structure_set
from pipeline.objects.rtstruct.planes import parallel, place, to_index
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.objects.rtstruct.reformat import from_other_planes
from pipeline.objects.rtstruct.simplify import TangledError
from pipeline.volume.records import SourceVolume


@dataclass(frozen=True)
class ReadRoi:
    """One ROI of a structure set, on a volume.

    Attributes
    ----------
    number, name
        As written; the name is "ROI n" where absent.
    mask
        3D uint8, 1 inside, on the volume's grid.
    contour_count
        Contours with an area that the ROI has; 0 for an ROI without contours.
    used_count
        Those of them that lie on slices of the volume.
    warnings
        What was unusual, in words; empty for a plain ROI.
    """

    number: int
    name: str
    mask: sitk.Image
    contour_count: int
    used_count: int
    warnings: tuple[str, ...] = ()


def read_structure_set(
    source: Path | str | Dataset, volume: SourceVolume, numbers: Iterable[int] | None = None
) -> list[ReadRoi]:
    """Read the ROIs of a structure set as masks on a volume.

    Parameters
    ----------
    source
        File or dataset.
    volume
        The volume on whose grid the masks are wanted, of any orientation.
    numbers
        ROI numbers to read; all where None.

    Returns
    -------
    list[ReadRoi]
        In the order of the structure set, those without contours included, those that cannot be read left out.
        Tolerant: see :func:`roi_on`.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where it is no structure set, or none of its ROIs can be decoded;
        STRUCTURE_SET_FOREIGN where it belongs to another frame of reference, or has contours but none on the volume.
    """
    parsed = parse_structure_set(source)
    wanted = None if numbers is None else set(numbers)
    rois: list[ReadRoi] = []
    errors: list[GlioLoopError] = []
    for roi in parsed.rois:
        if wanted is None or roi.number in wanted:
            try:
                rois.append(roi_on(roi, parsed, volume))
            except GlioLoopError as error:
                errors.append(error)
    if errors and not any(roi.contour_count for roi in rois):
        raise errors[0]
    counted = [roi for roi in rois if roi.contour_count]
    if counted and not any(roi.used_count for roi in counted):
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", "no contour lies on a slice of the reference series")
    return rois


def roi_on(roi: ParsedRoi, structure_set: ParsedStructureSet, volume: SourceVolume) -> ReadRoi:
    """Bring an ROI onto a volume.

    Parameters
    ----------
    roi
        The ROI.
    structure_set
        What it is part of.
    volume
        Where its mask is wanted.

    Returns
    -------
    ReadRoi
        Tolerant: contours may lie between slices or on the slices of a reformatted series, run either way, be open or
        duplicate, and name images wrongly or not at all; each such thing is told in ``warnings``. Points inside are
        found by the even-odd rule at pixel centres.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where the ROI has a fault, is no drawing or reaches far beyond the images;
        STRUCTURE_SET_FOREIGN where it lies in another frame of reference and names no image of the volume.
    """
    if roi.fault or roi.number is None:
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"ROI {roi.number}: {roi.fault}")
    known = {roi.frame_of_reference_uid} if roi.frame_of_reference_uid else structure_set.frames_of_reference
    if roi.polygons and known and volume.frame_of_reference_uid not in known and not _names_images(roi, volume):
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", f"ROI {roi.number} is in another frame of reference")
    _require_near(roi, volume)
    try:
        mask, used, warnings = _mask(roi, volume)
    except TangledError as error:
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"ROI {roi.number}: contours cross too often") from error
    image = sitk.GetImageFromArray(mask)
    image.CopyInformation(volume.image)
    return ReadRoi(roi.number, roi.title, image, len(roi.polygons), used, (*roi.warnings, *warnings))


def _require_near(roi: ParsedRoi, volume: SourceVolume) -> None:
    """Refuse points that nobody can have drawn: further from the images, along rows or columns, than these are wide."""
    size = np.array(volume.image.GetSize()[:2])
    for polygon in roi.polygons:
        places = to_index(polygon, volume)[:, :2]
        if (places < -size).any() or (places > 2 * size).any():
            fault = InvalidAttributeError("ContourData", "holds points far beyond the images")
            raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"ROI {roi.number}: {fault}")


def _names_images(roi: ParsedRoi, volume: SourceVolume) -> bool:
    """Tell whether contours name images of the volume: then a wrong frame of reference is a slip of the writer."""
    return any(item.sop_instance_uid in roi.referenced_instances for item in volume.slices)


def _mask(roi: ParsedRoi, volume: SourceVolume) -> tuple[NDArray[np.uint8], int, tuple[str, ...]]:
    """Return the mask (slices, rows, columns), how many contours it took, and warnings."""
    if roi.polygons and not parallel(roi.polygons, volume).any():
        mask = from_other_planes(roi.polygons, volume)
        if mask is not None and mask.any():
            warning = "contours lie on planes across the slices; the shape between them was interpolated"
            return mask, len(roi.polygons), (warning,)
    placed = place(roi.polygons, volume)
    columns, rows, slices = volume.image.GetSize()
    if roi.exclusive:
        return rasterise(placed.contours, (slices, rows, columns)), placed.used, placed.warnings
    mask, joined = rasterise_joined(placed.contours, (slices, rows, columns))
    told = (f"contours that overlap were joined on {joined} slices",) if joined else ()
    return mask, placed.used, (*placed.warnings, *told)
