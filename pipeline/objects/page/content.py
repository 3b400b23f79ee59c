"""What stands on a page, whatever it becomes: a PDF or a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

from pipeline.names import Language


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    title
        Above it.
    header
        A word for each column.
    rows
        Cells; a line feed begins a line of its own.
    widths
        Shares of the columns in the page's width; alike where empty.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    widths: Sequence[float] = ()


@dataclass(frozen=True, eq=False)
class Page:
    """One page without patient data: the object around it has those.

    Attributes
    ----------
    title, subtitle
        At the top.
    warnings
        What is to be looked at, above everything else.
    pictures
        RGB, below each other, each as wide as the page.
    tables
        Below the pictures.
    footer
        Lines at the foot: what made it, and what it is for.
    language
        That it is written in.
    """

    title: str
    subtitle: str
    warnings: Sequence[str] = ()
    pictures: Sequence[Image.Image] = ()
    tables: Sequence[Table] = field(default_factory=tuple)
    footer: Sequence[str] = ()
    language: Language = Language.ENGLISH
