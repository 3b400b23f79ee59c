"""The reference series as the objects need it: patient and study headers, and the plane of every slice."""

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache

import numpy as np
from highdicom._standard_utils import get_module_attribute_map
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.tag import BaseTag, Tag
from pydicom.valuerep import format_number_as_ds

from pipeline.errors import GlioLoopError
from pipeline.objects.legal import legal_header
from pipeline.volume.records import SliceSource, SourceVolume

# highdicom warns of names without a caret, and of invalid ones, by quoting them: patients' names stay out of logs.
warnings.filterwarnings("ignore", message="The string .* is unlikely to represent the intended person name")
logging.getLogger("highdicom.base").setLevel(logging.ERROR)

#: Attributes of type 2 in the patient and study modules, which real headers often lack.
_TYPE_2 = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "ReferringPhysicianName",
    "StudyDate",
    "StudyID",
    "StudyTime",
)

#: Modules of the source that the objects repeat, as highdicom's objects do.
_OPTIONAL = ("clinical-trial-subject", "clinical-trial-study")
_COPIED = ("patient", "general-study", "patient-study", *_OPTIONAL)
#: Attributes that the standard allows only beside one of others (type 1C, not to be there otherwise).
_ONLY_BESIDE = {
    "PatientAlternativeCalendar": ("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar"),
    "ResponsiblePersonRole": ("ResponsiblePerson",),
    "LongitudinalTemporalEventType": ("LongitudinalTemporalOffsetFromEvent",),
}
#: Of the equipment that took the images; highdicom's objects name it as contributing.
_EQUIPMENT = (
    "AcquisitionDate",
    "AcquisitionDateTime",
    "AcquisitionTime",
    "DeviceSerialNumber",
    "InstitutionAddress",
    "InstitutionName",
    "InstitutionalDepartmentName",
    "Manufacturer",
    "ManufacturerModelName",
    "SoftwareVersions",
    "StationName",
    "PositionReferenceIndicator",
    "TimezoneOffsetFromUTC",
)
_UID = re.compile(r"\d+(\.\d+)*")


