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
from pipeline.identify.traits import FrameGroups, Order, Traits, number_of, order_of, traits_of

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
        SliceThickness; where absent, SpacingBetweenSlices, which it is at most; else None.
    frame_of_reference_uid
        The coordinate system of the position, empty where absent.
    traits, order
        See :func:`pipeline.identify.parts.traits_of` and :func:`pipeline.identify.parts.order_of`.
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
    frame_of_reference_uid: str
    traits: Traits
    order: Order

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
        for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence, start=1):
            yield _frame(dataset, path, number, FrameGroups(dataset, item))
    elif int(dataset.get("NumberOfFrames") or 1) > 1:
        raise _missing(dataset, "is multi-frame without functional groups")
    else:
        yield _frame(dataset, path, None, FrameGroups(dataset))


def _missing(dataset: Dataset, what: str) -> GlioLoopError:
    uid = str(dataset.get("SOPInstanceUID", ""))
    return GlioLoopError("GEOMETRY_MISSING", f"Instance {uid} {what}.", {"sop_instance_uid": uid})


def _numbers(dataset: Dataset, value: Any, count: int, name: str) -> tuple[float, ...]:
    """``count`` finite numbers or GEOMETRY_MISSING."""
    found = [number_of(one) for one in value] if hasattr(value, "__iter__") else []
    numbers = tuple(number for number in found if number is not None)
    if len(numbers) != count or len(found) != count:
        raise _missing(dataset, f"has no valid {name}")
    return numbers


def _frame(dataset: Dataset, path: Path, number: int | None, groups: FrameGroups) -> Frame:
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
        thickness_mm=number_of(groups.get("PixelMeasuresSequence", "SliceThickness"))
        or number_of(groups.get("PixelMeasuresSequence", "SpacingBetweenSlices")),
        frame_of_reference_uid=str(dataset.get("FrameOfReferenceUID", "")),
        traits=traits_of(groups),
        order=order_of(groups, number),
    )
