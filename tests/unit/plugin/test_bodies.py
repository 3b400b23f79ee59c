"""Bodies of requests: whatever is sent is read in one pass, or refused."""

import json
import random
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from pipeline.errors import GlioLoopError
from pipeline.jobs.checks import CheckOptions
from pipeline.jobs.finetuning import FinetuneOptions
from pipeline.jobs.request import ProcessOptions
from plugin.bodies import MAX_BODY, parse_object
from plugin.routes.request import Request

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


_KEYS = st.sampled_from(
    ["force", "model", "series", "destinations", "priority", "steps", "record", "\ud800", "x" * 500]
)
_LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("\ud800"))
_BODIES = st.dictionaries(
    _KEYS | st.text(max_size=4),
    st.recursive(
        _LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=6
    ),
    max_size=4,
)


@given(_BODIES, st.sampled_from([ProcessOptions, FinetuneOptions, CheckOptions]))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_object_is_taken_or_refused_in_words(body: dict[str, object], kind: type[BaseModel]) -> None:
    try:
        Request("/", "POST", body=json.dumps(body).encode()).options(kind)
    except GlioLoopError as error:
        assert error.code == "REQUEST_INVALID"
        assert error.detail.encode()


def test_of_thousands_of_wrong_keys_some_are_told() -> None:
    body = json.dumps({f"k{number}": 1 for number in range(4000)}).encode()
    with pytest.raises(GlioLoopError, match="and 3990 more") as refused:
        Request("/", "POST", body=body).options(ProcessOptions)
    assert len(refused.value.detail) < 1000