@dataclass(frozen=True)
class SlicePlane:
    """The plane of one slice in patient coordinates.

    Attributes
    ----------
    slice_source
        The instance (and frame) that holds the slice.
    position
        Centre of the first pixel, LPS, mm, shape (3,).
    column_step, row_step
        Vectors from a pixel to the next in the same row (column index + 1) and in the same column (row
        index + 1), LPS, mm, shape (3,) (PS3.3, C.7.6.2.1.1).
    """

    slice_source: SliceSource
    position: NDArray[np.float64]
    column_step: NDArray[np.float64]
    row_step: NDArray[np.float64]

    def to_patient(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points (n, 2) in pixels (column, row; centre of the first pixel at 0) to (n, 3), LPS, mm."""
        return self.position + points[:, :1] * self.column_step + points[:, 1:] * self.row_step

    @property
    def spacing(self) -> tuple[float, float]:
        """Distances between columns and between rows, mm."""
        return float(np.linalg.norm(self.column_step)), float(np.linalg.norm(self.row_step))


@dataclass(frozen=True)
class ReferenceSeries:
    """What the objects need of the series that the contours are drawn on.

    Attributes
    ----------
    volume
        The series as a volume.
    first
        Patient, study and equipment, from the header of the first slice: legal values in Unicode, attributes of
        type 2 present.
    instances
        SOP Instance UID to SOP Class UID of each instance, those of the volume's slices first, in their order.
    planes
        One plane for each slice of the volume.
    """

    volume: SourceVolume
    first: Dataset
    instances: Mapping[str, str]
    planes: tuple[SlicePlane, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        columns, rows, slices = self.volume.image.GetSize()
        return slices, rows, columns

    @property
    def slice_distance(self) -> float:
        """Distance between the centres of neighbouring slices, mm."""
        return float(self.volume.image.GetSpacing()[2])

    def slice_images(self, span: slice = slice(None)) -> list[Dataset]:
        """Return a header of a single-frame image for each slice of a span, in order, with the volume's geometry.

        highdicom reads patient and study off the first, and wants one orientation for all slices, to the last digit,
        and a slice thickness. Real series round each slice's cosines differently, leave the thickness out, or keep
        the geometry with each frame; the volume knows better.
        """
        _, rows, columns = self.shape
        across, down, _ = self.volume.image.GetSpacing()
        plane = self.planes[0]
        cosines = [*(plane.column_step / plane.spacing[0]), *(plane.row_step / plane.spacing[1])]
        slices = self.volume.slices[span]
        # What all have in common is checked by pydicom once: for hundreds of slices that takes a while.
        same = Dataset()
        same.StudyInstanceUID = self.volume.study_instance_uid
        same.SeriesInstanceUID = self.volume.series_instance_uid
        same.FrameOfReferenceUID = self.volume.frame_of_reference_uid
        same.Modality, same.Rows, same.Columns = "MR", rows, columns
        same.ImageOrientationPatient = [format_number_as_ds(float(cosine)) for cosine in cosines]
        same.PixelSpacing = [format_number_as_ds(down), format_number_as_ds(across)]
        same.SliceThickness = format_number_as_ds(self.volume.slice_thickness_mm or self.slice_distance)
        images = [deepcopy(self.first), *(Dataset() for _ in slices[1:])]
        for image, item in zip(images, slices, strict=True):
            image.update(same)
            image.SOPClassUID, image.SOPInstanceUID = item.sop_class_uid, item.sop_instance_uid
            image.ImagePositionPatient = [format_number_as_ds(float(part)) for part in item.position]
        return images


def reference_series(source: Sequence[Dataset], volume: SourceVolume) -> ReferenceSeries:
    """Check that headers and volume are the same series and read the slices' planes.

    Parameters
    ----------
    source
        Headers of the series' instances in any order; pixel data may be absent.
    volume
        The series as a volume.

    Returns
    -------
    ReferenceSeries
        The datasets handed in are not changed.

    Raises
    ------
    GlioLoopError
        OBJECT_INVALID where headers and volume are not of one series of one patient;
        FRAME_OF_REFERENCE_MISSING, HEADER_ILLEGAL where objects could not refer to the images.
    """
    by_uid = {str(header.get("SOPInstanceUID", "")): header for header in source}
    wanted = dict.fromkeys(item.sop_instance_uid for item in volume.slices)
    absent = [uid for uid in wanted if uid not in by_uid]
    if absent or not wanted:
        raise GlioLoopError("OBJECT_INVALID", f"no header for {len(absent)} of {len(wanted)} instances of the volume")
    if len(volume.slices) != volume.image.GetSize()[2]:
        raise GlioLoopError("OBJECT_INVALID", "the volume's image and its list of slices differ in number")
    require_references(volume)
    ordered = [by_uid[uid] for uid in wanted]
    for header in ordered:
        _check_identity(header, ordered[0], volume)
    # Images of the series that are not in the volume are named, too; what is no image on these planes is not.
    ordered += [header for uid, header in by_uid.items() if uid not in wanted and _belongs(header, ordered[0])]
    return ReferenceSeries(
        volume=volume,
        first=_completed(ordered[0], volume),
        instances={str(header.SOPInstanceUID): str(header.SOPClassUID) for header in ordered},
        planes=tuple(_plane(by_uid[item.sop_instance_uid], item, volume) for item in volume.slices),
    )


@cache
def copied_attributes() -> frozenset[BaseTag]:
    """Return the attributes that objects take over from the images."""
    modules = get_module_attribute_map()
    keywords = [one["keyword"] for key in _COPIED for one in modules[key] if not one["path"]]
    tags = (tag_for_keyword(keyword) for keyword in (*keywords, *_TYPE_2, *_EQUIPMENT))
    return frozenset(Tag(tag) for tag in tags if tag is not None)


def require_references(volume: SourceVolume) -> None:
    """Refuse a series that no object could refer to, before any work is done for it.

    Raises
    ------
    GlioLoopError
        FRAME_OF_REFERENCE_MISSING, HEADER_ILLEGAL.
    """
    if not volume.frame_of_reference_uid:
        raise GlioLoopError("FRAME_OF_REFERENCE_MISSING", f"series {volume.series_instance_uid}")
    named = {
        "StudyInstanceUID": {volume.study_instance_uid},
        "SeriesInstanceUID": {volume.series_instance_uid},
        "FrameOfReferenceUID": {volume.frame_of_reference_uid},
        "SOPInstanceUID": {item.sop_instance_uid for item in volume.slices},
        "SOPClassUID": {item.sop_class_uid for item in volume.slices},
    }
    for keyword, uids in named.items():
        # A reference must be the very same: there is no repairing it. Zeros that lead a component do no harm.
        if not all(len(uid) <= 64 and _UID.fullmatch(uid) for uid in uids):
            raise GlioLoopError("HEADER_ILLEGAL", keyword)


def repaired_attributes(header: Dataset) -> tuple[str, ...]:
    """Return the keywords of copied attributes whose values are illegal and get repaired or left out.

    Parameters
    ----------
    header
        Of the reference's first slice.
    """
    return legal_header(header, copied_attributes()).repaired


def _completed(header: Dataset, volume: SourceVolume) -> Dataset:
    """Return what objects copy, complete and legal in patient and study, in Unicode."""
    completed = legal_header(header, copied_attributes()).dataset
    mandatory = list(_TYPE_2)
    for module in _OPTIONAL:  # there whole, or not at all
        attributes = [one for one in get_module_attribute_map()[module] if not one["path"]]
        present = [one for one in attributes if one["keyword"] in completed]
        if present and all(one in present for one in attributes if one["type"] == "1"):
            mandatory += [one["keyword"] for one in attributes if one["type"] == "2"]
        else:
            for one in attributes:
                completed.pop(one["keyword"], None)
    for keyword, others in _ONLY_BESIDE.items():
        if not any(other in completed for other in others):
            completed.pop(keyword, None)
    for keyword in mandatory:
        if keyword not in completed:
            setattr(completed, keyword, "")
    completed.StudyInstanceUID = volume.study_instance_uid
    return completed


def _check_identity(header: Dataset, first: Dataset, volume: SourceVolume) -> None:
    expected = {
        "PatientID": first.get("PatientID", ""),
        "StudyInstanceUID": volume.study_instance_uid,
        "SeriesInstanceUID": volume.series_instance_uid,
    }
    for keyword, value in expected.items():
        if str(header.get(keyword, "")) != str(value):
            raise GlioLoopError("OBJECT_INVALID", f"{keyword} differs within the reference series")
    if str(header.get("FrameOfReferenceUID", volume.frame_of_reference_uid)) != volume.frame_of_reference_uid:
        raise GlioLoopError("OBJECT_INVALID", "FrameOfReferenceUID differs within the reference series")


def _belongs(header: Dataset, first: Dataset) -> bool:
    alike = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
    return bool(header.get("Rows")) and all(header.get(keyword) == first.get(keyword) for keyword in alike)


def _plane(header: Dataset, item: SliceSource, volume: SourceVolume) -> SlicePlane:
    orientation, spacing = _orientation_and_spacing(header, item.frame_number)
    direction = np.array(volume.image.GetDirection(), dtype=np.float64).reshape(3, 3)
    size = volume.image.GetSpacing()
    # The slice's own cosines as written: a volume's orthonormal matrix differs from them by rounding, which
    # over 250 mm moves a point out of its plane by more than viewers forgive.
    if orientation is None:
        orientation = np.concatenate([direction[:, 0], direction[:, 1]])
    if spacing is None:
        spacing = np.array([size[1], size[0]])
    if np.dot(orientation[:3], direction[:, 0]) < 0.99 or np.dot(orientation[3:], direction[:, 1]) < 0.99:
        raise GlioLoopError("OBJECT_INVALID", "a header's orientation differs from the volume's")
    if abs(spacing[1] - size[0]) > 0.01 * size[0] or abs(spacing[0] - size[1]) > 0.01 * size[1]:
        raise GlioLoopError("OBJECT_INVALID", "a header's pixel spacing differs from the volume's")
    return SlicePlane(
        slice_source=item,
        position=np.array(item.position, dtype=np.float64),
        column_step=orientation[:3] * spacing[1],
        row_step=orientation[3:] * spacing[0],
    )


def _orientation_and_spacing(
    header: Dataset, frame_number: int | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return ImageOrientationPatient (6,) and PixelSpacing (2,) of a slice; None where the header lacks them."""
    if frame_number is None:
        return _numbers(header, "ImageOrientationPatient", 6), _numbers(header, "PixelSpacing", 2)
    groups: list[Dataset] = list(header.get("SharedFunctionalGroupsSequence") or [])
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    if 0 < frame_number <= len(frames):
        groups.append(frames[frame_number - 1])
    orientation, spacing = None, None
    for group in groups:
        for item in group.get("PlaneOrientationSequence") or []:
            orientation = _numbers(item, "ImageOrientationPatient", 6)
        for item in group.get("PixelMeasuresSequence") or []:
            spacing = _numbers(item, "PixelSpacing", 2)
    return orientation, spacing


def _numbers(dataset: Dataset, keyword: str, count: int) -> NDArray[np.float64] | None:
    value = dataset.get(keyword)
    if value is None or len(value) != count:
        return None
    return np.array([float(number) for number in value], dtype=np.float64)
