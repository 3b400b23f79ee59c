"""From the headers of a study to the four series."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import GlioLoopError
from pipeline.identify.contrast import Contrast, ContrastEvidence, agent_everywhere, judge, same_kind
from pipeline.identify.decision import Decision, OpenPair, Rivals, SeriesVerdict, VerdictName
from pipeline.identify.exclude import Exclusion, exclusions
from pipeline.identify.facts import Facts, facts_of_study
from pipeline.identify.header import SeriesHeader
from pipeline.identify.rules import IdentificationRules
from pipeline.identify.score import CERTAIN, LIKELY, MARGIN, Weighting, evidence_of, only_timing, scores_of
from pipeline.identify.siblings import at_other_times, standing
from pipeline.names import Sequence

# objects that are no images: a study with nothing else is empty
_NO_IMAGES = frozenset(
    {"RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "SR", "PR", "KO", "SEG", "REG", "DOC", "PLAN", "FID"}
)


@dataclass(frozen=True)
class _Judged:
    """A series with what was found about it; ``sequence`` is None where nothing fits."""

    facts: Facts
    scores: dict[Weighting, float]
    reasons: tuple[str, ...]
    excluded: tuple[Exclusion, ...] = ()
    weighting: Weighting | None = None
    sequence: Sequence | None = None
    sure: bool = True
    t2_or_flair: bool = False

    @property
    def score(self) -> float:
        return 0.0 if self.weighting is None else self.scores[self.weighting]

    @property
    def might_be_lookalike(self) -> bool:
        return not self.sure or self.t2_or_flair


def identify(
    headers: Iterable[SeriesHeader],
    rules: IdentificationRules | None = None,
    override: Mapping[Sequence, str] | None = None,
) -> Decision:
    """Find T1, T1 with contrast, T2 and FLAIR among the series of a study.

    Every series gets points for each weighting from its attributes, then from its descriptions; excluded
    kinds are left out; contrast decides between T1 and T1C. Among equally certain candidates the rules'
    preference decides, then the score, then the lowest SeriesInstanceUID: the order of ``headers`` plays no part.

    Parameters
    ----------
    headers
        One a series, in any order.
    rules
        A site's rules; the defaults where None.
    override
        SeriesInstanceUID or Orthanc id for a sequence; taken as said, whatever the header looks like.

    Returns
    -------
    Decision
        Never raises for a poor study: see :meth:`Decision.require`.

    Raises
    ------
    GlioLoopError
        ``STUDY_EMPTY``, ``NO_MR``, and ``SERIES_UNKNOWN`` for an override that is no MR series of the study.
    """
    rules = rules or IdentificationRules()
    study = facts_of_study(headers)
    _require_mr(study)
    judged = _judge_all(study, rules)
    named = _named(judged, override or {})
    pairs = [pair for pair in (_open_t1(judged), _open_t2(judged)) if pair and not set(pair[0].sequences) & set(named)]
    taken: dict[Sequence, _Judged] = dict(named)
    for pair, items in pairs:
        taken |= dict(zip(pair.sequences, items, strict=True))
    preferred: dict[Sequence, str] = {}
    series_named = {item.facts.uid for item in named.values()}
    for sequence in Sequence:
        if sequence in taken:
            continue
        candidates = [item for item in judged if item.sequence is sequence and item.facts.uid not in series_named]
        best_of_series = _best_of_series(candidates)
        if best_of_series:
            best = min(best_of_series, key=lambda item: _rank(item, rules))
            taken[sequence] = best
            if len(candidates) > 1:
                preferred[sequence] = _preference(best, best_of_series, rules)
    open_pairs = tuple(pair for pair, _ in pairs)
    within = _contrast_within(taken, judged)
    if within is not None:
        pair, items = within
        taken |= dict(zip(pair.sequences, items, strict=True))
        open_pairs = (*open_pairs, pair)
    verdicts = [_verdict(item, taken, named, preferred, open_pairs) for item in judged]
    verdicts.sort(key=lambda v: (v.series_number is None, v.series_number or 0, v.series_instance_uid, str(v.part)))
    in_order = {sequence: taken[sequence] for sequence in Sequence if sequence in taken}
    doubtful = {item.facts.key for item in judged if item.might_be_lookalike}
    return Decision(
        chosen={sequence: item.facts.uid for sequence, item in in_order.items()},
        verdicts=tuple(verdicts),
        open=open_pairs,
        unsure=tuple(
            sequence for sequence, item in in_order.items() if item.facts.key in doubtful and sequence not in named
        ),
        parts={sequence: item.facts.part for sequence, item in in_order.items() if item.facts.part is not None},
        rivals=_rivals(in_order, judged, open_pairs),
    )


def _best_of_series(candidates: list[_Judged]) -> list[_Judged]:
    """Of every series the part that suits best."""
    best: dict[str, _Judged] = {}
    for item in candidates:
        before = best.get(item.facts.uid)
        if before is None or _within_series(item) < _within_series(before):
            best[item.facts.uid] = item
    return list(best.values())


def _within_series(item: _Judged) -> tuple[Any, ...]:
    return (_uncertain(item), *standing(item.facts, item.weighting))


def _times(item: _Judged, judged: list[_Judged]) -> list[_Judged]:
    """The same image of the same series at every time it was taken, the earliest first."""
    by_key = {one.facts.key: one for one in judged if one.weighting is item.weighting and not one.excluded}
    return [by_key[facts.key] for facts in at_other_times(item.facts, (one.facts for one in by_key.values()))]


def _contrast_within(taken: Mapping[Sequence, _Judged], judged: list[_Judged]) -> tuple[OpenPair, list[_Judged]] | None:
    """One series with T1 at two times, where T1 or T1C lacks: perhaps before and after contrast; images must tell."""
    known = taken.keys() & {Sequence.T1, Sequence.T1C}
    if len(known) != 1:
        return None
    times = _times(taken[known.pop()], judged)
    if len(times) < 2:
        return None
    reason = "one series holds the same T1 at several times, and no header tells which was taken after contrast"
    return OpenPair((Sequence.T1, Sequence.T1C), reason), [times[0], times[-1]]


def _rivals(
    taken: Mapping[Sequence, _Judged], judged: list[_Judged], open_pairs: tuple[OpenPair, ...]
) -> tuple[Rivals, ...]:
    """Where a T1 was taken several times in one series, contrast may have been given between."""
    found = []
    if any(Sequence.T1C in pair.sequences for pair in open_pairs):
        return ()
    for sequence in (Sequence.T1, Sequence.T1C):
        times = _times(taken[sequence], judged) if sequence in taken else []
        marked = [item for item in times if item.sequence in (sequence, None)]
        earlier, later = (marked[0].facts.part, marked[-1].facts.part) if len(marked) > 1 else (None, None)
        if earlier is not None and later is not None:
            found.append(Rivals(sequence, earlier, later))
    return tuple(found)


def _open_t1(judged: list[_Judged]) -> tuple[OpenPair, list[_Judged]] | None:
    """Two T1 of one kind and no mark of contrast in the study: the earlier is taken for native until images tell."""
    unmarked = [item for item in judged if item.weighting is Weighting.T1 and item.sequence is None]
    marked = [item for item in judged if item.sequence in (Sequence.T1, Sequence.T1C)]
    if marked or len(unmarked) != 2 or not same_kind(unmarked[0].facts, unmarked[1].facts):
        return None
    unmarked.sort(key=lambda item: (item.facts.moment or 0.0, item.facts.key))
    return OpenPair(
        (Sequence.T1, Sequence.T1C), "two equal T1, and no header tells which was taken after contrast"
    ), unmarked


def _open_t2(judged: list[_Judged]) -> tuple[OpenPair, list[_Judged]] | None:
    """Two series with long times and nothing else said: the longer TR is taken for FLAIR until images tell."""
    unnamed = [item for item in judged if item.t2_or_flair]
    named = [item for item in judged if item.sequence in (Sequence.T2, Sequence.FLAIR) and not item.t2_or_flair]
    if named or len(unnamed) != 2:
        return None
    unnamed.sort(key=lambda item: (item.facts.tr or 0.0, item.facts.key))
    return OpenPair(
        (Sequence.T2, Sequence.FLAIR), "two series with long times, and no header tells which is FLAIR"
    ), unnamed


def _require_mr(study: list[Facts]) -> None:
    if all(facts.modality in _NO_IMAGES for facts in study):
        raise GlioLoopError("STUDY_EMPTY", f"{len(study)} series without images." if study else "")
    if all(facts.modality != "MR" for facts in study):
        modalities = ", ".join(sorted({facts.modality or "unknown" for facts in study}))
        raise GlioLoopError("NO_MR", f"Modalities: {modalities}.")


def _named(judged: list[_Judged], override: Mapping[Sequence, str]) -> dict[Sequence, _Judged]:
    """What overrides name; of a series with several parts the one that suits the sequence best."""
    named = {}
    for sequence, key in override.items():
        parts = [item for item in judged if key and key in (item.facts.uid, item.facts.orthanc_id)]
        if not parts:
            raise GlioLoopError("SERIES_UNKNOWN", f"{sequence.value}: {key} is not a series of this study.")
        best = min(parts, key=lambda item: (item.sequence is not sequence, bool(item.excluded), _within_series(item)))
        excluded = exclusions(best.facts, IdentificationRules())
        if {item.code for item in excluded} & {"NOT_MR", "OWN_OBJECT", "COLOUR"}:
            raise GlioLoopError("SERIES_UNKNOWN", f"{sequence.value}: {key} is not a series of grey MR images.")
        named[sequence] = best
    if len({item.facts.uid for item in named.values()}) < len(named):
        raise GlioLoopError("SERIES_UNKNOWN", "The same series is named for two sequences.")
    return named


def _judge_all(study: list[Facts], rules: IdentificationRules) -> list[_Judged]:
    judged = [_weigh(facts, rules) for facts in study]
    t1_series = [item.facts for item in judged if item.weighting is Weighting.T1]
    mr = [facts for facts in study if facts.modality == "MR"]
    contrast = judge(t1_series, mr, rules) if t1_series else {}
    blanket = agent_everywhere(item.facts for item in judged if item.weighting is not None)
    return [_with_sequence(item, contrast.get(item.facts.key), blanket) for item in judged]


def _weigh(facts: Facts, rules: IdentificationRules) -> _Judged:
    excluded = exclusions(facts, rules)
    if excluded:
        return _Judged(facts, {}, tuple(item.text for item in excluded), excluded)
    evidence = evidence_of(facts, rules)
    scores = scores_of(evidence)
    ordered = sorted(scores, key=lambda weighting: -scores[weighting])
    best, second = ordered[0], ordered[1]
    reasons = tuple(dict.fromkeys(f"{item.reason}" for item in evidence))
    if scores[best] < LIKELY:
        return _Judged(facts, scores, (*reasons, "the header does not tell the weighting"))
    if scores[best] - scores[second] < MARGIN:
        fluid = {best, second} == {Weighting.T2, Weighting.FLAIR}
        return _Judged(facts, scores, (*reasons, f"{best} and {second} are equally likely"), t2_or_flair=fluid)
    return _Judged(
        facts, scores, reasons, weighting=best, t2_or_flair=best is Weighting.T2 and only_timing(facts, rules)
    )


def _with_sequence(item: _Judged, contrast: ContrastEvidence | None, blanket: bool) -> _Judged:
    if item.weighting is None:
        return item
    if item.weighting is not Weighting.T1 or contrast is None:
        sequence = Sequence.T2 if item.weighting is Weighting.T2 else Sequence.FLAIR
        return replace(item, sequence=sequence)
    sequences = {Contrast.NATIVE: Sequence.T1, Contrast.ENHANCED: Sequence.T1C}
    return replace(
        item,
        reasons=(*item.reasons, f"contrast {contrast.contrast}: {contrast.reason}"),
        sequence=sequences.get(contrast.contrast),
        sure=contrast.sure and not (contrast.by_agent and blanket),
    )


def _rank(item: _Judged, rules: IdentificationRules) -> tuple[float | str, ...]:
    """Lower is better: certainty, the preference in its order, score, UID."""
    return (
        _uncertain(item),
        *(_preference_key(name, item, rules) for name in rules.preference),
        -item.score,
        item.facts.key,
    )


def _uncertain(item: _Judged) -> int:
    return (item.score < CERTAIN) + (not item.sure)


def _preference_key(name: str, item: _Judged, rules: IdentificationRules) -> float:
    facts = item.facts
    keys: dict[str, float] = {
        "3d": 0.0 if facts.three_d else 1.0,
        "plane": 0.0 if facts.three_d else float(_plane_rank(facts.plane, rules)),
        "slices": -float(facts.slices),
        "thickness": facts.thickness or facts.distance or 99.0,
        "corrected": 1.0 if "ND" in facts.image_type else 0.0,
        "later": -(facts.moment or 0.0),
    }
    return keys[name]


def _plane_rank(plane: str, rules: IdentificationRules) -> int:
    order = [str(name) for name in rules.plane_order]
    return order.index(plane) if plane in order else len(order)


_PREFERRED = {
    "3d": "3D before 2D",
    "plane": "preferred plane",
    "slices": "more slices",
    "thickness": "thinner slices",
    "corrected": "distortion corrected",
    "later": "acquired later",
}


def _preference(best: _Judged, best_of_series: list[_Judged], rules: IdentificationRules) -> str:
    """What set the best apart from the runner-up."""
    if len(best_of_series) == 1:
        return "the part of the series that suits best"
    second = min((item for item in best_of_series if item is not best), key=lambda item: _rank(item, rules))
    for index, (a, b) in enumerate(zip(_rank(best, rules), _rank(second, rules), strict=True)):
        if a != b:
            names = ("more certain", *(_PREFERRED[name] for name in rules.preference), "higher score", "lowest UID")
            return names[index]
    return "lowest UID"


def _verdict(
    item: _Judged,
    chosen: Mapping[Sequence, _Judged],
    named: Mapping[Sequence, _Judged],
    preferred: Mapping[Sequence, str],
    open_pairs: tuple[OpenPair, ...],
) -> SeriesVerdict:
    facts = item.facts
    taken = next((sequence for sequence, one in chosen.items() if one.facts.key == facts.key), None)
    sequence, reasons = taken or item.sequence, list(item.reasons)
    name: VerdictName = "excluded" if item.excluded else "candidate" if item.sequence else "unmatched"
    if taken:
        name = "chosen"
        if taken in named:
            reasons.append(f"named for {taken.value} on request")
        elif taken in preferred:
            reasons.append(f"preferred to other candidates: {preferred[taken]}")
        reasons += [
            f"{' or '.join(pair.sequences)}: the images will tell" for pair in open_pairs if taken in pair.sequences
        ]
    elif item.sequence and item.sequence in chosen and chosen[item.sequence].facts.uid == facts.uid:
        reasons.append(f"another part of the series was taken for {item.sequence.value}")
    elif item.sequence:
        why = "one was named on request" if item.sequence in named else preferred.get(item.sequence, "")
        reasons.append(f"another series was taken for {item.sequence.value}: {why}")
    return SeriesVerdict(
        series_instance_uid=facts.uid,
        orthanc_id=facts.orthanc_id,
        series_number=facts.number,
        description=facts.description,
        verdict=name,
        sequence=sequence,
        score=item.score,
        scores={weighting.value: points for weighting, points in item.scores.items()},
        reasons=tuple(reasons),
        exclusions=item.excluded,
        part=facts.part,
    )
