"""Bodies of requests: whatever is sent is read in one pass, or refused."""

import json
import random
import time
from collections.abc import Iterator

import pytest

from pipeline.errors import GlioLoopError
from plugin.bodies import MAX_BODY, parse_object

#: A pass over the largest body takes some 10 ms; what grew with the square of its length took 26 s.
SECONDS = 2.0
TOKENS = (b'"', b"\\", b'\\"', b"\\\\", b"[", b"]", b"{", b"}", b":", b",", b"1", b"a", b" ", b"\x00", b"\xff", b"\xc3")


def _longest() -> Iterator[bytes]:
    for token in TOKENS:
        yield (token * MAX_BODY)[:MAX_BODY]
        yield b'{"a":"' + (token * MAX_BODY)[: MAX_BODY - 6]
        yield (b'"' + token) * (MAX_BODY // (1 + len(token)))
    yield (b'"\\' * MAX_BODY)[:MAX_BODY]
    yield b"9" * MAX_BODY
    yield (b'{"a":' * MAX_BODY)[:MAX_BODY]
    yield ('{"a":"' + "∀" * 20_000).encode()
    rng = random.Random(3)
    for _ in range(30):
        yield b"".join(rng.choices(TOKENS, k=MAX_BODY))[:MAX_BODY]


def test_no_body_takes_long() -> None:
    for body in _longest():
        start = time.process_time()
        with pytest.raises(GlioLoopError, match="REQUEST_INVALID"):
            parse_object(body)
        assert time.process_time() - start < SECONDS, body[:40]


def test_objects_are_read_and_strings_may_hold_brackets() -> None:
    assert parse_object(b"") == {}
    value = {"a": '[[[[[[[[[[{{{{{{"\\', "b": [{"c": "é ∀"}], "d\\": "]"}
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 9,
        b'{"a":' * 9 + b"1" + b"}" * 9,
        # The scan of its bytes would take U+2200 for a quotation mark, and what follows for a string.
        ('{"∀":1,"a":' + "[" * 5000).encode("utf-16"),
        ('{"∀":1,"a":' + "[" * 5000).encode("utf-32-le"),
        b"null",
        b"[]",
        b'{"a":NaN',
        b"\xff\xfe",
        b"{" + b" " * MAX_BODY,
    ],
)
def test_what_is_no_flat_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(GlioLoopError, match="REQUEST_INVALID"):
        parse_object(body)
