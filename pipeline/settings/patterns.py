"""Regular expressions that a site configures."""

import re
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

#: A part that may stand so often, and no more, is not counted as one that repeats.
_FEW: Final = 3
_LONGEST: Final = 1000


def check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression, or one that a name of sixty characters can keep busy for ages.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    if len(pattern) > _LONGEST:
        raise ValueError(f"a regular expression of more than {_LONGEST} characters")
    try:
        re.compile(pattern)
        parsed = _parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if _repeats_repeats(parsed, within=False):
        raise ValueError(f"{pattern!r} repeats what repeats: a name can make it run for ever")


def _repeats_repeats(parsed: Any, within: bool) -> bool:
    """Whether a part that repeats holds another such part, in what the standard library's parser makes of a pattern."""
    if isinstance(parsed, tuple) and parsed and str(parsed[0]) in ("MAX_REPEAT", "MIN_REPEAT"):
        _, (_, most, inner) = parsed
        repeats = most > _FEW
        return (repeats and within) or _repeats_repeats(inner, within or repeats)
    if isinstance(parsed, tuple | list | _parser.SubPattern):
        return any(_repeats_repeats(one, within) for one in parsed)
    return False
