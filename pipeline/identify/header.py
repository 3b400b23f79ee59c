"""Headers of series, and a dataset from what Orthanc's REST answers."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from pipeline.identify.parts import SeriesPart

_PIXELS = 0x7FE00000
_PER_FRAME = "5200,9230"
_INTEGERS = frozenset({"US", "SS", "UL", "SL", "UV", "SV"})
_REALS = frozenset({"FL", "FD"})
# Orthanc decodes JIS X 0201 before it joins values, and there the backslash is a yen sign
_YEN_SEPARATED = frozenset({"CS", "DS", "IS", "DA", "TM", "DT", "UI", "AS"})
_BYTES = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN", "SQ"})


@dataclass(frozen=True)
class SeriesHeader:
    """What identification knows of a series.

    Attributes
    ----------
    series_instance_uid
        Of the series.
    instance_count
        Instances in it; a multi-frame instance counts once.
    dataset
        Attributes of one representative instance; pixel data are not needed.
    orthanc_id
        Orthanc's identifier of the series, empty outside Orthanc.
    frame
        1-based frame that stands for a multi-frame instance, None for the middle one.
    part
        The part of the series that the header is of, where it has several images at each position; None for all.
    slices
        Different positions of its images, None where unknown.
    extent_mm
        What they cover along the normal, None where unknown.
    volumes
        Images at each position.
    """

    series_instance_uid: str
    instance_count: int
    dataset: Dataset
    orthanc_id: str = ""
    frame: int | None = None
    part: SeriesPart | None = None
    slices: int | None = None
    extent_mm: float | None = None
    volumes: int = 1


def dataset_from_orthanc_tags(tags: Mapping[str, Any], every_frame: bool = False) -> Dataset:
    """A dataset from the JSON of Orthanc's ``GET /instances/{id}/tags``.

    Parameters
    ----------
    tags
        Maps ``"gggg,eeee"`` to ``{"Name", "Type", "Value"}``; Type is String, Sequence, Binary, Null or TooLong.
    every_frame
        Whether to keep the functional groups of every frame.

    Returns
    -------
    pydicom.Dataset
        Without pixel data, binary values and values that Orthanc held back; of per-frame functional groups
        only the first and the middle frame, unless all are wanted. Values that break their VR are left out, not raised.
    """
    dataset = Dataset()
    for name, entry in tags.items():
        element = _element(name, entry, every_frame)
        if element is not None:
            dataset.add(element)
    return dataset


def _element(name: str, entry: Mapping[str, Any], every_frame: bool) -> DataElement | None:
    group, _, number = name.partition(",")
    try:
        tag = Tag(int(group, 16), int(number, 16))
    except ValueError:
        return None
    if tag >= _PIXELS or tag.is_private_creator:
        return _private_creator(tag, entry) if tag.is_private_creator else None
    kind, value = entry.get("Type"), entry.get("Value")
    if kind == "Sequence":
        items = list(value or [])
        if name == _PER_FRAME and len(items) > 2 and not every_frame:
            items = [items[0], items[len(items) // 2]]
        return DataElement(tag, "SQ", Items([dataset_from_orthanc_tags(item) for item in items]))
    if kind != "String" or value is None:
        return None
    return _string_element(tag, str(value))


def _private_creator(tag: Any, entry: Mapping[str, Any]) -> DataElement | None:
    return DataElement(tag, "LO", str(entry.get("Value") or "")) if entry.get("Type") == "String" else None


def _string_element(tag: Any, text: str) -> DataElement | None:
    try:
        representation = "LO" if tag.is_private else dictionary_VR(tag)
    except KeyError:
        return None
    if " or " in representation:
        representation = representation.split(" or ")[0]
    if representation in _BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return DataElement(tag, representation, _typed(text, representation))
    except (ValueError, TypeError, OverflowError):
        return None


def _typed(text: str, representation: str) -> Any:
    if representation in _INTEGERS or representation in _REALS:
        convert = int if representation in _INTEGERS else float
        numbers = [convert(part) for part in text.split("\\") if part.strip()]
        return numbers[0] if len(numbers) == 1 else numbers
    return text.replace("¥", "\\") if representation in _YEN_SEPARATED else text
