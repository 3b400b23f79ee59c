"""Points for T1, T2 and FLAIR weighting, each with its reason."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.identify.facts import Facts
from pipeline.identify.vocabulary import FLAIR, SINGLE_SHOT, T1, T2, first_match
from pipeline.settings.identification import IdentificationRules


class Weighting(StrEnum):
    """What an image is weighted by; contrast is decided apart."""

    T1 = "T1"
    T2 = "T2"
    FLAIR = "FLAIR"


CERTAIN = 45.0  # attribute timing, or a description with a fitting attribute
LIKELY = 25.0  # less is no candidate
MARGIN = 10.0  # a lead smaller than this is a draw


@dataclass(frozen=True)
class Evidence:
    """Points for one weighting (negative: against it) and why; ``weighting`` None counts for all three."""

    weighting: Weighting | None
    points: float
    reason: str


def evidence_of(facts: Facts, rules: IdentificationRules) -> tuple[Evidence, ...]:
    """Everything that speaks for or against the three weightings."""
    return (*_declared(facts), *_timing(facts), *_name(facts), *_description(facts, rules), *_quality(facts))


def only_timing(facts: Facts, rules: IdentificationRules) -> bool:
    """Whether nothing but TR and TE tells T2 from FLAIR: an inversion time is not always written."""
    told = (*_declared(facts), *_name(facts), *_description(facts, rules))
    return not any(item.weighting in (Weighting.T2, Weighting.FLAIR) and item.points > 0 for item in told)


def tells_weighting(facts: Facts, rules: IdentificationRules) -> bool:
    """Whether the description names a weighting that the attributes, where they are there, do not deny."""
    named = scores_of(_description(facts, rules))
    best = max(named, key=lambda weighting: named[weighting])
    return named[best] >= LIKELY and scores_of((*_declared(facts), *_timing(facts)))[best] >= 0


def measured(facts: Facts) -> bool:
    """Whether attributes, and not descriptions alone, tell a weighting."""
    return any(item.points > 0 for item in (*_declared(facts), *_timing(facts), *_name(facts)))


def scores_of(evidence: Iterable[Evidence]) -> dict[Weighting, float]:
    """Sum of points per weighting, at most 100."""
    scores = dict.fromkeys(Weighting, 0.0)
    for item in evidence:
        for weighting in Weighting if item.weighting is None else (item.weighting,):
            scores[weighting] += item.points
    return {weighting: min(score, 100.0) for weighting, score in scores.items()}


def _for(weighting: Weighting, points: float, reason: str, against: float = 0.0) -> Iterator[Evidence]:
    yield Evidence(weighting, points, reason)
    if against:
        for other in Weighting:
            if other is not weighting:
                yield Evidence(other, -against, reason)


_DECLARED = {
    "T1": Weighting.T1,
    "T2": Weighting.T2,
    "FLUID_ATTENUATED": Weighting.FLAIR,
    "FLAIR": Weighting.FLAIR,
}


def _declared(facts: Facts) -> Iterator[Evidence]:
    """AcquisitionContrast (PS3.3 C.8.13.3.1.1) or the third value of an Enhanced image type."""
    for value in (facts.weighting, *facts.image_type[2:]):
        if value in _DECLARED:
            # T2-prepared inversion recovery is declared T2 by some scanners: leave room for the timing
            yield from _for(_DECLARED[value], 40, f"acquisition contrast {value}", against=15)
            return
        if value in {"PROTON_DENSITY", "PD"}:
            yield Evidence(None, -30, f"acquisition contrast {value}")
            return


def _timing(facts: Facts) -> Iterator[Evidence]:
    if _is_gradient_echo(facts):
        yield from _gradient_timing(facts)
    elif facts.tr and facts.te:
        yield from _spin_timing(facts, facts.tr, facts.te)
    elif "IR" in facts.scanning:
        yield from _for(Weighting.FLAIR, 15, "inversion recovery, timing unknown")


def _is_gradient_echo(facts: Facts) -> bool:
    named = any(word in facts.name for word in ("tfl", "fl3d", "fl2d", "fgre", "bravo", "spgr", "ffe", "tfe"))
    return ("GR" in facts.scanning and "SE" not in facts.scanning) or (named and "SE" not in facts.scanning)


def _gradient_timing(facts: Facts) -> Iterator[Evidence]:
    steady = "SS" in facts.variant and not facts.variant & {"SP", "MP"} and facts.ti is None
    if steady and (facts.flip or 0) >= 25:
        yield Evidence(None, -20, "balanced steady state")
    elif facts.ti and 300 <= facts.ti <= 1500:
        yield from _for(Weighting.T1, 50, f"inversion-prepared gradient echo, TI {facts.ti:g} ms", against=30)
    elif facts.te and facts.te < 12:
        yield from _for(Weighting.T1, 45, f"gradient echo, TE {facts.te:g} ms", against=30)
    elif "tfl" in facts.name:
        yield from _for(Weighting.T1, 30, "inversion-prepared gradient echo by its name", against=15)


def _spin_timing(facts: Facts, tr: float, te: float) -> Iterator[Evidence]:
    inverted = "IR" in facts.scanning or facts.ti is not None
    times = f"TR {tr:g}, TE {te:g}" + (f", TI {facts.ti:g} ms" if facts.ti else " ms")
    if te >= 60 and ((facts.ti or 0) >= 1200 or (inverted and facts.ti is None and tr >= 3500)):
        yield from _for(Weighting.FLAIR, 55, f"inversion recovery nulling fluid: {times}", against=30)
    elif facts.ti and 320 < facts.ti < 1500 and te < 60 and tr < 5000:
        yield from _for(Weighting.T1, 45, f"T1-weighted inversion recovery: {times}", against=30)
    elif tr <= 1300 and te <= 45:
        yield from _for(Weighting.T1, 45, f"short TR and TE: {times}", against=30)
    elif tr >= 1000 and te >= 60:
        # fluid may have been nulled even so: an inversion time is not always written
        yield Evidence(Weighting.T2, 45, f"long TR and TE: {times}")
        yield Evidence(Weighting.T1, -30, f"long TR and TE: {times}")
    elif tr >= 1500 and te < 60:
        yield Evidence(None, -20, f"proton-density timing: {times}")


def _name(facts: Facts) -> Iterator[Evidence]:
    """The scanner's own name of the pulse sequence."""
    if "tir" in facts.name or "spcir" in facts.name:
        yield Evidence(Weighting.FLAIR, 15, f"pulse sequence {facts.name}")
    elif "tse" in facts.name or "h2d" in facts.name:
        yield Evidence(Weighting.T2, 10, f"pulse sequence {facts.name}")
    elif "se2d1" in facts.name or "tfl" in facts.name or "bravo" in facts.name:
        yield Evidence(Weighting.T1, 10, f"pulse sequence {facts.name}")


