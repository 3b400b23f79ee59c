"""The curve of a course: the volume of every region over time, as a picture."""

from collections.abc import Sequence
from datetime import datetime
from math import ceil, floor, log10
from typing import Final

from PIL import Image, ImageDraw

from pipeline.course.change import StudyCourse
from pipeline.names import Region
from pipeline.objects.page.picture import font
from pipeline.objects.page.words import Words
from pipeline.objects.regions import REGION_STYLES

_SIZE: Final = (1600, 560)
_LEFT, _RIGHT, _TOP, _BOTTOM = 120, 60, 70, 60
_INK, _GRID = (40, 40, 40), (215, 215, 215)
#: Lines on white: the yellow and the blue of overlays are too light there.
_DARKER: Final = {Region.WT: (200, 150, 0), Region.ET: (0, 130, 190)}


def draw_curve(studies: Sequence[StudyCourse], words: Words) -> Image.Image:
    """Draw the volumes of the studies, oldest first, with a legend."""
    picture = Image.new("RGB", _SIZE, (255, 255, 255))
    pen = ImageDraw.Draw(picture)
    regions = [one for one in Region if any(one in study.regions for study in studies)]
    most, step = _scale(max([1.0, *(one.volume_ml for study in studies for one in study.regions.values())]))
    across = _places([study.at for study in studies])

    def down(ml: float) -> float:
        return _SIZE[1] - _BOTTOM - ml / most * (_SIZE[1] - _TOP - _BOTTOM)

    for level in range(round(most / step) + 1):
        height = down(level * step)
        pen.line((_LEFT, height, _SIZE[0] - _RIGHT, height), fill=_GRID, width=2)
        text = f"{words.number(level * step, 0 if step >= 1 else 1)} ml"
        pen.text((_LEFT - 12, height), text, fill=_INK, font=font(20), anchor="rm")
    _dates(pen, [words.date(study.at) for study in studies], across)
    left = float(_LEFT)
    for region in regions:
        colour = _DARKER.get(region, REGION_STYLES[region].colour)
        points = [
            (place, down(study.regions[region].volume_ml))
            for place, study in zip(across, studies, strict=True)
            if region in study.regions
        ]
        pen.line(points, fill=colour, width=5, joint="curve")
        for x, y in points:
            pen.ellipse((x - 9, y - 9, x + 9, y + 9), fill=colour)
        pen.rectangle((left, 22, left + 24, 46), fill=colour)
        pen.text((left + 34, 34), words(region.value), fill=_INK, font=font(24), anchor="lm")
        left += 80 + font(24).getlength(words(region.value))
    return picture


def _scale(largest: float) -> tuple[float, float]:
    """End of the axis and distance of its lines: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(largest / 4))
    step = next(one * power for one in (1, 2, 5, 10) if one * power >= largest / 4)
    return step * ceil(largest / step), step


def _places(times: Sequence[datetime]) -> list[float]:
    """Where the studies stand, by their time."""
    seconds = [(one - times[0]).total_seconds() for one in times]
    whole = max(seconds[-1], 1.0)
    inner = _SIZE[0] - _LEFT - _RIGHT - 120
    return [_LEFT + 60 + one / whole * inner for one in seconds]


def _dates(pen: ImageDraw.ImageDraw, dates: Sequence[str], across: Sequence[float]) -> None:
    """Write the dates below, those that find room; the last one always."""
    face = font(20)
    free = float("inf")
    for text, place in reversed(list(zip(dates, across, strict=True))):
        half = face.getlength(text) / 2
        pen.line((place, _SIZE[1] - _BOTTOM, place, _SIZE[1] - _BOTTOM + 8), fill=_INK, width=2)
        if place + half + 20 <= free:
            pen.text((place, _SIZE[1] - _BOTTOM + 14), text, fill=_INK, font=face, anchor="mt")
            free = place - half
