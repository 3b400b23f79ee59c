"""The reference series as the objects need it: patient and study headers, and the plane of every slice."""

import logging
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.valuerep import PersonName

from pipeline.errors import GlioLoopError
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

#: Groups of patient, study and series attributes, which the objects copy.
_TEXT_GROUPS = frozenset({0x0008, 0x0010, 0x0020})

#: PS3.5, 6.2: an age string; what does not look like one would make our objects invalid as well.
_AGE = re.compile(r"\d{3}[DWMY]")


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
    """Headers and planes of the series that the contours are drawn on.

    Attributes
    ----------
    volume
        The series as a volume.
    headers
        One dataset for each instance, those of the volume's slices first, in the order of slices. The first is
        a copy that is complete in patient and study.
    planes
        One plane for each slice of the volume.
    """

    volume: SourceVolume
    headers: tuple[Dataset, ...]
    planes: tuple[SlicePlane, ...]

    @property
    def first(self) -> Dataset:
        """The header that patient and study are copied from; attributes of type 2 are present."""
        return self.headers[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Slices, rows, columns."""
        columns, rows, slices = self.volume.image.GetSize()
        return slices, rows, columns

    @property
    def slice_distance(self) -> float:
        """Distance between the centres of neighbouring slices, mm."""
        return float(self.volume.image.GetSpacing()[2])

    @property
    def slice_headers(self) -> list[Dataset]:
        """The distinct instances that hold the volume's slices, in the order of slices."""
        by_uid = {str(header.SOPInstanceUID): header for header in self.headers}
        return [by_uid[uid] for uid in dict.fromkeys(item.sop_instance_uid for item in self.volume.slices)]


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
        FRAME_OF_REFERENCE_MISSING where the images do not name one.
    """
    by_uid = {str(header.get("SOPInstanceUID", "")): header for header in source}
    wanted = dict.fromkeys(item.sop_instance_uid for item in volume.slices)
    absent = [uid for uid in wanted if uid not in by_uid]
    if absent or not wanted:
        raise GlioLoopError("OBJECT_INVALID", f"no header for {len(absent)} of {len(wanted)} instances of the volume")
    if len(volume.slices) != volume.image.GetSize()[2]:
        raise GlioLoopError("OBJECT_INVALID", "the volume's image and its list of slices differ in number")
    extra = [uid for uid in by_uid if uid not in wanted]
    headers = tuple(by_uid[uid] for uid in [*wanted, *extra])
    headers = (_completed(headers[0]), *headers[1:])
    for header in headers:
        _check_identity(header, headers[0], volume)
    planes = tuple(_plane(by_uid[item.sop_instance_uid], item, volume) for item in volume.slices)
    return ReferenceSeries(volume=volume, headers=headers, planes=planes)


def _completed(header: Dataset) -> Dataset:
    """Return a copy that is complete and valid in patient and study, in Unicode."""
    completed = Dataset()
    # Text is decoded by the header's own character set before it comes under the new one.
    tags = list(header.keys())
    completed.update({tag: header[tag] if tag.group in _TEXT_GROUPS else header.get_item(tag) for tag in tags})
    if hasattr(header, "file_meta"):
        completed.file_meta = header.file_meta
    for keyword in _TYPE_2:
        if keyword not in completed:
            setattr(completed, keyword, "")
    if completed.PatientSex not in ("M", "F", "O", "", None):
        completed.PatientSex = ""
    if not _AGE.fullmatch(str(completed.get("PatientAge", ""))):
        completed.pop("PatientAge", None)
    # One character set for every object, whatever mixture the scanner wrote.
    for keyword in ("PatientName", "ReferringPhysicianName"):
        name = str(completed.get(keyword) or "")
        setattr(completed, keyword, PersonName(name.encode("utf-8"), ["utf_8"]))
    completed.SpecificCharacterSet = "ISO_IR 192"
    return completed


def _check_identity(header: Dataset, first: Dataset, volume: SourceVolume) -> None:
    expected = {
        "PatientID": first.PatientID,
        "StudyInstanceUID": volume.study_instance_uid,
        "SeriesInstanceUID": volume.series_instance_uid,
    }
    for keyword, value in expected.items():
        if str(header.get(keyword, "")) != str(value):
            raise GlioLoopError("OBJECT_INVALID", f"{keyword} differs within the reference series")
    if not volume.frame_of_reference_uid:
        raise GlioLoopError("FRAME_OF_REFERENCE_MISSING", f"series {volume.series_instance_uid}")
    if str(header.get("FrameOfReferenceUID", volume.frame_of_reference_uid)) != volume.frame_of_reference_uid:
        raise GlioLoopError("OBJECT_INVALID", "FrameOfReferenceUID differs within the reference series")


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
