"""What pages say, in the reader's language: ``words.toml``, and of flags ``flags.toml``."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from pipeline.errors import REASONS
from pipeline.names import Language

_FOLDER: Final = Path(__file__).parent
_MINUS: Final = "−"


@cache
def _tables() -> Mapping[str, Mapping[str, str]]:
    words, flags = (tomllib.loads((_FOLDER / f"{one}.toml").read_text(encoding="utf-8")) for one in ("words", "flags"))
    english = {code: reason.message for code, reason in REASONS.items()}
    return {name: {**table, **flags.get(name, english)} for name, table in words.items()}


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
        """What a key says; a code of ``REASONS`` that is not translated says it in English, and that it does."""
        found = _tables()[self.language].get(key)
        return f"{REASONS[key].message} ({self('only_english')})" if found is None else found

    def number(self, value: float, digits: int, *, sign: bool = False) -> str:
        """A number as it is written; with ``sign`` also that of a positive one."""
        text = f"{abs(value):.{digits}f}".replace(".", self("decimal"))
        return (_MINUS if value < 0 else "+" if sign else "") + text

    def date(self, at: datetime) -> str:
        """A date as it is written."""
        return at.strftime(self("date"))
