"""What a site decides about corrections: section ``Feedback`` of the settings."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_pascal

from pipeline.names import Region
from pipeline.settings.patterns import check_pattern


class CorrectionPolicy(BaseModel):
    """How corrections are recognised, trusted and kept."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=to_pascal, populate_by_name=True)

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
    filled_holes: Literal["ask", "drawn"] = Field(
        default="ask",
        description="Whether holes that come back filled are asked about, or taken as drawn: some viewers fill them.",
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
            check_pattern(pattern)
        return value

    @field_validator("trusted_reviewers")
    @classmethod
    def _compile_reviewers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            check_pattern(pattern)
        return value
