"""Settings: whatever is written, a clear error or settings that hold."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.alias_generators import to_pascal

from pipeline.errors import GlioLoopError
from pipeline.settings import SECTION_VARIABLE, Settings, load_settings

_KEYS = st.sampled_from([to_pascal(name) for name in Settings.model_fields])
_ODD_KEYS = st.sampled_from(["_env_file", "_cli_parse_args", "__pydantic_self__", "self", "\ud800", "model"])
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["a\0b", "\ud800", "(a+)+$", "a{9999999999999}", "(" * 900, "[", "t1", "WT", 10**400, math.inf]),
)  # fmt: skip
_INNER = st.one_of(
    st.text(max_size=8), st.sampled_from(["WT", "Modality", "RoiMap", "t1_patterns", "Steps", "JobDays", "\ud800"])
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_INNER, inner, max_size=3),
    max_leaves=6,
)


def refusal(section: Mapping[str, object] | None) -> str:
    """What is said of a wrong section."""
    with pytest.raises(GlioLoopError) as refused:
        load_settings(section)
    assert refused.value.code == "CONFIGURATION_INVALID"
    return refused.value.detail


@given(st.dictionaries(_KEYS | _ODD_KEYS | st.text(max_size=6), _VALUES, max_size=3))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_section_is_read_or_refused_in_words(section: dict[str, Any]) -> None:
    try:
        load_settings(section)
    except GlioLoopError as error:
        assert error.code == "CONFIGURATION_INVALID"
        assert error.detail.encode()


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"Nonsense": 1}, "Nonsense"),
        ({"_cli_parse_args": ["--workers", "3"]}, "_cli_parse_args"),
        ({"ForwardRetrySeconds": [60, -1]}, "ForwardRetrySeconds.1"),
        ({"HttpTimeoutSeconds": math.inf}, "HttpTimeoutSeconds"),
        ({"Retention": {"JobDays": math.nan}}, "Retention.JobDays"),
        ({"Identification": {"t1_patterns": ["(a+)+$"]}}, "repeats what repeats"),
        ({"Identification": {"native_patterns": ["a{9999999999999}"]}}, "no regular expression"),
        ({"Feedback": {"TrustedReviewers": ["(" * 900]}}, "no regular expression"),
        ({"StateFolder": "a\0b"}, "StateFolder"),
    ],
)
def test_what_is_wrong_is_named(section: dict[str, Any], named: str) -> None:
    assert named in refusal(section)


@pytest.mark.parametrize("handed", ["{", "[]", "3", "null"])
def test_a_section_that_is_no_object(handed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECTION_VARIABLE, handed)
    assert SECTION_VARIABLE in refusal(None)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
@pytest.mark.parametrize("value", ["", "[", "{", "-1", "nan", "[1]", '{"a": 1}'])
def test_any_environment_is_read_or_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"GLIOLOOP_{name.upper()}", value)
    try:
        load_settings({})
    except GlioLoopError as error:
        assert error.code == "CONFIGURATION_INVALID"
        assert name in error.detail or to_pascal(name) in error.detail
