"""Attributes of a header as plain values: one that is absent, empty or malformed is None or empty, never an error."""

from collections.abc import Iterator
from typing import Any

import pydicom.multival
from pydicom.dataset import Dataset

from pipeline.errors.resources import raise_if_exhausted


class Lookup:
    """Finds an attribute at the top level or, in Enhanced MR, in the functional groups.

    Parameters
    ----------
    dataset
        The header.
    frame
        1-based; the middle one where None.
    """

    def __init__(self, dataset: Dataset, frame: int | None = None) -> None:
        self.top = dataset
        self._places = [dataset, *_group_items(dataset, frame)]

    def value(self, keyword: str) -> Any:
        """Value of the first place that has one; None where absent, empty or malformed."""
        for place in self._places:
            try:
                value = place.get(keyword)
            except Exception as error:  # pydicom raises many kinds on a malformed element, which counts as absent
                raise_if_exhausted(error, "identify")
                continue
            if value is not None and value not in ("", []):
                return value
        return None

    def text(self, keyword: str) -> str:
        """As text, several values parted by backslashes; empty where absent."""
        value = self.value(keyword)
        if isinstance(value, (list, tuple, pydicom.multival.MultiValue)):
            return "\\".join(str(v) for v in value).strip()
        return "" if value is None else str(value).strip()

    def words(self, keyword: str) -> tuple[str, ...]:
        """Values in capitals."""
        return tuple(word.strip().upper() for word in self.text(keyword).split("\\") if word.strip())

    def number(self, keyword: str, zero: bool = False) -> float | None:
        """First number, where it is above zero (or not, where ``zero`` allows it)."""
        numbers = self.numbers(keyword)
        return numbers[0] if numbers and (numbers[0] > 0 or zero) else None

    def numbers(self, keyword: str) -> tuple[float, ...]:
        """All of them; none where one is no number."""
        value = self.value(keyword)
        if value is None:
            return ()
        values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        try:
            return tuple(float(v) for v in values)
        except (TypeError, ValueError):
            return ()

    def private(self, group: int, element: int) -> Any:
        """Value of a private element at the block its creator usually has; None where absent."""
        found = self.top.get((group, element))
        return None if found is None else found.value


def _group_items(dataset: Dataset, frame: int | None) -> Iterator[Dataset]:
    """First items of the functional groups: of one frame (1-based; the middle one where None), then the shared ones."""
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = dataset.get("SharedFunctionalGroupsSequence") or []
    chosen = len(frames) // 2 if frame is None else frame - 1
    for groups in [*frames[chosen : chosen + 1], *shared[:1]]:
        for element in groups:
            if element.VR == "SQ" and element.value and not element.tag.is_private:
                yield element.value[0]


def decoded(value: Any) -> str:
    """Value of a private element as text, which arrives as bytes where its kind is unknown."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    return "" if value is None else str(value).strip("\0 ")
