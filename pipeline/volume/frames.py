"""The geometry and identity of every frame of a series, from classic and from Enhanced MR instances.

Nothing here touches pixel data. Sources: DICOM PS3.3 C.7.6.2 (Image Plane), C.7.6.16 (Multi-frame Functional
Groups), C.8.13 (Enhanced MR).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipeline.errors import GlioLoopError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """One frame: where it lies in the patient and what tells it from others at the same place.

    Attributes
    ----------
    path
        File that holds it.
    frame_number
        1-based in a multi-frame instance, None in a classic one.
    sop_class_uid, sop_instance_uid
        The instance.
    position
        ImagePositionPatient as written, LPS mm.
    row_cosine, column_cosine
        Direction in which the column index, respectively the row index, grows (ImageOrientationPatient).
    spacing
        Distance between columns, between rows, mm (PixelSpacing reversed: image index order i, j).
    size
        Columns, rows.
    thickness_mm
        SliceThickness, None where absent.
    splitters
        Values that may tell two frames at the same position apart, by name, in the order in which
        :func:`pipeline.volume.stacks.split_stacks` tries them.
    order
        Acquisition time, instance number, frame number, SOP Instance UID: the stated order among equals.
    """

    path: Path
    frame_number: int | None
    sop_class_uid: str
    sop_instance_uid: str
    position: tuple[float, float, float]
    row_cosine: tuple[float, float, float]
    column_cosine: tuple[float, float, float]
    spacing: tuple[float, float]
    size: tuple[int, int]
    thickness_mm: float | None
    splitters: tuple[tuple[str, str | float], ...]
    order: tuple[str, int, int, str]

    @property
    def normal(self) -> Vector:
        """Unit normal: row direction times column direction."""
        return normal_of(self.row_cosine, self.column_cosine)


def normal_of(row_cosine: Iterable[float], column_cosine: Iterable[float]) -> Vector:
    """Cross product of row and column direction, of unit length."""
    normal = np.cross(np.array(tuple(row_cosine), float), np.array(tuple(column_cosine), float))
    return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)


def frames_of(dataset: Dataset, path: Path) -> Iterator[Frame]:
    """Every frame of one instance.

    Parameters
    ----------
    dataset
        The instance, pixel data not needed.
    path
        Its file.

    Raises
    ------
    GlioLoopError
        ``GEOMETRY_MISSING`` where position, orientation or spacing is absent or no number, ``FILE_UNREADABLE``
        where the image has no rows or columns.
    """
    if "PerFrameFunctionalGroupsSequence" in dataset:
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
            yield _frame(dataset, path, number, _Groups(item, shared, dataset))
    elif int(dataset.get("NumberOfFrames") or 1) > 1:
        raise _missing(dataset, "is multi-frame without functional groups")
    else:
        yield _frame(dataset, path, None, _Groups(Dataset(), None, dataset))


class _Groups:
    """Looks an attribute up per frame, then shared, then at the instance's top level."""

    def __init__(self, per_frame: Dataset, shared: Dataset | None, top: Dataset) -> None:
        self._places = (per_frame, shared) if shared is not None else (per_frame,)
        self._top = top

    def get(self, sequence: str, keyword: str) -> Any:
        """Value of an attribute inside a functional group, or its top-level namesake, or None."""
        for place in self._places:
            group = _first(place, sequence)
            if group is not None and group.get(keyword) is not None:
                return group.get(keyword)
        return self._top.get(keyword)


def _first(dataset: Dataset, sequence: str) -> Dataset | None:
    items = dataset.get(sequence)
    return items[0] if items else None


def _missing(dataset: Dataset, what: str) -> GlioLoopError:
    uid = str(dataset.get("SOPInstanceUID", ""))
    return GlioLoopError("GEOMETRY_MISSING", f"Instance {uid} {what}.", {"sop_instance_uid": uid})


def _numbers(dataset: Dataset, value: Any, count: int, name: str) -> tuple[float, ...]:
    """``count`` finite numbers or GEOMETRY_MISSING."""
    try:
        numbers = tuple(float(v) for v in value)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise _missing(dataset, f"has no valid {name}")
    return numbers


