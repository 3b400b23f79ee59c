"""A page as a PDF: one page of A4, its fonts inside, the same bytes for the same page."""

from collections.abc import Iterator
from functools import cache
from io import BytesIO
from typing import Final
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, KeepInFrame, Paragraph, Spacer
from reportlab.platypus import Image as Picture
from reportlab.platypus import Table as Grid

from pipeline.names import MANUFACTURER
from pipeline.objects.page.content import Page, Table

_MARGIN: Final = 16 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_FOOT: Final = 16 * mm
_RULES: Final = [
    ("LINEBELOW", (0, 0), (-1, 0), 0.8, colors.black),
    ("LINEBELOW", (0, 1), (-1, -1), 0.25, colors.lightgrey),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ("LEFTPADDING", (0, 0), (-1, -1), 2),
    ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ("TOPPADDING", (0, 0), (-1, -1), 1.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
]


@cache
def _style(name: str) -> ParagraphStyle:
    """A style of text; the fonts come with reportlab and go into the file."""
    for font in ("Vera", "VeraBd"):
        pdfmetrics.registerFont(TTFont(font, f"{font}.ttf"))
    base = ParagraphStyle("text", fontName="Vera", fontSize=7.5, leading=9.5)
    return {
        "text": base,
        "title": ParagraphStyle("title", base, fontName="VeraBd", fontSize=15, leading=19),
        "heading": ParagraphStyle("heading", base, fontName="VeraBd", fontSize=9, leading=12, spaceBefore=8),
        "bold": ParagraphStyle("bold", base, fontName="VeraBd"),
        "warning": ParagraphStyle("warning", base, textColor=colors.HexColor("#a02000"), fontSize=8, leading=10),
        "foot": ParagraphStyle("foot", base, fontName="VeraBd", fontSize=7, leading=9),
    }[name]


def render(page: Page) -> bytes:
    """Write a page as a PDF; what is too much for it is made smaller, never cut off."""
    file = BytesIO()
    canvas = Canvas(file, pagesize=A4, invariant=True, lang=page.language.value)
    canvas.setTitle(page.title)
    canvas.setAuthor(MANUFACTURER)
    foot = [_text(line, "foot") for line in page.footer]
    bottom = _MARGIN / 2
    for line in reversed(foot):
        _, height = line.wrap(_WIDTH, A4[1])
        line.drawOn(canvas, _MARGIN, bottom)
        bottom += height
    height = A4[1] - _MARGIN - max(bottom, _FOOT)
    body = KeepInFrame(_WIDTH, height, list(_body(page)), mode="shrink")
    _, used = body.wrapOn(canvas, _WIDTH, height)
    body.drawOn(canvas, _MARGIN, A4[1] - _MARGIN - used)
    canvas.showPage()
    canvas.save()
    return file.getvalue()


def _text(text: str, style: str) -> Paragraph:
    return Paragraph(escape(text).replace("\n", "<br/>"), _style(style))


def _body(page: Page) -> Iterator[Flowable]:
    yield _text(page.title, "title")
    yield _text(page.subtitle, "text")
    for warning in page.warnings:
        yield _text(warning, "warning")
    for picture in page.pictures:
        yield Spacer(1, 6)
        file = BytesIO()
        picture.save(file, "PNG")
        file.seek(0)
        yield Picture(file, _WIDTH, _WIDTH * picture.height / picture.width)
    for table in page.tables:
        yield _text(table.title, "heading")
        yield _grid(table)


def _grid(table: Table) -> Flowable:
    shares = table.widths or [1.0] * len(table.header)
    widths = [_WIDTH * one / sum(shares) for one in shares]
    rows = [[_text(one, "bold") for one in table.header]]
    rows += [[_text(one, "text") for one in row] for row in table.rows]
    return Grid(rows, widths, style=_RULES, repeatRows=1)
