"""Rules of the routing, held against what is known of a study."""

import pytest

from pipeline.archive.routing import RoutingFacts, age_at, explain, routed
from pipeline.errors import GlioLoopError
from pipeline.names import Region
from pipeline.settings import Settings, load_settings

FACTS = RoutingFacts(
    sender=("MR1",),
    station=("SKYRA-2",),
    description=("MR Schädel", "t1 mprage sag"),
    age=43.5,
    found=True,
    volumes_ml={Region.WT: 30.0, Region.ET: 0.4},
    flags=("LARGE_MOTION",),
)


def _settings(*rules: dict[str, object]) -> Settings:
    destinations = [{"Modality": "pacs"}, {"Modality": "rt", "Send": ["rtstruct"]}, {"Modality": "spare"}]
    named = [{"Name": f"rule-{number}", "To": ["rt"], **rule} for number, rule in enumerate(rules)]
    destinations[0]["Alternate"] = "spare"
    return load_settings({"Destinations": destinations, "Rules": named})


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"Sender": ["mr[0-9]"]}, True),
        ({"Sender": ["MR"]}, False),  # the whole title
        ({"Sender": ["MR2", "MR1"]}, True),
        ({"Station": ["skyra.*"]}, True),
        ({"Institution": [".*"]}, False),  # not known
        ({"Description": ["schädel"]}, True),
        ({"Description": ["mprage"]}, True),
        ({"Description": ["knee"]}, False),
        ({"LeastAge": 18}, True),
        ({"LeastAge": 18, "MostAge": 40}, False),
        ({"Found": True}, True),
        ({"Found": False}, False),
        ({"LeastMl": {"WT": 10}}, True),
        ({"LeastMl": {"WT": 10, "ET": 1}}, False),
        ({"MostMl": {"ET": 1}}, True),
        ({"LeastMl": {"cavity": 0}}, False),  # none was looked for
        ({"Flagged": True}, True),
        ({"Flags": ["LARGE_MOTION", "COARSE_SLICES"]}, True),
        ({"NoFlags": ["COARSE_SLICES"]}, True),
        ({"NoFlags": ["LARGE_MOTION"]}, False),
    ],
)
def test_conditions(when: dict[str, object], holds: bool) -> None:
    settings = _settings({"When": when})
    (rule,) = explain(settings.rules, FACTS)
    assert rule.matches is holds
    assert len(rule.conditions) == sum(len(one) if isinstance(one, dict) else 1 for one in when.values())
    assert ("rt" in {one.destination for one in routed(settings, FACTS)}) is holds


@pytest.mark.parametrize(
    "when",
    [{"Found": False}, {"MostMl": {"WT": 9}}, {"Flagged": False}, {"NoFlags": ["LARGE_MOTION"]}, {"MostAge": 99}],
)
def test_what_is_not_known_does_not_hold(when: dict[str, object]) -> None:
    assert not explain(_settings({"When": when}).rules, RoutingFacts())[0].matches


def test_who_gets_what() -> None:
    plain = {one.destination: one for one in routed(_settings(), FACTS)}
    assert set(plain) == {"pacs", "rt"}  # the alternate only in place of another
    both = _settings({"Send": ["sr"]}, {"When": {"Found": True}}, {"When": {"Found": False}, "Send": ["inputs"]})
    (rt,) = [one for one in routed(both, FACTS) if one.destination == "rt"]
    assert (rt.send, rt.because) == (("rtstruct", "sr"), ("rule-0", "rule-1"))
    approved = _settings({"On": "approved"})
    assert {one.destination for one in routed(approved, FACTS)} == {"pacs"}
    assert [one.destination for one in routed(approved, FACTS, "approved")] == ["rt"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"To": ["nowhere"]}, "nowhere"),
        ({"To": []}, "Rules.0.To"),
        ({"When": {"Sender": ["("]}}, "regular expression"),
        ({"When": {"Flags": ["MOTION"]}}, "MOTION"),
        ({"When": {"Snder": ["MR1"]}}, "Snder"),
        ({"Send": ["rtstrct"]}, "Send"),
    ],
)
def test_what_is_no_rule_is_refused_by_name(rule: dict[str, object], told: str) -> None:
    with pytest.raises(GlioLoopError, match=told) as refused:
        _settings(rule)
    assert refused.value.code == "CONFIGURATION_INVALID"


@pytest.mark.parametrize(
    ("ages", "birth", "day", "age"),
    [
        (["007Y"], "19830101", "20260701", 7.0),
        (["018M"], "", "", 1.5),
        (["?", "052W"], "", "", 1.0),
        (["43"], "19830101", "20260701", 43.5),
        ([], "19830101", "19820701", None),
        ([], "1983", "20260701", None),
    ],
)
def test_age(ages: list[str], birth: str, day: str, age: float | None) -> None:
    assert age_at(ages, birth, day) == (None if age is None else pytest.approx(age, abs=0.01))
