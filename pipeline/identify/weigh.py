"""Every series of a study by itself and beside the others: weighting, contrast, and why it is excluded."""

from dataclasses import replace

from pipeline.identify.contrast import Contrast, ContrastEvidence, agent_everywhere, judge
from pipeline.identify.exclude import MEANING, Exclusion, exclusions
from pipeline.identify.facts import Facts
from pipeline.identify.rank import Judged, within_series
from pipeline.identify.score import LIKELY, MARGIN, Weighting, evidence_of, only_timing, scores_of
from pipeline.identify.sessions import sessions_of
from pipeline.identify.siblings import kind_of
from pipeline.names import MRSequence
from pipeline.settings.identification import IdentificationRules


def judge_all(study: list[Facts], rules: IdentificationRules) -> tuple[list[Judged], list[Judged]]:
    """Every series judged, those of other examinations excluded; and these as they would have been judged."""
    sessions = [_judge_session(group, rules) for group in sessions_of([one for one in study if one.modality == "MR"])]
    here = _examination(sessions)
    elsewhere = [item for index, session in enumerate(sessions) if index != here for item in session]
    other_session = Exclusion("OTHER_SESSION", f"{MEANING['OTHER_SESSION']}: hours or days apart")
    excluded = [
        Judged(item.facts, {}, (*item.reasons, other_session.text), (*item.excluded, other_session))
        for item in elsewhere
    ]
    no_mr = [_weigh(facts, rules) for facts in study if facts.modality != "MR"]
    return [*sessions[here], *excluded, *no_mr], elsewhere


def _examination(sessions: list[list[Judged]]) -> int:
    """The latest session with at least two kinds of sequences; a single series is no examination."""
    kinds = [len({item.sequence or item.weighting for item in session if item.weighting}) for session in sessions]
    several = [index for index, count in enumerate(kinds) if count >= 2]
    return several[-1] if several else max(range(len(kinds)), key=lambda index: (kinds[index], index))


def _judge_session(session: list[Facts], rules: IdentificationRules) -> list[Judged]:
    """Every series of an examination judged; a derived one is excluded where an original stands for its sequence."""
    weighed = _one_of_each_moment([_weigh(facts, rules) for facts in session])
    originals = _with_contrast([item for item in weighed if not item.facts.derived], session, rules)
    found = {item.facts.key: item.sequence for item in originals}
    whole = _with_contrast(weighed, session, rules)
    if any(item.sequence is not found.get(item.facts.key, item.sequence) for item in whole):
        # derived copies beside their originals: nothing more can be learnt from them
        derived = [
            _copy(item, rules) if item.weighting is Weighting.T1 else item for item in whole if item.facts.derived
        ]
        whole = [*originals, *derived]
    return [_copy(one, rules) if one.facts.derived and one.sequence in found.values() else one for one in whole]


def _one_of_each_moment(weighed: list[Judged]) -> list[Judged]:
    """Of parts of one series and moment (water and in phase, two echoes) the best counts for its weighting, alone.

    Beside it those of the same kind, which some word alone tells apart: it may be one before and after contrast.
    """
    best: dict[tuple[object, ...], Judged] = {}
    for item in weighed:
        key = _moment(item)
        if key not in best or within_series(item) < within_series(best[key]):
            best[key] = item
    return [
        item
        if item.weighting is None or _kind(item) == _kind(best[_moment(item)])
        else replace(item, weighting=None, reasons=(*item.reasons, "another part of the series suits better"))
        for item in weighed
    ]


def _moment(item: Judged) -> tuple[object, ...]:
    return (item.facts.uid, item.weighting, item.facts.part and item.facts.part.moment)


def _kind(item: Judged) -> tuple[object, ...]:
    return kind_of(item.facts, item.weighting)


def _copy(item: Judged, rules: IdentificationRules) -> Judged:
    if item.weighting is None or "DERIVED" in rules.ignored_exclusions:
        return item
    copy = Exclusion("DERIVED", f"{MEANING['DERIVED']}: image type " + "\\".join(item.facts.image_type[:2]))
    return Judged(item.facts, {}, (*item.reasons, copy.text), (copy,))


def _with_contrast(weighed: list[Judged], session: list[Facts], rules: IdentificationRules) -> list[Judged]:
    t1_series = [item.facts for item in weighed if item.weighting is Weighting.T1]
    contrast = judge(t1_series, session, rules)
    blanket = agent_everywhere(item.facts for item in weighed if item.weighting is not None)
    return [_with_sequence(item, contrast.get(item.facts.key), blanket) for item in weighed]


def _weigh(facts: Facts, rules: IdentificationRules) -> Judged:
    excluded = exclusions(facts, rules)
    if excluded:
        return Judged(facts, {}, tuple(item.text for item in excluded), excluded)
    evidence = evidence_of(facts, rules)
    scores = scores_of(evidence)
    ordered = sorted(scores, key=lambda weighting: -scores[weighting])
    best, second = ordered[0], ordered[1]
    reasons = tuple(dict.fromkeys(f"{item.reason}" for item in evidence))
    if scores[best] < LIKELY:
        return Judged(facts, scores, (*reasons, "the header does not tell the weighting"))
    if scores[best] - scores[second] < MARGIN:
        fluid = {best, second} == {Weighting.T2, Weighting.FLAIR}
        return Judged(facts, scores, (*reasons, f"{best} and {second} are equally likely"), t2_or_flair=fluid)
    return Judged(
        facts, scores, reasons, weighting=best, t2_or_flair=best is Weighting.T2 and only_timing(facts, rules)
    )


def _with_sequence(item: Judged, contrast: ContrastEvidence | None, blanket: bool) -> Judged:
    if item.weighting is None or contrast is None:
        return item
    if item.weighting is not Weighting.T1:
        sequence = MRSequence[item.weighting.name]
        enhanced = contrast.contrast is Contrast.ENHANCED
        told = enhanced and not contrast.by_time and not (contrast.by_agent and blanket)
        return replace(item, sequence=sequence, told_enhanced=told, after_injection=enhanced)
    sequences = {Contrast.NATIVE: MRSequence.T1, Contrast.ENHANCED: MRSequence.T1C}
    return replace(
        item,
        reasons=(*item.reasons, f"contrast {contrast.contrast}: {contrast.reason}"),
        sequence=sequences.get(contrast.contrast),
        sure=contrast.sure and not (contrast.by_agent and blanket),
        weak_mark=contrast.weak and not contrast.sure,
    )
