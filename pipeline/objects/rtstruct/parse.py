"""What a structure set of any vendor says, apart from any image: its ROIs, each readable or with what is wrong with it.

One damaged ROI spoils no other, and what contours can be read without (colours, counts, references) spoils none.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import RTStructureSetStorage

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import raise_if_exhausted
from pipeline.objects.rtstruct.enum import ContourGeometricTypes

#: Larger files are refused before they are read; the largest real ones have some tens of MiB.
LARGEST_FILE_BYTES: Final = 512 * 1024 * 1024

_CONTOUR_DATA: Final = Tag("ContourData")
#: Geometric types that bound no area.
_WITHOUT_AREA: Final = frozenset({ContourGeometricTypes.POINT.value, ContourGeometricTypes.OPEN_NONPLANAR.value})


class InvalidAttributeError(ValueError):
    """An attribute that cannot be done without is absent or invalid.

    Parameters
    ----------
    keyword
        The attribute.
    problem
        What is wrong with it, in words; nothing of its value.
    """

    def __init__(self, keyword: str, problem: str) -> None:
        tag = Tag(tag_for_keyword(keyword) or 0)
        super().__init__(f"{keyword} ({tag.group:04X},{tag.element:04X}) {problem}")


@dataclass(frozen=True, eq=False)
class ParsedRoi:
    """One ROI of a structure set.

    Attributes
    ----------
    number, name
        As written; the number is None where it is absent, the name empty.
    automatic
        Whether it is marked as made by an algorithm.
    frame_of_reference_uid
        Empty where absent.
    polygons
        Points (n, 3) of each contour with an area, LPS, mm; a closing point that repeats the first is dropped.
    referenced_instances
        SOP Instance UIDs of the images that the contours name.
    warnings
        What was unusual, in words.
    fault
        Why it cannot be read, with the attribute; empty where it can.
    exclusive
        Whether what contours share is outside, whichever way they overlap (CLOSEDPLANAR_XOR).
    """

    number: int | None
    name: str
    automatic: bool = False
    frame_of_reference_uid: str = ""
    polygons: tuple[NDArray[np.float64], ...] = field(default=(), repr=False)
    referenced_instances: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()
    fault: str = ""
    exclusive: bool = False

    @property
    def marks_only(self) -> bool:
        """Whether it has contours of which none bounds an area, as a point that marks a place: it was not emptied."""
        return not self.polygons and bool(self.warnings)

    @property
    def title(self) -> str:
        """What to call it."""
        return self.name or f"ROI {self.number if self.number is not None else 'without number'}"


@dataclass(frozen=True)
class ParsedStructureSet:
    """A structure set.

    Attributes
    ----------
    rois
        In its order; after them contours that no ROI describes.
    frames_of_reference
        Those that it names as a whole.
    """

    rois: tuple[ParsedRoi, ...]
    frames_of_reference: frozenset[str]


def parse_structure_set(source: Path | str | Dataset) -> ParsedStructureSet:
    """Read what a structure set says.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where it is no structure set or cannot be decoded as a whole.
    """
    try:
        dataset = _dataset(source)
        described = [_described(item) for item in items_of(dataset, "StructureSetROISequence")]
        contours = [_contoured(item) for item in items_of(dataset, "ROIContourSequence")]
        frames = frozenset({text_of(dataset, "FrameOfReferenceUID"), *_frames(dataset)} - {""})
        return ParsedStructureSet(tuple(_joined(described, contours)), frames)
    except GlioLoopError:
        raise
    except InvalidAttributeError as fault:
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", str(fault)) from fault
    # A damaged file can make the decoder raise nearly anything; whatever it is, the file is what is wrong.
    except Exception as error:
        raise_if_exhausted(error, "structure set")
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"not decodable: {type(error).__name__}") from error


def _dataset(source: Path | str | Dataset) -> Dataset:
    if isinstance(source, Dataset):
        dataset = source
    else:
        path = Path(source)
        if path.stat().st_size > LARGEST_FILE_BYTES:
            raise GlioLoopError("STRUCTURE_SET_UNREADABLE", "the file is too large")
        # Some systems send files without the preamble.
        dataset = pydicom.dcmread(path, force=True)
    if dataset.get("SOPClassUID") != RTStructureSetStorage and dataset.get("Modality") != "RTSTRUCT":
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", "not an RT Structure Set")
    return dataset


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none where it is absent or empty.

    Raises
    ------
    InvalidAttributeError
        Where it is no sequence, or cannot be decoded.
    """
    try:
        value = dataset.get(keyword)
        items = [] if value is None or value in ("", b"") else list(value)
    except Exception as error:
        raise_if_exhausted(error, keyword)
        raise InvalidAttributeError(keyword, "cannot be decoded") from error
    if not all(isinstance(item, Dataset) for item in items):
        raise InvalidAttributeError(keyword, "is no sequence")
    return items


