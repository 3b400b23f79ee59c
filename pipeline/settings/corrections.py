"""What a site decides about corrections: section ``Feedback`` of the settings."""

import re
from re import _parser  # type: ignore[attr-defined]
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_pascal

from pipeline.names import Region

#: A part that may stand so often, and no more, is not counted as one that repeats.
_FEW: Final = 3


class CorrectionPolicy(BaseModel):
    """How corrections are recognised, trusted and kept."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)

    enabled: bool = Field(default=True, description="Look for corrections in studies that were processed.")
    roi_map: dict[Region, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Further ROI names per region: regular expressions for the whole name, case ignored.",
    )
    trusted_approval: tuple[str, ...] = Field(
        default=("APPROVED",), description="Values of ApprovalStatus that make a correction trusted."
    )
    trusted_reviewers: tuple[str, ...] = Field(
        default=(), description="Regular expressions: a ReviewerName that matches one makes a correction trusted."
    )
    least_change_ml: float = Field(
        default=0.01, ge=0, description="A region that differs by less, in ml, was not corrected."
    )
    most_cases: int = Field(default=500, ge=1, description="Cases kept; beyond it the oldest are dropped.")
    most_gigabytes: float = Field(default=20, gt=0, description="Size of the store; beyond it the oldest are dropped.")
    held_back_share: float = Field(
        default=0.34, ge=0, le=0.9, description="Share of patients never learnt from, kept to judge what was learnt."
    )

    @field_validator("roi_map")
    @classmethod
    def _compile(cls, value: dict[Region, tuple[str, ...]]) -> dict[Region, tuple[str, ...]]:
        for pattern in (one for patterns in value.values() for one in patterns):
            _check_pattern(pattern)
        return value

    @field_validator("trusted_reviewers")
    @classmethod
    def _compile_reviewers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            _check_pattern(pattern)
        return value


def _check_pattern(pattern: str) -> None:
    """Refuse what is no regular expression, or one that a name of sixty characters can keep busy for ages."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    if _repeats_repeats(_parser.parse(pattern), within=False):
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
