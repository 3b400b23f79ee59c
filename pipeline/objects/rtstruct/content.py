"""Items of the RT Structure Set's sequences (PS3.3, C.8.8.5 to C.8.8.8)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.tag import Tag

from pipeline.errors import GlioLoopError
from pipeline.objects.provenance import Provenance, algorithm_identification
from pipeline.objects.rtstruct.enum import (
    ContourGeometricTypes,
    HoleEncodings,
    ROIGenerationAlgorithms,
    RTROIInterpretedTypes,
)
from pipeline.objects.rtstruct.isocontour import Contours, iso_contours
from pipeline.objects.rtstruct.keyhole import keyholed
from pipeline.objects.rtstruct.rounding import rounds_inside
from pipeline.objects.rtstruct.simplify import crossing_polygons, simplify
from pipeline.objects.source import ReferenceSeries, SlicePlane
from pipeline.volume.boxes import Box, box_of
from pipeline.volume.records import SliceSource

#: Largest distance, mm, of a contour point that was dropped from the contour that is written. Dropping points
#: shrinks what is convex: of a sphere of 10 mm the contours lose 0.40 % of its volume at 0.04 mm, 0.45 % at 0.05 mm.
SIMPLIFICATION_MM = 0.04
#: Contours keep this distance, mm, from pixel centres, so that simplification moves none to the other side.
_CENTRE_MARGIN_MM = 0.1
#: Places after the decimal point of ContourData: 0.01 µm, and at most 16 characters up to 10 km.
_DECIMALS = 5
#: Of contours that would be too long: 1 µm, a tenth of what a point may lie off its plane.
_FEWER_DECIMALS = 3
#: The longest value that explicit VR can hold in a DS (PS3.5, 7.1.2): a length of 16 bits, even.
LONGEST_EXPLICIT = 0xFFFE
_LARGEST_COORDINATE_MM = 1e6

_CONTOUR_DATA = Tag("ContourData")


@dataclass(frozen=True)
class RegionOfInterest:
    """One region to be written as an ROI.

    Attributes
    ----------
    number
        ROINumber, positive, unique in the structure set.
    name
        ROIName, at most 64 characters, unique in the structure set (AAPM TG-263 style).
    image
        3D, on the grid of the reference volume or a box of it with all of the region and a border around it, or up
        to the grid's own: probabilities (float) or a mask (integer, 0 and 1).
    threshold
        Probability on which the contour runs; 0.5 for a mask.
    mask
        Where post-processing decided otherwise than the threshold: a mask (integer) on the same grid that says
        which voxels are inside. The contour still follows ``image`` where the two agree.
    description
        What the region is, for ROIDescription.
    colour
        Red, green, blue, 0 to 255.
    interpreted_type
        RTROIInterpretedType.
    code
        What the region shows, for RTROIIdentificationCodeSequence.
    """

    number: int
    name: str
    image: sitk.Image
    threshold: float = 0.5
    mask: sitk.Image | None = None
    description: str = ""
    colour: tuple[int, int, int] = (255, 0, 0)
    interpreted_type: RTROIInterpretedTypes = RTROIInterpretedTypes.GTV
    code: Code = codes.SCT.Neoplasm


def field_of(region: RegionOfInterest) -> NDArray[np.float32]:
    """Return (slices, rows, columns) float32: at least 0 inside the region, below 0 outside.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID where the image holds anything but finite numbers or the mask has another size.
    """
    values = sitk.GetArrayViewFromImage(region.image)
    field: NDArray[np.float32] = np.subtract(values, np.float32(region.threshold), dtype=np.float32)
    # One sum tells: it is finite just where all its terms are.
    if values.dtype.kind == "f" and not np.isfinite(np.add.reduce(field, axis=None, dtype=np.float64)):
        raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name}: the probabilities are not all finite")
    if region.mask is not None:
        inside = sitk.GetArrayViewFromImage(region.mask) > 0
        if inside.shape != field.shape:
            raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name}: mask and probabilities differ in size")
        overruled = inside != (field >= 0)
        if overruled.any():
            # As far on the other side as a voxel of a mask is: the contour runs midway to its neighbours.
            field[overruled] = np.where(inside[overruled], np.float32(0.5), np.float32(-0.5))
    return field


def region_contours(region: RegionOfInterest, series: ReferenceSeries, holes: HoleEncodings) -> Contours:
    """Trace a region on the slices of the reference series.

    Returns
    -------
    Contours
        Simplified within :data:`SIMPLIFICATION_MM`; in pixels.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID where the region is not on the reference volume's grid or a contour crosses another.
    """
    box = box_of(region.image, series.volume.image)
    if box is None:
        raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name} is not on the grid of the reference series")
    scale = series.planes[0].spacing
    margin = (min(0.2, _CENTRE_MARGIN_MM / scale[0]), min(0.2, _CENTRE_MARGIN_MM / scale[1]))
    tolerance = min(SIMPLIFICATION_MM, 0.1 * min(scale))
    field = field_of(region)
    inside = field >= 0
    if _cut(inside, box, series.shape):
        raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name} goes on beyond the part of the grid that is given")
    first = (box[0].start, box[1].start, box[2].start)
    traced = iso_contours(field, margin, first)
    contours = simplify(traced, scale, tolerance, rounds_inside(traced, inside, first))
    if crossing_polygons(contours).any():
        raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name}: contours cross each other")
    return keyholed(contours, scale) if holes is HoleEncodings.KEYHOLE else contours


def _cut(inside: NDArray[np.bool_], box: Box, shape: tuple[int, int, int]) -> bool:
    """Return whether a region touches a border of its box that is no border of the grid."""
    for axis, (one, size) in enumerate(zip(box, shape, strict=True)):
        planes = np.moveaxis(inside, axis, 0)
        if (one.start > 0 and planes[0].any()) or (one.stop < size and planes[-1].any()):
            return True
    return False


def volume_ml(contours: Contours, series: ReferenceSeries) -> float:
    """Return the volume within contours: their areas times the distance of slices, ml."""
    width, height = series.planes[0].spacing
    return float(abs(contours.signed_areas().sum()) * width * height * series.slice_distance / 1000)


class ContourImage(Dataset):
    """Item of ContourImageSequence: the image a contour lies on, or an image of the series."""

    def __init__(self, source: SliceSource, with_frame: bool = True) -> None:
        """
        Parameters
        ----------
        source
            Instance and frame.
        with_frame
            Whether to name the frame of a multi-frame instance.
        """
        super().__init__()
        self.ReferencedSOPClassUID = source.sop_class_uid
        self.ReferencedSOPInstanceUID = source.sop_instance_uid
        if with_frame and source.frame_number is not None:
            self.ReferencedFrameNumber = source.frame_number


class Contour(Dataset):
    """Item of ContourSequence: one polygon on one slice."""

    def __init__(
        self,
        number: int,
        points: NDArray[np.float64],
        plane: SlicePlane,
        geometric_type: ContourGeometricTypes = ContourGeometricTypes.CLOSED_PLANAR,
    ) -> None:
        """
        Parameters
        ----------
        number
            ContourNumber.
        points
            (n, 2) float64, at least 3 distinct points, column and row in pixels.
        plane
            The slice's plane; the points are computed in it, so that they lie in it to the last digit written.
        geometric_type
            CLOSED_PLANAR or CLOSEDPLANAR_XOR.

        Raises
        ------
        GlioLoopError
            OBJECT_INVALID.
        """
        super().__init__()
        self.ContourImageSequence = [ContourImage(plane.slice_source)]
        self.ContourGeometricType = geometric_type.value
        self.NumberOfContourPoints = len(points)
        self.ContourNumber = number
        self._set_points(plane.to_patient(points))

    def _set_points(self, points: NDArray[np.float64]) -> None:
        if len(points) < 3 or not np.isfinite(points).all() or np.abs(points).max() > _LARGEST_COORDINATE_MM:
            raise GlioLoopError("OBJECT_INVALID", "a contour has fewer than 3 points or points out of range")
        if np.array_equal(points[0], points[-1]):
            raise GlioLoopError("OBJECT_INVALID", "a contour repeats its first point")
        value = _as_decimals(points, _DECIMALS)
        if len(value) > LONGEST_EXPLICIT:
            value = _as_decimals(points, _FEWER_DECIMALS)
        # Encoded here at once, and written as it is in the transfer syntax of structure sets: a DS object for
        # each number would take most of the time.
        self.set_original_encoding(is_implicit_vr=False, is_little_endian=True, character_encoding="iso8859")
        self[_CONTOUR_DATA] = RawDataElement(_CONTOUR_DATA, "DS", len(value), value, 0, False, True)


def _as_decimals(points: NDArray[np.float64], places: int) -> bytes:
    numbers = points.ravel().tolist()
    value = ("\\".join([f"%.{places}f"] * len(numbers)) % tuple(numbers)).encode("ascii")
    return value + b" " * (len(value) % 2)


class ROIContour(Dataset):
    """Item of ROIContourSequence: the contours of one ROI."""

    def __init__(
        self, region: RegionOfInterest, contours: Contours, series: ReferenceSeries, holes: HoleEncodings
    ) -> None:
        """
        Parameters
        ----------
        region
            The region.
        contours
            Its contours in pixels; none for an empty region, which gets no ContourSequence.
        series
            The reference series.
        holes
            How holes are encoded.
        """
        super().__init__()
        self.ROIDisplayColor = list(region.colour)
        self.ReferencedROINumber = region.number
        xor = holes is HoleEncodings.XOR and bool((contours.signed_areas() < 0).any())
        kind = ContourGeometricTypes.CLOSEDPLANAR_XOR if xor else ContourGeometricTypes.CLOSED_PLANAR
        items = [
            Contour(index + 1, contours.polygon(index), series.planes[slice_index], kind)
            for index, slice_index in enumerate(contours.slices.tolist())
        ]
        if items:
            self.ContourSequence = items


def longest_contour(item: Dataset) -> int:
    """Return the length in bytes of the longest ContourData of an item of ROIContourSequence."""
    return max((one.get_item(_CONTOUR_DATA).length for one in item.get("ContourSequence") or []), default=0)


class StructureSetROI(Dataset):
    """Item of StructureSetROISequence: name, description and origin of one ROI."""

    def __init__(
        self, region: RegionOfInterest, provenance: Provenance, frame_of_reference_uid: str, volume: float
    ) -> None:
        """
        Parameters
        ----------
        region
            The region.
        provenance
            Network and version, for the descriptions.
        frame_of_reference_uid
            Of the reference series.
        volume
            ml.
        """
        super().__init__()
        self.ROINumber = region.number
        self.ReferencedFrameOfReferenceUID = frame_of_reference_uid
        self.ROIName = region.name
        self.ROIDescription = self._description(region, provenance, volume)[:1024]
        self.ROIVolume = f"{volume:.4f}"
        self.ROIGenerationAlgorithm = ROIGenerationAlgorithms.AUTOMATIC.value
        self.ROIGenerationDescription = provenance.model[:64]
        self.ROIDerivationAlgorithmIdentificationSequence = list(algorithm_identification(provenance))

    @staticmethod
    def _description(region: RegionOfInterest, provenance: Provenance, volume: float) -> str:
        found = f"{volume:.2f} ml" if volume > 0 else "nothing found"
        made = f"Automatic by {provenance.model}, threshold {region.threshold:g}"
        return ". ".join(part for part in (region.description, found, made, "Research use only, not approved") if part)


class RTROIObservation(Dataset):
    """Item of RTROIObservationsSequence: what an ROI stands for."""

    def __init__(self, region: RegionOfInterest, number: int) -> None:
        """
        Parameters
        ----------
        region
            The region.
        number
            ObservationNumber, unique in the structure set.
        """
        super().__init__()
        self.ObservationNumber = number
        self.ReferencedROINumber = region.number
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = region.code[:3]
        self.RTROIIdentificationCodeSequence = [code]
        self.RTROIInterpretedType = region.interpreted_type.value
        self.ROIInterpreter = ""


class ReferencedFrameOfReference(Dataset):
    """Item of ReferencedFrameOfReferenceSequence: the images that the contours were drawn on."""

    def __init__(self, series: ReferenceSeries) -> None:
        """
        Parameters
        ----------
        series
            The reference series: each of its instances is named once.
        """
        super().__init__()
        images = [SliceSource(sop_class, uid, None, (0, 0, 0)) for uid, sop_class in series.instances.items()]
        referenced = Dataset()
        referenced.SeriesInstanceUID = series.volume.series_instance_uid
        referenced.ContourImageSequence = [ContourImage(item, with_frame=False) for item in images]
        study = Dataset()
        # Detached Study Management, retired, is what the attribute still holds everywhere (PS3.3, C.8.8.5).
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = series.volume.study_instance_uid
        study.RTReferencedSeriesSequence = [referenced]
        self.FrameOfReferenceUID = series.volume.frame_of_reference_uid
        self.RTReferencedStudySequence = [study]


def check_regions(regions: Sequence[RegionOfInterest]) -> None:
    """Refuse regions that cannot be told apart or written.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID.
    """
    if not regions:
        raise GlioLoopError("OBJECT_INVALID", "a structure set needs at least one region")
    numbers = [region.number for region in regions]
    names = [region.name for region in regions]
    if len(set(numbers)) < len(numbers) or len(set(names)) < len(names) or min(numbers) < 1:
        raise GlioLoopError("OBJECT_INVALID", "ROI numbers must be positive, and numbers and names unique")
    for region in regions:
        if not region.name.strip() or len(region.name) > 64 or "\\" in region.name:
            raise GlioLoopError("OBJECT_INVALID", f"ROI name {region.name!r} is no LO of 1 to 64 characters")
        if len(region.colour) != 3 or not all(0 <= part <= 255 for part in region.colour):
            raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name}: colour is not three numbers of 0 to 255")
        if not 0 < region.threshold < 1:
            raise GlioLoopError("OBJECT_INVALID", f"ROI {region.name}: threshold is not between 0 and 1")
