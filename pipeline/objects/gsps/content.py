"""Layers and annotations of a presentation state (PS3.3, C.10.5 and C.10.7)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from highdicom.pr import GraphicAnnotation, GraphicLayer, GraphicObject, TextObject
from pydicom import Dataset

from pipeline.names import Region
from pipeline.objects.preview.drawing import DrawnRegion

_LINE: Final = 0.035
_MARGIN: Final = 0.02
_REMARKS: Final = "REMARKS"
_WHITE: Final = 0xFFFF


def layers(regions: Mapping[Region, DrawnRegion]) -> dict[str, GraphicLayer]:
    """A layer for each region in its colour, and one for what is said of all."""
    made = {
        _name(region): GraphicLayer(_name(region), order, one.name[:64], CIELabColor.from_rgb(*one.colour))
        for order, (region, one) in enumerate(regions.items(), start=1)
    }
    made[_REMARKS] = GraphicLayer(_REMARKS, len(made) + 1, "What it is, and what is to be looked at")
    for one in made.values():
        one.GraphicLayerRecommendedDisplayGrayscaleValue = _WHITE  # for displays without colours
    return made


def annotations(
    regions: Mapping[Region, DrawnRegion],
    legend: Mapping[Region, str],
    remarks: Sequence[str],
    images: Sequence[Dataset],
    made: Mapping[str, GraphicLayer],
) -> Iterator[GraphicAnnotation]:
    """Contours on their slices, and on every slice the legend and the remarks.

    Parameters
    ----------
    regions
        The regions.
    legend
        A line for each region.
    remarks
        What is said on every slice.
    images
        One a slice, in their order.
    made
        From :func:`layers`.
    """
    for line, (region, one) in enumerate(regions.items()):
        text = _text(legend[region], _MARGIN + line * _LINE, _MARGIN + (line + 1) * _LINE)
        yield GraphicAnnotation(images, made[_name(region)], text_objects=[text])
        for index in np.unique(one.contours.slices):
            borders = [
                _border(one.contours.polygon(int(number))) for number in np.flatnonzero(one.contours.slices == index)
            ]
            yield GraphicAnnotation([images[index]], made[_name(region)], graphic_objects=borders)
    text = _text("\r\n".join(remarks), 1 - _MARGIN - 2 * len(remarks) * _LINE, 1 - _MARGIN)
    yield GraphicAnnotation(images, made[_REMARKS], text_objects=[text])


def _name(region: Region) -> str:
    return region.value.upper()


def _border(points: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> GraphicObject:
    """A border, or a hole's: closed, from the corner of the first pixel on and not from its centre."""
    closed = np.concatenate([points, points[:1]]) + 0.5
    return GraphicObject("POLYLINE", closed.astype(np.float32), "PIXEL")


def _text(text: str, top: float, bottom: float) -> TextObject:
    """Left in the part of the screen that the image has, whatever its zoom."""
    return TextObject(text[:1024], "DISPLAY", (_MARGIN, max(0.0, top), 1 - _MARGIN, bottom), text_justification="LEFT")
