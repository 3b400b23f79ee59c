"""Was contrast in the patient when a T1 was taken? By description, by attribute, then by order in time.

None of these decides alone: of two T1, one before and one after contrast, :func:`doubt_of` says how far the sources
agree, and so what is asked of the images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.identify.facts import Facts
from pipeline.identify.vocabulary import NO_AGENT, STUDY_CONTRAST, UNKNOWN_AGENT, first_match
from pipeline.identify.wording import Wording, contrast_wording, normalise
from pipeline.settings.identification import IdentificationRules

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
        False where it rests on the order in time or a weak word alone, or another source says the opposite.
    reason
        For the verdict.
    by_agent, by_time
        Whether it rests on ContrastBolusAgent, or on the order in time, alone.
    weak
        Whether a word speaks that may mean something else, and nothing denies it.
    """

    contrast: Contrast
    sure: bool
    reason: str
    by_agent: bool = False
    by_time: bool = False
    weak: bool = False


@dataclass(frozen=True)
class _Injection:
    """The first moment at which contrast was in the patient: by any evidence, and by what is no weak word."""

    at_all: float | None
    surely: float | None


def judge(
    t1_series: Sequence[Facts], study: Iterable[Facts], rules: IdentificationRules
) -> dict[str, ContrastEvidence]:
    """Judge every series of an examination; only T1-weighted ones by what is known of each other.

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
    # a series that is marked may have been begun before: its last part alone is surely after the injection
    enhanced = [
        (own[key], facts.last_moment)
        for key, facts in everything.items()
        if own[key].contrast is Contrast.ENHANCED and facts.last_moment is not None
    ]
    injection = _Injection(
        min((moment for _, moment in enhanced), default=None),
        min((moment for evidence, moment in enhanced if not evidence.weak), default=None),
    )
    judged = {key: _by_time(facts, own[key], injection) for key, facts in everything.items()}
    return {**judged, **_by_order(t1_series, judged)}


def _wording(facts: Facts, rules: IdentificationRules) -> Wording:
    return contrast_wording(facts.text, rules.contrast_patterns, rules.native_patterns)


def _has_agent(facts: Facts) -> bool | None:
    agent = normalise(facts.agent)
    if first_match(NO_AGENT, agent) or contrast_wording(agent).native:
        return False
    if agent and not first_match(UNKNOWN_AGENT, agent):
        return True
    return True if facts.agent_volume else None


def agent_everywhere(series: Iterable[Facts]) -> bool:
    """Whether every series names an agent: one T1 among them need not have been taken after it was given."""
    return all(_has_agent(facts) for facts in series)


def _attribute_is_blanket(t1_series: Sequence[Facts], rules: IdentificationRules) -> bool:
    """Some scanners copy the agent into every series: then the attribute tells nothing where words do."""
    if len(t1_series) < 2 or not all(_has_agent(facts) for facts in t1_series):
        return False
    said = [_wording(facts, rules) for facts in t1_series]
    return any(wording.enhanced or wording.native for wording in said)


def _own_evidence(facts: Facts, rules: IdentificationRules, attribute_trusted: bool) -> ContrastEvidence:
    said, agent = _wording(facts, rules), _has_agent(facts)
    if said.enhanced and said.native:
        return ContrastEvidence(Contrast.UNKNOWN, False, f"description has both '{said.enhanced}' and '{said.native}'")
    if said.native or said.enhanced:
        contrast = Contrast.NATIVE if said.native else Contrast.ENHANCED
        denied = (agent and attribute_trusted) if said.native else agent is False
        opposite = ", though ContrastBolusAgent says the opposite" if denied else ""
        words = said.native or said.enhanced
        agreed = agent is False if said.native else agent and attribute_trusted
        sure = bool(said.strong or agreed) and not denied
        reason = f"description has '{words}'{opposite}"
        return ContrastEvidence(contrast, sure, reason, weak=not sure and not denied)
    if agent and attribute_trusted:
        return ContrastEvidence(Contrast.ENHANCED, True, "ContrastBolusAgent is given", by_agent=True)
    if agent is False:
        return ContrastEvidence(Contrast.NATIVE, True, "ContrastBolusAgent says none")
    return ContrastEvidence(Contrast.UNKNOWN, False, "nothing in the header tells of contrast")


def _by_time(facts: Facts, own: ContrastEvidence, injection: _Injection) -> ContrastEvidence:
    """Without a mark of its own a series is native before the injection and enhanced after it; a weak one is confirmed.

    Equal times say nothing.
    """
    known = injection.surely if own.weak else injection.at_all
    if known is None or facts.moment is None or facts.moment == known:
        return own
    before = facts.moment < known
    if own.contrast is Contrast.UNKNOWN:
        if before:
            return ContrastEvidence(Contrast.NATIVE, True, "acquired before the first series with contrast")
        return ContrastEvidence(Contrast.ENHANCED, False, "acquired after a series with contrast", by_time=True)
    return replace(own, sure=True) if own.weak and before == (own.contrast is Contrast.NATIVE) else own


def _by_order(t1_series: Sequence[Facts], judged: Mapping[str, ContrastEvidence]) -> dict[str, ContrastEvidence]:
    """What is still unknown: native if it stands alone, else by order in time where that is safe."""
    unknown = [facts for facts in t1_series if judged[facts.key].contrast is Contrast.UNKNOWN]
    marked = {judged[facts.key].contrast for facts in t1_series} - {Contrast.UNKNOWN}
    if not unknown:
        return {}
    if Contrast.NATIVE in marked and Contrast.ENHANCED not in marked:
        return _single(unknown, Contrast.ENHANCED, "the other T1 is marked native") if _asked(unknown) else {}
    if Contrast.ENHANCED in marked and Contrast.NATIVE not in marked:
        reason = "another T1 is marked as taken after contrast"
        alone = len(unknown) == 1
        # several without a mark: which is native, if any, is a guess
        return {one.key: ContrastEvidence(Contrast.NATIVE, False, reason, weak=not alone) for one in unknown}
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


class Doubt(StrEnum):
    """How far the headers tell two T1, or T2 and FLAIR, apart."""

    OPEN = "open"
    STATED = "stated"
    NONE = "none"


def doubt_of(native: Facts, enhanced: Facts, session: Iterable[Facts], rules: IdentificationRules) -> tuple[Doubt, str]:
    """How far the headers agree that of two T1 the one is native and the other enhanced.

    Parameters
    ----------
    native, enhanced
        The two, as they were chosen.
    session
        Every MR series of the examination; one that names an agent dates the injection.
    rules
        Words a site adds.

    Returns
    -------
    doubt
        ``OPEN`` where a source says the opposite, or a weak word or the order in time is all that speaks; ``STATED``
        where one source speaks clearly; ``NONE`` where two agree.
    reason
        What speaks for it and what against it.
    """
    words, strong = _by_words(_wording(native, rules), _wording(enhanced, rules))
    agent = _by_agent(native, enhanced)
    time = -1 if _after_injection(native, session) else _later(native, enhanced)
    sources = {"description": words, "ContrastBolusAgent": agent, "time": time}
    pro = [name for name, vote in sources.items() if vote > 0]
    contra = [name for name, vote in sources.items() if vote < 0]
    told = f"before and after contrast by {' and '.join(pro) or 'nothing'}"
    if contra:
        return Doubt.OPEN, f"{told}, the other way round by {' and '.join(contra)}"
    if len(pro) > 1:
        return Doubt.NONE, told
    if strong or agent > 0:
        return Doubt.STATED, f"{told} alone"
    return Doubt.OPEN, f"{told} alone"


def at_odds(one: Facts, other: Facts, rules: IdentificationRules) -> bool:
    """Whether of two T1 the words say that one was taken after contrast, and ContrastBolusAgent that the other was."""
    words, _ = _by_words(_wording(one, rules), _wording(other, rules))
    agent = _by_agent(one, other)
    return bool(agent) and (words or -_by_words(_wording(other, rules), _wording(one, rules))[0]) == -agent


def _by_agent(native: Facts, enhanced: Facts) -> int:
    """What the two agents say of the pair: 1 as taken, -1 the other way round, 0 nothing."""
    before, after = _has_agent(native), _has_agent(enhanced)
    if bool(before) != bool(after):
        return 1 if after else -1
    return -1 if after is False and before is None else 0


def _by_words(native: Wording, enhanced: Wording) -> tuple[int, bool]:
    """What the two descriptions say of the pair: 1 as taken, -1 the other way round, 0 nothing; whether clearly."""
    votes = [
        (1 if enhanced.enhanced else -1, enhanced.strong) if bool(enhanced.enhanced) != bool(enhanced.native) else None,
        (1 if native.native else -1, native.strong) if bool(native.enhanced) != bool(native.native) else None,
    ]
    cast = [vote for vote in votes if vote is not None]
    if any(vote < 0 for vote, _ in cast):
        return -1, False
    return (1 if cast else 0), len(cast) == 2 or any(strong for _, strong in cast)


def _later(native: Facts, enhanced: Facts) -> int:
    if native.moment is None or enhanced.moment is None or native.moment == enhanced.moment:
        return 0
    return 1 if native.moment < enhanced.moment else -1


def _after_injection(native: Facts, session: Iterable[Facts]) -> bool:
    """Whether a series that names an agent was acquired before the T1 that is taken for native."""
    everything = [facts for facts in session if facts.key != native.key]
    if native.moment is None or agent_everywhere(everything):
        return False
    return any(_has_agent(one) and one.moment is not None and one.moment < native.moment for one in everything)
