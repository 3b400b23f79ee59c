"""Every slice of the reference series as a picture: contours burnt in, and below the slice what they are."""

from collections.abc import Iterator, Sequence
from typing import Final

from PIL import Image, ImageDraw

from pipeline.objects.page.picture import Colour, font, wrapped
from pipeline.objects.preview.drawing import DrawnRegion, draw_slice, grey_window
from pipeline.objects.source import ReferenceSeries

#: Slices with fewer rows or columns are drawn larger, by a whole number: contours thinner than a pixel, text legible.
_LEAST_PIXELS: Final = 320
_MARGIN: Final = 6
_LIGHT: Final = (230, 230, 230)


def zoom_of(series: ReferenceSeries) -> int:
    """How many pixels of the picture stand for one of the series, in each direction."""
    return -(-_LEAST_PIXELS // min(series.shape[1:]))


def draw_overlay(
    series: ReferenceSeries, regions: Sequence[DrawnRegion], legend: Sequence[str], remarks: Sequence[str], word: str
) -> Iterator[Image.Image]:
    """Draw all slices in their order, without patient data.

    The slice fills the upper part of its picture, :func:`zoom_of` times as large; text is below it and hides nothing.

    Parameters
    ----------
    series
        The reference series.
    regions
        The regions, in the order in which they are drawn.
    legend
        A text for each region.
    remarks
        Lines of text: what it is for, what was not found.
    word
        For a slice.

    Yields
    ------
    PIL.Image.Image
        RGB, all of one size.
    """
    count, rows, columns = series.shape
    zoom = zoom_of(series)
    size = (columns * zoom, rows * zoom)
    window = grey_window(series)
    strip = text_strip(size[0], [(text, one.colour) for text, one in zip(legend, regions, strict=True)], remarks)
    for index in range(count):
        picture = Image.new("RGB", (size[0], size[1] + strip.height))
        picture.paste(draw_slice(series, regions, index, size, window, width=1), (0, 0))
        picture.paste(strip, (0, size[1]))
        label = f"{word} {index + 1}/{count}"
        ImageDraw.Draw(picture).text(
            (_MARGIN, 4), label, _LIGHT, font(_letters(size[0])), stroke_width=1, stroke_fill=0
        )
        yield picture


def _letters(width: int) -> int:
    return min(18, max(11, width // 40))


def text_strip(width: int, legend: Sequence[tuple[str, Colour]], remarks: Sequence[str] = ()) -> Image.Image:
    """Write what stands below slices: the legend, as many to a line as fit, and remarks."""
    letters = _letters(width)
    face, line, room = font(letters), round(1.4 * letters), width - 2 * _MARGIN
    placed: list[tuple[float, int, str, Colour]] = []
    left, number = 0.0, 0
    for text, colour in legend:
        if left and left + face.getlength(text) > room:
            left, number = 0.0, number + 1
        placed.append((left, number, text, colour))
        left += face.getlength(text) + letters
    for remark in remarks:
        for text in wrapped(remark, face, room):
            number += 1
            placed.append((0.0, number, text, _LIGHT))
    strip = Image.new("RGB", (width, (number + 1) * line + _MARGIN))
    pen = ImageDraw.Draw(strip)
    for left, number, text, colour in placed:
        pen.text((_MARGIN + left, _MARGIN // 2 + number * line), text, colour, face)
    return strip
