"""Which results go where: rules of the routing."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_pascal

from pipeline.errors import REASONS, Kind
from pipeline.names import Region
from pipeline.settings.destinations import ForwardKind, Name
from pipeline.settings.patterns import check_pattern

_CONFIGURATION = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True, allow_inf_nan=False)
#: When a rule is asked: for the results of a job; for contours that came back and are trusted (approved as a rule).
RuleEvent = Literal["results", "approved"]


class Condition(BaseModel):
    """When a rule matches: everything that is given has to hold; what is not known does not hold.

    Patterns are Python regular expressions, small letters and capitals alike; one of each list has to match.

    Attributes
    ----------
    sender, station, institution
        AE title that the images came from, StationName and InstitutionName: the pattern for the whole of it.
    description
        Searched in StudyDescription, and in SeriesDescription of the series that were taken.
    least_age, most_age
        Age at the study, years.
    found
        Whether a tumour was found.
    least_ml, most_ml
        Volume of each region that is named, ml.
    flagged
        Whether the result has any quality flag.
    flags, no_flags
        Quality flags of which the result has one, and of which it has none.
    """

    model_config = _CONFIGURATION

    sender: tuple[str, ...] = ()
    station: tuple[str, ...] = ()
    institution: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    least_age: float | None = Field(default=None, ge=0)
    most_age: float | None = Field(default=None, ge=0)
    found: bool | None = None
    least_ml: dict[Region, float] = Field(default_factory=dict)
    most_ml: dict[Region, float] = Field(default_factory=dict)
    flagged: bool | None = None
    flags: tuple[str, ...] = ()
    no_flags: tuple[str, ...] = ()

    @field_validator("sender", "station", "institution", "description")
    @classmethod
    def _must_compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            check_pattern(pattern)
        return patterns

    @field_validator("flags", "no_flags")
    @classmethod
    def _must_be_flags(cls, codes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in codes if code not in REASONS or REASONS[code].kind is not Kind.FLAG]
        if unknown:
            raise ValueError(f"no quality flags: {', '.join(unknown)}")
        return codes


class Rule(BaseModel):
    """What goes where, and when.

    Attributes
    ----------
    name
        By which an explanation names it.
    on
        What it is about; see :data:`RuleEvent`.
    when
        Without conditions it always matches.
    to
        Names of destinations.
    send
        Which objects; None for what the destination sends by itself.
    """

    model_config = _CONFIGURATION

    name: Name
    on: RuleEvent = "results"
    when: Condition = Field(default_factory=Condition)
    to: tuple[Name, ...] = Field(min_length=1)
    send: tuple[ForwardKind, ...] | None = None


def check_rules(rules: Iterable[Rule], destinations: Iterable[str]) -> None:
    """Refuse rules with one name, and destinations that are not configured.

    Raises
    ------
    ValueError
        With what is wrong.
    """
    known, seen = set(destinations), set()
    for rule in rules:
        unknown = [name for name in rule.to if name not in known]
        if unknown:
            raise ValueError(f"{rule.name}: not in Destinations: {', '.join(unknown)}")
        if rule.name in seen:
            raise ValueError(f"two rules are called {rule.name}")
        seen.add(rule.name)
