"""What pages say, in the reader's language: ``words.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from pipeline.errors import REASONS
from pipeline.names import Language

_FILE: Final = Path(__file__).with_name("words.toml")
_MINUS: Final = "−"


@cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Words:
    """The words of one language.

    Examples
    --------
    >>> Words(Language.GERMAN)("left"), Words(Language.FRENCH).number(-1.25, 1, sign=True)
    ('links', '−1,2')
    """

    language: Language

    def __call__(self, key: str) -> str:
        """What a key says; a code of ``REASONS`` that is not translated says it in English."""
        found = _tables()[self.language].get(key)
        return REASONS[key].message if found is None else found

    def number(self, value: float, digits: int, *, sign: bool = False) -> str:
        """A number as it is written; with ``sign`` also that of a positive one."""
        text = f"{abs(value):.{digits}f}".replace(".", self("decimal"))
        return (_MINUS if value < 0 else "+" if sign else "") + text

    def date(self, at: datetime) -> str:
        """A date as it is written."""
        return at.strftime(self("date"))
