"""Items of the RT Structure Set's sequences (PS3.3, C.8.8.5 to C.8.8.8)."""

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from pipeline.errors import GlioLoopError
from pipeline.objects.provenance import Provenance, algorithm_identification
from pipeline.objects.rtstruct.enum import (
    ContourGeometricTypes,
    HoleEncodings,
    ROIGenerationAlgorithms,
)
from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.rtstruct.region import RegionOfInterest
from pipeline.objects.source import ReferenceSeries, SlicePlane
from pipeline.volume.records import SliceSource

#: Places after the decimal point of ContourData: 0.01 µm, and at most 16 characters up to 10 km.
_DECIMALS = 5
#: Of contours that would be too long: 1 µm, a tenth of what a point may lie off its plane.
_FEWER_DECIMALS = 3
#: The longest value that explicit VR can hold in a DS (PS3.5, 7.1.2): a length of 16 bits, even.
LONGEST_EXPLICIT = 0xFFFE
_LARGEST_COORDINATE_MM = 1e6

_CONTOUR_DATA = Tag("ContourData")


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
