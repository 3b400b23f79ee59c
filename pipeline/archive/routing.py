"""Where the results of a study go, and why: the configured rules, held against what is known of it."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final

from pydantic import JsonValue

from pipeline.archive.orthanc import StudyRecord
from pipeline.archive.protocol import Archive
from pipeline.names import Region
from pipeline.records import Record
from pipeline.settings import FORWARD_KINDS, Condition, ForwardKind, Rule, RuleEvent, Settings

_DAYS_A_YEAR: Final = 365.2425
_AGE: Final = re.compile(r"(\d{3})([DWMY])")
_YEARS: Final = {"D": 1 / _DAYS_A_YEAR, "W": 7 / _DAYS_A_YEAR, "M": 1 / 12, "Y": 1.0}


class RoutingFacts(Record):
    """What rules are held against; what is empty or None is not known.

    Attributes
    ----------
    sender, station, institution
        AE titles that the images came from, StationName and InstitutionName, each once.
    description
        StudyDescription, and SeriesDescription of the series that were taken.
    age
        At the study, years.
    found, volumes_ml, flags
        Of the result; None before there is one.
    """

    sender: tuple[str, ...] = ()
    station: tuple[str, ...] = ()
    institution: tuple[str, ...] = ()
    description: tuple[str, ...] = ()
    age: float | None = None
    found: bool | None = None
    volumes_ml: dict[Region, float] | None = None
    flags: tuple[str, ...] | None = None


class Held(Record):
    """A condition of a rule, held against the facts."""

    condition: str
    wanted: JsonValue
    found: JsonValue
    holds: bool


class ExplainedRule(Record):
    """A rule, whether it matches, and why."""

    name: str
    on: RuleEvent
    matches: bool
    conditions: tuple[Held, ...]
    to: tuple[str, ...]
    send: tuple[ForwardKind, ...] | None


class Routed(Record):
    """A destination that gets something.

    Attributes
    ----------
    send
        Which objects, in the order of sending.
    because
        Names of the rules that say so; none where no rule names the destination.
    """

    destination: str
    send: tuple[ForwardKind, ...] = ()
    because: tuple[str, ...] = ()


def facts_of(archive: Archive, study: str, images: Iterable[str]) -> RoutingFacts:
    """What the archive knows of a study; its result is not part of it.

    Parameters
    ----------
    images
        Orthanc's ids of one image of each series that was taken.

    Raises
    ------
    GlioLoopError
        What ``archive`` raises.
    """
    found = archive.get(f"/studies/{study}")
    if found is None:
        return RoutingFacts()
    record = StudyRecord.model_validate(found)
    tags = [one for image in images if (one := archive.get(f"/instances/{image}/simplified-tags"))]
    metadata = [archive.get(f"/instances/{image}/metadata?expand") or {} for image in images]
    birth, day = record.patient_tags.get("PatientBirthDate", ""), record.tags.get("StudyDate", "")

    def each(keyword: str) -> tuple[str, ...]:
        return _once(str(one.get(keyword, "")) for one in tags)

    return RoutingFacts(
        sender=_once(str(one.get("RemoteAET", "")) for one in metadata),
        station=each("StationName"),
        institution=each("InstitutionName"),
        description=_once((record.tags.get("StudyDescription", ""), *each("SeriesDescription"))),
        age=age_at(each("PatientAge"), birth, day),
    )


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value.strip() for value in values if value.strip()))


def age_at(ages: Iterable[str], birth: str, day: str) -> float | None:
    """Age at a study, years; None where nothing tells it.

    Parameters
    ----------
    ages
        Values of PatientAge.
    birth, day
        PatientBirthDate and StudyDate.

    Examples
    --------
    >>> age_at(["018M"], "", "")
    1.5
    >>> age_at(["", "43"], "19830101", "20260702")
    43.5
    """
    for parts in filter(None, map(_AGE.fullmatch, ages)):
        return int(parts[1]) * _YEARS[parts[2]]
    try:
        years = (datetime.strptime(day, "%Y%m%d") - datetime.strptime(birth, "%Y%m%d")).days / _DAYS_A_YEAR
    except ValueError:
        return None
    return round(years, 2) if years >= 0 else None


def explain(rules: Iterable[Rule], facts: RoutingFacts) -> tuple[ExplainedRule, ...]:
    """Hold each rule against the facts."""
    return tuple(_explained(rule, facts) for rule in rules)


def routed(settings: Settings, facts: RoutingFacts, event: RuleEvent = "results") -> tuple[Routed, ...]:
    """Tell what gets something: the destinations that no rule names, and those of the rules that match.

    What an event of approval is for is always said by a rule.
    """
    named = {name for rule in settings.rules for name in rule.to}
    usual = settings.destinations_of(None) if event == "results" else []
    found = {one.name: Routed(destination=one.name, send=one.send) for one in usual if one.name not in named}
    for rule in settings.rules:
        if rule.on != event or not _explained(rule, facts).matches:
            continue
        for name in rule.to:
            send = settings.destination(name).send if rule.send is None else rule.send
            before = found.get(name, Routed(destination=name))
            wanted = {*before.send, *send}
            found[name] = Routed(
                destination=name,
                send=tuple(kind for kind in FORWARD_KINDS if kind in wanted),
                because=(*before.because, rule.name),
            )
    return tuple(found.values())


def _explained(rule: Rule, facts: RoutingFacts) -> ExplainedRule:
    conditions = tuple(_held(rule.when, facts))
    return ExplainedRule(
        name=rule.name,
        on=rule.on,
        matches=all(one.holds for one in conditions),
        conditions=conditions,
        to=rule.to,
        send=rule.send,
    )


def _held(when: Condition, facts: RoutingFacts) -> Iterator[Held]:
    """Each condition that is given, against the facts."""
    yield from _words("Sender", when.sender, facts.sender, re.fullmatch)
    yield from _words("Station", when.station, facts.station, re.fullmatch)
    yield from _words("Institution", when.institution, facts.institution, re.fullmatch)
    yield from _words("Description", when.description, facts.description, re.search)
    yield from _number("LeastAge", when.least_age, facts.age, lambda age, least: age >= least)
    yield from _number("MostAge", when.most_age, facts.age, lambda age, most: age <= most)
    if when.found is not None:
        yield Held(condition="Found", wanted=when.found, found=facts.found, holds=facts.found is when.found)
    volumes = facts.volumes_ml or {}
    for region, least in when.least_ml.items():
        yield from _number(f"LeastMl.{region}", least, volumes.get(region), lambda size, least: size >= least)
    for region, most in when.most_ml.items():
        yield from _number(f"MostMl.{region}", most, volumes.get(region), lambda size, most: size <= most)
    if when.flagged is not None:
        flagged = None if facts.flags is None else bool(facts.flags)
        yield Held(condition="Flagged", wanted=when.flagged, found=flagged, holds=flagged is when.flagged)
    shown: JsonValue = None if facts.flags is None else [*facts.flags]
    have = set(facts.flags or ())
    if when.flags:
        yield Held(condition="Flags", wanted=[*when.flags], found=shown, holds=bool(have & {*when.flags}))
    if when.no_flags:
        holds = facts.flags is not None and not have & {*when.no_flags}
        yield Held(condition="NoFlags", wanted=[*when.no_flags], found=shown, holds=holds)


def _words(
    name: str, patterns: tuple[str, ...], found: tuple[str, ...], match: Callable[[str, str, re.RegexFlag], object]
) -> Iterator[Held]:
    if patterns:
        holds = any(match(pattern, one, re.IGNORECASE) for pattern in patterns for one in found)
        yield Held(condition=name, wanted=[*patterns], found=[*found], holds=holds)


def _number(
    name: str, wanted: float | None, found: float | None, compare: Callable[[float, float], bool]
) -> Iterator[Held]:
    if wanted is not None:
        yield Held(condition=name, wanted=wanted, found=found, holds=found is not None and compare(found, wanted))
