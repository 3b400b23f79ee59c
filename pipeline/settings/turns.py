"""Which studies come first, and what waits for quiet hours."""

import re
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_pascal

from pipeline.settings.patterns import check_pattern

_Hour = Annotated[int, Field(ge=0, le=23)]


class Turns(BaseModel):
    """Order of the studies in the queue."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, alias_generator=to_pascal, populate_by_name=True)

    urgent_patterns: tuple[str, ...] = Field(
        default=(),
        max_length=100,
        description="StudyDescriptions (regular expressions, searched, any case) of what is done before all else.",
    )
    quiet_hours: tuple[_Hour, _Hour] | None = Field(
        default=None,
        description="Local hours, from and until, in which earlier studies are delineated again; null: at any time.",
    )

    @field_validator("urgent_patterns")
    @classmethod
    def _must_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            check_pattern(pattern)
        return patterns

    def urgent(self, description: str) -> bool:
        """Whether a study of this description is done before others."""
        return any(re.search(one, description, re.IGNORECASE) for one in self.urgent_patterns)

    def seconds_to_quiet(self, now: datetime) -> float:
        """Seconds from a time, by the clock on the wall, until the next quiet hours; 0 within them, or without any.

        Examples
        --------
        >>> Turns(quiet_hours=(20, 6)).seconds_to_quiet(datetime(2026, 1, 1, 19, 30))
        1800.0
        """
        if self.quiet_hours is None:
            return 0.0
        first, last = self.quiet_hours
        within = first <= now.hour < last if first < last else now.hour >= first or now.hour < last
        if within:
            return 0.0
        begin = now.replace(hour=first, minute=0, second=0, microsecond=0)
        return (begin + timedelta(days=begin < now) - now).total_seconds()
