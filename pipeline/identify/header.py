"""Headers of series, from files or from Orthanc's REST."""

import statistics
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag
from pydicom.uid import MediaStorageDirectoryStorage

from pipeline.errors import GlioLoopError
from pipeline.exhaustion import raise_if_exhausted

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
    """

    series_instance_uid: str
    instance_count: int
    dataset: Dataset
    orthanc_id: str = ""


def dataset_from_orthanc_tags(tags: Mapping[str, Any]) -> Dataset:
    """A dataset from the JSON of Orthanc's ``GET /instances/{id}/tags``.

    Parameters
    ----------
    tags
        Maps ``"gggg,eeee"`` to ``{"Name", "Type", "Value"}``; Type is String, Sequence, Binary, Null or TooLong.

    Returns
    -------
    pydicom.Dataset
        Without pixel data, binary values and values that Orthanc held back; of per-frame functional groups
        only the first and the middle frame. Values that break their VR are left out, not raised.
    """
    dataset = Dataset()
    for name, entry in tags.items():
        element = _element(name, entry)
        if element is not None:
            dataset.add(element)
    return dataset


def _element(name: str, entry: Mapping[str, Any]) -> DataElement | None:
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
        if name == _PER_FRAME and len(items) > 2:
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


def headers_from_files(files: Iterable[Path]) -> tuple[list[SeriesHeader], dict[str, list[Path]]]:
    """Group files by series and read one representative header of each.

    The representative is the instance with the highest b-value where some have one, else the middle one by
    instance number. Files that are not DICOM, and DICOM directories, are ignored.

    Returns
    -------
    headers
        One a series, sorted by SeriesInstanceUID.
    paths
        Files of each series, sorted.

    Raises
    ------
    GlioLoopError
        ``FILE_UNREADABLE`` for a DICOM file whose header cannot be read.
    """
    groups: dict[str, list[tuple[float, int, str, Path]]] = {}
    for path in files:
        header = _brief(path)
        if header is None:
            continue
        b_value = _real(header.get("DiffusionBValue"))
        key = (b_value, int(_real(header.get("InstanceNumber"))), str(header.get("SOPInstanceUID", "")), path)
        groups.setdefault(str(header.SeriesInstanceUID), []).append(key)
    headers, paths = [], {}
    for uid in sorted(groups):
        members = sorted(groups[uid])
        paths[uid] = sorted(member[3] for member in members)
        headers.append(SeriesHeader(uid, len(members), _full(_representative(members))))
    return headers, paths


def _representative(members: list[tuple[float, int, str, Path]]) -> Path:
    if members[-1][0] > members[0][0]:
        return members[-1][3]
    return statistics.median_low(members)[3]


def _real(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0


def _brief(path: Path) -> Dataset | None:
    wanted = ["SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "DiffusionBValue"]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = dcmread(path, stop_before_pixels=True, specific_tags=list(wanted))
            if header.file_meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
                return None
            if not header.get("SeriesInstanceUID"):
                raise ValueError("no SeriesInstanceUID: the header is cut off")
            return header
    except InvalidDicomError:
        return None
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise _unreadable(path, error) from error


def _full(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True)
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> GlioLoopError:
    raise_if_exhausted(error, "identify")
    return GlioLoopError("FILE_UNREADABLE", f"{path.name}: {type(error).__name__}.", {"cause": str(error)[:300]})