def _description(facts: Facts, rules: IdentificationRules) -> Iterator[Evidence]:
    t1 = first_match((*rules.t1_patterns, *T1), facts.text)
    t2 = first_match((*rules.t2_patterns, *T2), facts.text)
    flair = first_match((*rules.flair_patterns, *FLAIR), facts.text)
    # strong enough that a name and a timing that contradict each other leave no candidate
    if flair and t1 and not t2 and not _nulls_fluid(facts):
        yield from _for(Weighting.T1, 40, f"description has '{t1}' and '{flair}': T1 FLAIR", against=25)
    elif flair:
        yield from _for(Weighting.FLAIR, 45, f"description has '{flair}'", against=30)
    elif t1 and t2:
        yield Evidence(None, 0, f"description has both '{t1}' and '{t2}'")
    elif t1:
        yield from _for(Weighting.T1, 40, f"description has '{t1}'", against=25)
    elif t2:
        yield Evidence(Weighting.T2, 40, f"description has '{t2}'")
        yield Evidence(Weighting.T1, -25, f"description has '{t2}'")
        yield Evidence(Weighting.FLAIR, -10, f"description has '{t2}'")
    elif first_match((r"\btirm\b",), facts.text):
        yield Evidence(Weighting.FLAIR, 20, "description has 'tirm'")


def _nulls_fluid(facts: Facts) -> bool:
    return (facts.ti or 0) >= 1500 or (facts.te or 0) >= 70


_PROTON_DENSITY = (r"\bpd\b|\bproton\w*|\bdp\b|\bdensit\w*",)


def _quality(facts: Facts) -> Iterator[Evidence]:
    if first_match(SINGLE_SHOT, facts.text):
        yield Evidence(None, -15, "single-shot")
    if first_match(
        (r"\bfs\b|\bfat ?sat\w*|\bspir\b|\bspair\b|\bfatsuppr\w*|\bfettsat\w*|\bfat ?suppr\w*",), facts.text
    ):
        yield Evidence(None, -5, "fat-suppressed")
    if first_match(_PROTON_DENSITY, facts.text):
        yield Evidence(None, -15, "description names proton density")