def number_of(item: Dataset, keyword: str) -> int | None:
    """Return a whole number; None where it is absent or none."""
    try:
        value = item.get(keyword)
        number = float(str(value)) if value is not None else None
    except Exception as error:
        raise_if_exhausted(error, keyword)
        return None
    return int(number) if number is not None and number.is_integer() else None


def text_of(item: Dataset, keyword: str) -> str:
    """Return a text as it was written, a backslash that parts values included; empty where it is absent or damaged."""
    try:
        value = item.get(keyword)
    except Exception as error:
        raise_if_exhausted(error, keyword)
        return ""
    if value is None:
        return ""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return ("\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)).strip(" \0")


def _frames(dataset: Dataset) -> Iterator[str]:
    """Frames of reference named for the whole; a damaged list names none."""
    try:
        items = items_of(dataset, "ReferencedFrameOfReferenceSequence")
    except InvalidAttributeError:
        return
    yield from (text_of(item, "FrameOfReferenceUID") for item in items)


def _described(item: Dataset) -> ParsedRoi:
    return ParsedRoi(
        number=number_of(item, "ROINumber"),
        name=text_of(item, "ROIName"),
        automatic=text_of(item, "ROIGenerationAlgorithm").upper() == "AUTOMATIC",
        frame_of_reference_uid=text_of(item, "ReferencedFrameOfReferenceUID"),
    )


def _contoured(item: Dataset) -> ParsedRoi:
    """The contours of an ROI that is described elsewhere."""
    number = number_of(item, "ReferencedROINumber")
    try:
        polygons, referenced, warnings = _polygons(item)
    except InvalidAttributeError as fault:
        return ParsedRoi(number, "", fault=str(fault))
    kinds = {text_of(one, "ContourGeometricType") for one in items_of(item, "ContourSequence")}
    exclusive = ContourGeometricTypes.CLOSEDPLANAR_XOR in kinds
    return ParsedRoi(
        number, "", polygons=polygons, referenced_instances=referenced, warnings=warnings, exclusive=exclusive
    )


def _polygons(contours: Dataset) -> tuple[tuple[NDArray[np.float64], ...], frozenset[str], tuple[str, ...]]:
    """Return the contours of an ROI with an area, the images they name, and warnings."""
    polygons: list[NDArray[np.float64]] = []
    referenced: set[str] = set()
    opened, skipped, miscounted = 0, 0, 0
    for item in items_of(contours, "ContourSequence"):
        kind = text_of(item, "ContourGeometricType")
        points = np.empty((0, 3)) if kind in _WITHOUT_AREA else _points(item)
        if not len(points) and kind not in _WITHOUT_AREA and number_of(item, "NumberOfContourPoints") != 0:
            raise InvalidAttributeError("ContourData", "is absent")  # lost, which is not the same as nothing drawn
        if len(points) < 3:
            skipped += kind in _WITHOUT_AREA or len(points) > 0
            continue
        opened += kind == ContourGeometricTypes.OPEN_PLANAR
        miscounted += number_of(item, "NumberOfContourPoints") not in (None, len(points), len(points) + 1)
        polygons.append(points)
        referenced.update(_images(item))
    warnings = (
        (opened, "open contours were closed"),
        (skipped, "contours bound no area and were left out"),
        (miscounted, "contours hold another number of points than they say"),
    )
    return tuple(polygons), frozenset(referenced - {""}), tuple(f"{n} {words}" for n, words in warnings if n)


def _images(contour: Dataset) -> Iterable[str]:
    """Images that a contour names; position decides, so a damaged reference does not matter."""
    try:
        return [text_of(image, "ReferencedSOPInstanceUID") for image in items_of(contour, "ContourImageSequence")]
    except InvalidAttributeError:
        return []


def _points(contour: Dataset) -> NDArray[np.float64]:
    """Return ContourData as (n, 3), LPS, mm; without a closing point that repeats the first.

    Raises
    ------
    InvalidAttributeError
        Where the numbers are not finite or not triplets.
    """
    if _CONTOUR_DATA not in contour:
        return np.empty((0, 3))
    value = contour.get_item(_CONTOUR_DATA).value
    try:
        if isinstance(value, bytes):
            # Straight from the file's bytes: a DS object for each number would take twenty times as long.
            value = [part for part in value.decode("ascii").rstrip("\0 ").split("\\") if part] if value.strip() else []
        numbers = np.array([float(part) for part in value or []], dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InvalidAttributeError("ContourData", "holds what is no number") from error
    if len(numbers) % 3 or not np.isfinite(numbers).all():
        raise InvalidAttributeError("ContourData", "does not hold finite triplets")
    points = numbers.reshape(-1, 3)
    return points[:-1] if len(points) > 1 and np.array_equal(points[0], points[-1]) else points


def _joined(described: list[ParsedRoi], contours: list[ParsedRoi]) -> Iterator[ParsedRoi]:
    """Bring contours to the ROIs that they belong to.

    Where a number is absent, contours and ROI belong together if each is the only one that is left over; else nothing
    tells which, and they count as unreadable.
    """
    described_as = Counter(roi.number for roi in described)
    drawn: dict[int | None, list[ParsedRoi]] = {}
    for one in contours:
        drawn.setdefault(one.number, []).append(one)
    homeless = drawn.get(None, [])
    strange = [one for one in contours if one.number is not None and one.number not in described_as]
    nameless = [roi for roi in described if roi.number is None]
    bare = [roi for roi in described if roi.number is not None and roi.number not in drawn]
    seeking = nameless + (bare if homeless else [])
    sought = {id(roi) for roi in seeking}
    offered = homeless + (strange if nameless else [])
    paired = len(seeking) == len(offered) == 1
    for roi in described:
        if id(roi) in sought and paired:
            yield _merged(replace(roi, number=_either(roi.number, offered[0].number)), offered)
        elif roi.number is None:
            yield replace(roi, fault=str(InvalidAttributeError("ROINumber", "is absent or no number")))
        elif id(roi) in sought and offered:
            yield replace(roi, fault=str(InvalidAttributeError("ReferencedROINumber", "is absent or no number")))
        elif described_as[roi.number] > 1:
            yield replace(roi, fault=str(InvalidAttributeError("ROINumber", "is another ROI's, too")))
        else:
            yield _merged(roi, drawn.get(roi.number, []))
    for one in strange:
        if not (paired and one is offered[0]):
            yield replace(one, warnings=(*one.warnings, "the ROI has contours but no name"))


def _either(first: int | None, second: int | None) -> int | None:
    return first if first is not None else second


def _merged(roi: ParsedRoi, contours: list[ParsedRoi]) -> ParsedRoi:
    return replace(
        roi,
        polygons=tuple(polygon for one in contours for polygon in one.polygons),
        referenced_instances=frozenset().union(*(one.referenced_instances for one in contours)),
        warnings=tuple(warning for one in contours for warning in one.warnings),
        fault="; ".join(one.fault for one in contours if one.fault),
        exclusive=any(one.exclusive for one in contours),
    )