def _frame(dataset: Dataset, path: Path, number: int | None, groups: _Groups) -> Frame:
    position = _numbers(dataset, groups.get("PlanePositionSequence", "ImagePositionPatient"), 3, "ImagePositionPatient")
    cosines = _numbers(
        dataset, groups.get("PlaneOrientationSequence", "ImageOrientationPatient"), 6, "ImageOrientationPatient"
    )
    spacing = _numbers(dataset, groups.get("PixelMeasuresSequence", "PixelSpacing"), 2, "PixelSpacing")
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if min(spacing) <= 0 or min(lengths) < 0.9 or max(lengths) > 1.1 or abs(row @ column) > 0.02:
        raise _missing(dataset, "has impossible ImageOrientationPatient or PixelSpacing")
    if not dataset.get("Rows") or not dataset.get("Columns"):
        uid = str(dataset.get("SOPInstanceUID", ""))
        raise GlioLoopError("FILE_UNREADABLE", f"Instance {uid} has no rows or columns.", {"sop_instance_uid": uid})
    return Frame(
        path=path,
        frame_number=number,
        sop_class_uid=str(dataset.get("SOPClassUID", "")),
        sop_instance_uid=str(dataset.get("SOPInstanceUID", "")),
        position=(position[0], position[1], position[2]),
        row_cosine=(cosines[0], cosines[1], cosines[2]),
        column_cosine=(cosines[3], cosines[4], cosines[5]),
        spacing=(spacing[1], spacing[0]),
        size=(int(dataset.Columns), int(dataset.Rows)),
        thickness_mm=_number(groups.get("PixelMeasuresSequence", "SliceThickness")),
        splitters=_splitters(groups),
        order=_order(dataset, groups, number),
    )


def _number(value: Any) -> float | None:
    try:
        return None if value is None or value == "" else float(value)
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, str) or not hasattr(value, "__iter__") else "\\".join(map(str, value))


def _splitters(groups: _Groups) -> tuple[tuple[str, str | float], ...]:
    """What separates frames at one position, the most telling first; absent values compare as equal."""
    component = _text(groups.get("MRImageFrameTypeSequence", "ComplexImageComponent"))
    frame_type = _text(groups.get("MRImageFrameTypeSequence", "FrameType")) or _text(groups.get("", "ImageType"))
    echo = groups.get("MREchoSequence", "EffectiveEchoTime")
    values: tuple[tuple[str, Any], ...] = (
        ("stack", _text(groups.get("FrameContentSequence", "StackID"))),
        ("component", component),
        ("image type", frame_type),
        ("echo time", _number(echo if echo is not None else groups.get("", "EchoTime"))),
        ("inversion time", _number(groups.get("MRTimingAndRelatedParametersSequence", "InversionTime"))),
        ("b-value", _number(groups.get("MRDiffusionSequence", "DiffusionBValue"))),
        ("diffusion direction", _text(groups.get("MRDiffusionSequence", "DiffusionGradientOrientation"))),
        ("temporal position", _number(groups.get("FrameContentSequence", "TemporalPositionIndex"))),
        ("temporal position", _number(groups.get("", "TemporalPositionIdentifier"))),
        ("acquisition", _number(groups.get("FrameContentSequence", "FrameAcquisitionNumber"))),
        ("acquisition", _number(groups.get("", "AcquisitionNumber"))),
        ("acquisition time", _text(groups.get("", "AcquisitionDateTime") or groups.get("", "AcquisitionTime"))),
    )
    return tuple((name, -1.0 if value is None else value) for name, value in values)


def _order(dataset: Dataset, groups: _Groups, number: int | None) -> tuple[str, int, int, str]:
    moment = _text(groups.get("FrameContentSequence", "FrameAcquisitionDateTime")) or _text(
        dataset.get("AcquisitionDateTime")
    )
    if not moment:
        moment = _text(dataset.get("AcquisitionDate")) + _text(dataset.get("AcquisitionTime"))
    instance = _number(dataset.get("InstanceNumber"))
    return (moment, int(instance or 0), number or 0, str(dataset.get("SOPInstanceUID", "")))
