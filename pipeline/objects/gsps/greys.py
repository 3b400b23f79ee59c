"""How the slices of the reference series are shown: what its headers say of grey values and windows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from highdicom import ModalityLUTTransformation
from highdicom.pr import SoftcopyVOILUTTransformation
from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.valuerep import DSfloat

from pipeline.objects.preview.drawing import grey_window
from pipeline.objects.source import ReferenceSeries

_UNSPECIFIED: Final = "US"


@dataclass(frozen=True)
class SliceGreys:
    """Of one slice.

    Attributes
    ----------
    slope, intercept
        From stored values to those that the window is of.
    centre, width
        Of the window.
    """

    slope: float
    intercept: float
    centre: float
    width: float

    def of_stored(self) -> "SliceGreys":
        """The same with its window in stored values."""
        centre = (self.centre - self.intercept) / self.slope
        return SliceGreys(1.0, 0.0, centre, max(1.0, self.width / abs(self.slope)))


def greys_of(series: ReferenceSeries, headers: Mapping[str, Dataset]) -> list[SliceGreys]:
    """Read the greys of each slice; the window of the preview where a header has none.

    Where slices are rescaled differently, as one modality LUT can't tell, the windows are of stored values.

    Parameters
    ----------
    headers
        By SOP Instance UID.
    """
    low, high = grey_window(series)
    usual = ((low + high) / 2, max(1.0, high - low))
    found = [_greys(headers[one.sop_instance_uid], one.frame_number, usual) for one in series.volume.slices]
    alike = len({(one.slope, one.intercept) for one in found}) == 1
    return found if alike else [one.of_stored() for one in found]


def modality_lut(greys: Sequence[SliceGreys]) -> ModalityLUTTransformation | None:
    """The rescaling that all slices share; None where there is none."""
    slope, intercept = greys[0].slope, greys[0].intercept
    return (
        None
        if (slope, intercept) == (1.0, 0.0)
        else ModalityLUTTransformation(
            rescale_intercept=_ds(intercept), rescale_slope=_ds(slope), rescale_type=_UNSPECIFIED
        )
    )


def windows(greys: Sequence[SliceGreys]) -> list[tuple[SoftcopyVOILUTTransformation, list[int]]]:
    """Each window, and the slices that are shown with it."""
    slices: dict[tuple[float, float], list[int]] = {}
    for index, one in enumerate(greys):
        slices.setdefault((one.centre, one.width), []).append(index)
    return [
        (SoftcopyVOILUTTransformation(window_center=_ds(centre), window_width=_ds(width)), own)
        for (centre, width), own in slices.items()
    ]


def _greys(header: Dataset, frame: int | None, usual: tuple[float, float]) -> SliceGreys:
    rescaled = _group(header, frame, "PixelValueTransformationSequence")
    shown = _group(header, frame, "FrameVOILUTSequence")
    centre, width = _number(shown, "WindowCenter"), _number(shown, "WindowWidth")
    if centre is None or width is None or width < 1:
        centre, width = usual
    return SliceGreys(
        _number(rescaled, "RescaleSlope") or 1.0, _number(rescaled, "RescaleIntercept") or 0.0, centre, width
    )


def _group(header: Dataset, frame: int | None, sequence: str) -> Dataset:
    """Where a slice's attributes of a functional group stand: in a single-frame image at its root."""
    if frame is None:
        return header
    groups = [*(header.get("PerFrameFunctionalGroupsSequence") or [])[frame - 1 : frame]]
    groups += header.get("SharedFunctionalGroupsSequence") or []
    items = (item for group in groups for item in group.get(sequence) or [])
    return next(items, Dataset())


def _number(place: Dataset, keyword: str) -> float | None:
    """The first value of an attribute; None where it is absent or no number."""
    try:
        value = place.get(keyword)
        return float(value[0] if isinstance(value, MultiValue) else value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _ds(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
