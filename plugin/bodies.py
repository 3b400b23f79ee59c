"""Bodies of requests: JSON objects of bounded size and depth, read in one pass whatever they hold."""

import json
from typing import Any, Final

from pipeline.errors import GlioLoopError

#: Plugin 4.0 leaks every body, and no request of ours needs more, but those that say so.
MAX_BODY: Final = 64 * 1024
_MOST_NESTED: Final = 8


def parse_object(body: bytes, most: int = MAX_BODY) -> dict[str, Any]:
    """Return the JSON object in a body of so many bytes at most; an empty body is an empty object.

    Raises
    ------
    GlioLoopError
        REQUEST_INVALID.
    """
    if len(body) > most:
        raise GlioLoopError("REQUEST_INVALID", f"more than {most} bytes")
    try:
        # Decoded here: the parser would guess UTF-16 from the bytes, in which the scan below finds other brackets.
        text = body.decode("utf-8")
        _refuse_deep(text)
        value = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise GlioLoopError("REQUEST_INVALID", "not JSON") from error
    if not isinstance(value, dict):
        raise GlioLoopError("REQUEST_INVALID", "not a JSON object")
    return value


def _refuse_deep(text: str) -> None:
    """Refuse nesting before the parser sees it: Orthanc's HTTP threads have stacks of 100 KB, and the parser's
    own limit lies beyond their end, so that a deep body would end the whole process.
    """
    depth, quoted, escaped = 0, False, False
    for character in text:
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            if depth > _MOST_NESTED:
                raise GlioLoopError("REQUEST_INVALID", f"nested deeper than {_MOST_NESTED}")
        elif character in "]}":
            depth -= 1
