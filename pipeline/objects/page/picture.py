"""A page as a picture, for a viewer that shows no PDF."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import reportlab
from PIL import Image, ImageDraw, ImageFont

from pipeline.objects.page.content import Page, Table

WIDTH: Final = 1400
_MARGIN: Final = 40
_INNER: Final = WIDTH - 2 * _MARGIN
_BLACK, _RED, _GREY = (0, 0, 0), (160, 32, 0), (190, 190, 190)
_SIZES: Final = {"title": 34, "heading": 21, "text": 18}
Colour = tuple[int, int, int]


@cache
def font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """The font of pages."""
    return ImageFont.truetype(Path(reportlab.__file__).parent / "fonts" / ("VeraBd.ttf" if bold else "Vera.ttf"), size)


def draw(page: Page) -> Image.Image:
    """Draw a page; as high as it takes.

    Returns
    -------
    PIL.Image.Image
        RGB, :data:`WIDTH` wide.
    """
    sheet = _Sheet()
    sheet.write(page.title, "title", bold=True)
    sheet.write(page.subtitle, "text")
    for warning in page.warnings:
        sheet.write(warning, "text", colour=_RED)
    for picture in page.pictures:
        sheet.paste(picture)
    for table in page.tables:
        sheet.write(table.title, "heading", bold=True)
        sheet.tabulate(table)
    sheet.skip(12)
    for line in page.footer:
        sheet.write(line, "text", bold=True)
    return sheet.cut()


class _Sheet:
    """Paper that is written on from top to bottom."""

    def __init__(self) -> None:
        self._image = Image.new("RGB", (WIDTH, 400), (255, 255, 255))
        self._top = _MARGIN

    def skip(self, pixels: int) -> None:
        self._top += pixels

    def cut(self) -> Image.Image:
        return self._image.crop((0, 0, WIDTH, self._top + _MARGIN // 2))

    def _room(self, height: int) -> ImageDraw.ImageDraw:
        if self._top + height + _MARGIN > self._image.height:
            longer = Image.new("RGB", (WIDTH, self._top + height + 800), (255, 255, 255))
            longer.paste(self._image, (0, 0))
            self._image = longer
        return ImageDraw.Draw(self._image)

    def write(self, text: str, size: str, *, bold: bool = False, colour: Colour = _BLACK) -> None:
        face = font(_SIZES[size], bold)
        self.skip(6)
        for line in wrapped(text, face, _INNER):
            self._room(2 * _SIZES[size]).text((_MARGIN, self._top), line, fill=colour, font=face)
            self._top += round(_SIZES[size] * 1.35)

    def paste(self, picture: Image.Image) -> None:
        height = round(picture.height * _INNER / picture.width)
        self._room(height + 12)
        self._image.paste(picture.resize((_INNER, height), Image.Resampling.LANCZOS), (_MARGIN, self._top + 6))
        self._top += height + 12

    def tabulate(self, table: Table) -> None:
        shares = table.widths or [1.0] * len(table.header)
        widths = [_INNER * one / sum(shares) for one in shares]
        for number, row in enumerate([table.header, *table.rows]):
            face = font(_SIZES["text"], bold=number == 0)
            cells = [wrapped(text, face, width - 8) for text, width in zip(row, widths, strict=True)]
            high = round(max(map(len, cells)) * _SIZES["text"] * 1.3) + 8
            pen = self._room(high)
            left = float(_MARGIN)
            for lines, width in zip(cells, widths, strict=True):
                pen.multiline_text((left, self._top + 2), "\n".join(lines), fill=_BLACK, font=face, spacing=4)
                left += width
            self._top += high
            pen.line((_MARGIN, self._top - 2, WIDTH - _MARGIN, self._top - 2), fill=_BLACK if number == 0 else _GREY)


def wrapped(text: str, face: ImageFont.FreeTypeFont, width: float) -> Sequence[str]:
    """Break a text into lines that fit a width; a word that is longer stands alone."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and face.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    return lines
