"""Was contrast in the patient when a T1 was taken? By attribute, by description, then by order in time."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.identify.facts import Facts
from pipeline.identify.rules import IdentificationRules
from pipeline.identify.vocabulary import BOTH, CONTRAST, NATIVE, NO_AGENT, STUDY_CONTRAST, first_match

LEAST_WAIT_S = 60.0  # a second T1 sooner than this after the first is hardly one after an injection


class Contrast(StrEnum):
    """State of a T1-weighted series."""

    NATIVE = "native"
    ENHANCED = "enhanced"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class ContrastEvidence:
    """Judgement of one series.

    Attributes
    ----------
    contrast
        The judgement.
    sure
        False where it rests on the order in time alone.
    reason
        For the verdict.
    by_agent
        Whether it rests on ContrastBolusAgent alone.
    """

    contrast: Contrast
    sure: bool
    reason: str
    by_agent: bool = False


def judge(
    t1_series: Sequence[Facts], study: Iterable[Facts], rules: IdentificationRules
) -> dict[str, ContrastEvidence]:
    """Judge every T1-weighted series of a study.

    Parameters
    ----------
    t1_series
        The T1-weighted candidates.
    study
        Every MR series; one with contrast evidence dates the injection even where it is no candidate.
    rules
        Words a site adds.

    Returns
    -------
    dict
        By the candidates' keys.
    """
    trusted = not _attribute_is_blanket(t1_series, rules)
    everything = {facts.key: facts for facts in (*study, *t1_series)}
    own = {key: _own_evidence(facts, rules, trusted) for key, facts in everything.items()}
    injections = [
        facts.moment
        for key, facts in everything.items()
        if own[key].contrast is Contrast.ENHANCED and facts.moment is not None
    ]
    injection = min(injections, default=None)
    judged = {facts.key: _by_time(facts, own[facts.key], injection) for facts in t1_series}
    return {**judged, **_by_order(t1_series, judged)}


def _words(facts: Facts, rules: IdentificationRules) -> tuple[str | None, str | None]:
    """Words that say 'after contrast', words that say 'before'; what says 'without' is not read as 'with'."""
    native_patterns = (*rules.native_patterns, *NATIVE)
    rest = facts.text
    for pattern in BOTH:
        rest = re.sub(pattern, " | ", rest)
    native = first_match(native_patterns, rest)
    for pattern in native_patterns if native else ():
        rest = re.sub(pattern, " | ", rest)
    return first_match((*rules.contrast_patterns, *CONTRAST), rest), native


def _has_agent(facts: Facts) -> bool | None:
    agent = re.sub(r"[^a-z0-9]+", " ", facts.agent.lower()).strip()
    if agent:
        return first_match(NO_AGENT, agent) is None
    return True if facts.agent_volume else None


def agent_everywhere(series: Iterable[Facts]) -> bool:
    """Whether every series names an agent: one T1 among them need not have been taken after it was given."""
    return all(_has_agent(facts) for facts in series)


def _attribute_is_blanket(t1_series: Sequence[Facts], rules: IdentificationRules) -> bool:
    """Some scanners copy the agent into every series: then the attribute tells nothing where words do."""
    if len(t1_series) < 2 or not all(_has_agent(facts) for facts in t1_series):
        return False
    return any(any(_words(facts, rules)) for facts in t1_series)


def _own_evidence(facts: Facts, rules: IdentificationRules, attribute_trusted: bool) -> ContrastEvidence:
    enhanced, native = _words(facts, rules)
    if enhanced and native:
        return ContrastEvidence(Contrast.UNKNOWN, False, f"description has both '{enhanced}' and '{native}'")
    if native:
        return ContrastEvidence(Contrast.NATIVE, True, f"description has '{native}'")
    if enhanced:
        return ContrastEvidence(Contrast.ENHANCED, True, f"description has '{enhanced}'")
    agent = _has_agent(facts)
    if agent and attribute_trusted:
        return ContrastEvidence(Contrast.ENHANCED, True, "ContrastBolusAgent is given", by_agent=True)
    if agent is False:
        return ContrastEvidence(Contrast.NATIVE, True, "ContrastBolusAgent says none")
    return ContrastEvidence(Contrast.UNKNOWN, False, "nothing in the header tells of contrast")


def _by_time(facts: Facts, own: ContrastEvidence, injection: float | None) -> ContrastEvidence:
    """Without a mark of its own a T1 is native before the injection and enhanced after it."""
    if own.contrast is not Contrast.UNKNOWN or injection is None or facts.moment is None:
        return own
    if facts.moment < injection:
        return ContrastEvidence(Contrast.NATIVE, True, "acquired before the first series with contrast")
    return ContrastEvidence(Contrast.ENHANCED, False, "acquired after a series with contrast")


def _by_order(t1_series: Sequence[Facts], judged: Mapping[str, ContrastEvidence]) -> dict[str, ContrastEvidence]:
    """What is still unknown: native if it stands alone, else by order in time where that is safe."""
    unknown = [facts for facts in t1_series if judged[facts.key].contrast is Contrast.UNKNOWN]
    marked = {judged[facts.key].contrast for facts in t1_series} - {Contrast.UNKNOWN}
    if not unknown:
        return {}
    if Contrast.NATIVE in marked and Contrast.ENHANCED not in marked:
        return _single(unknown, Contrast.ENHANCED, "the other T1 is marked native") if _asked(unknown) else {}
    if Contrast.ENHANCED in marked and Contrast.NATIVE not in marked:
        return _single(unknown, Contrast.NATIVE, "the other T1 is marked as taken after contrast")
    if len(unknown) == 1:
        return _single(unknown, Contrast.NATIVE, "nothing tells of contrast in the study")
    return _pair(unknown)


def _single(unknown: Sequence[Facts], contrast: Contrast, reason: str) -> dict[str, ContrastEvidence]:
    return {facts.key: ContrastEvidence(contrast, False, reason) for facts in unknown} if len(unknown) == 1 else {}


def _asked(series: Sequence[Facts]) -> bool:
    return any(first_match(STUDY_CONTRAST, facts.study_text) for facts in series)


def _pair(unknown: Sequence[Facts]) -> dict[str, ContrastEvidence]:
    """Two equal T1 in a study that was ordered with contrast: the earlier is native, the later enhanced."""
    doubt = ContrastEvidence(
        Contrast.UNKNOWN, False, f"{len(unknown)} T1 series and nothing that tells which was taken after contrast"
    )
    undecided = {facts.key: doubt for facts in unknown}
    if len(unknown) != 2 or not _asked(unknown):
        return undecided
    if unknown[0].moment is None or unknown[1].moment is None or not same_kind(*unknown):
        return undecided
    first, second = sorted(unknown, key=lambda facts: (facts.moment or 0.0, facts.key))
    if (second.moment or 0.0) - (first.moment or 0.0) < LEAST_WAIT_S:
        return undecided
    why = "of two equal T1 in a study ordered with contrast"
    return {
        first.key: ContrastEvidence(Contrast.NATIVE, False, f"the earlier {why}"),
        second.key: ContrastEvidence(Contrast.ENHANCED, False, f"the later {why}"),
    }


def same_kind(a: Facts, b: Facts) -> bool:
    """Whether two series are repetitions of one acquisition, as those before and after contrast are."""

    def close(x: float | None, y: float | None) -> bool:
        return x == y or (x is not None and y is not None and abs(x - y) <= 0.05 * max(x, y))

    return (
        a.three_d == b.three_d
        and a.plane == b.plane
        and a.scanning == b.scanning
        and a.slices == b.slices
        and close(a.tr, b.tr)
        and close(a.te, b.te)
        and close(a.thickness, b.thickness)
    )
