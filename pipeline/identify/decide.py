"""From the headers of a study to the four series."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from pipeline.errors import Flag, GlioLoopError
from pipeline.identify.contrast import (
    Doubt,
    at_odds,
    doubt_of,
    same_kind,
)
from pipeline.identify.decision import Decision, OpenPair, Rivals, SecondChoice, SeriesVerdict, VerdictName
from pipeline.identify.facts import Facts, facts_of_study
from pipeline.identify.header import SeriesHeader
from pipeline.identify.naming import named_series, times_of
from pipeline.identify.rank import Judged, rank, what_decided, within_series
from pipeline.identify.score import Weighting, measured
from pipeline.identify.sessions import require_one_patient
from pipeline.identify.weigh import judge_all
from pipeline.names import MRSequence
from pipeline.settings.identification import IdentificationRules

# objects that are no images: a study with nothing else is empty
_NO_IMAGES = frozenset(
    {"RTSTRUCT", "RTPLAN", "RTDOSE", "RTRECORD", "SR", "PR", "KO", "SEG", "REG", "DOC", "PLAN", "FID"}
)


def identify(
    headers: Iterable[SeriesHeader],
    rules: IdentificationRules | None = None,
    override: Mapping[MRSequence, str] | None = None,
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
    require_one_patient([facts for facts in study if facts.modality == "MR"])
    judged, left_out = judge_all(study, rules)
    named = named_series(judged, override or {})
    open_pairs = [pair for pair in (_open_t1(judged, rules), _open_t2(judged)) if pair]
    open_pairs = [(pair, items) for pair, items in open_pairs if not set(pair.sequences) & set(named)]
    ranked = _ranked(judged, named, open_pairs, rules)
    pairs = [pair for pair, _ in open_pairs]
    pairs += _doubted({sequence: items[0] for sequence, items in ranked.items()}, pairs, judged, rules)
    shared = _of_one_series(named)
    pairs += _doubted(shared, [], judged, rules)
    taken = named | {sequence: items[0] for sequence, items in ranked.items()}
    within = _contrast_within(taken, judged)
    if within is not None:
        pairs.append(within[0])
        taken |= dict(zip(within[0].sequences, within[1], strict=True))
    verdicts = [_verdict(item, taken, named, ranked, pairs, rules) for item in judged]
    verdicts.sort(key=lambda v: (v.series_number is None, v.series_number or 0, v.series_instance_uid, str(v.part)))
    in_order = {sequence: taken[sequence] for sequence in MRSequence if sequence in taken}
    return Decision(
        chosen={sequence: item.facts.uid for sequence, item in in_order.items()},
        verdicts=tuple(verdicts),
        open=tuple(pairs),
        unsure=tuple(
            sequence for sequence, item in in_order.items() if item.may_be_counterpart and sequence not in named
        ),
        parts={sequence: item.facts.part for sequence, item in in_order.items() if item.facts.part is not None},
        rivals=_rivals(in_order, judged, pairs),
        named=tuple(sequence for sequence in MRSequence if sequence in named and sequence not in shared),
        others=_others(ranked, taken),
        flags=_flags(in_order, left_out),
    )


Pair = tuple[OpenPair, list[Judged]]


def _ranked(
    judged: Iterable[Judged], named: Mapping[MRSequence, Judged], open_pairs: Iterable[Pair], rules: IdentificationRules
) -> dict[MRSequence, list[Judged]]:
    """The candidates of every sequence that no person named, one a series, the best first."""
    ranked = {
        sequence: [item] for pair, items in open_pairs for sequence, item in zip(pair.sequences, items, strict=True)
    }
    series_named = {item.facts.uid for item in named.values()}
    for sequence in MRSequence:
        if sequence not in named and sequence not in ranked:
            candidates = [one for one in judged if one.sequence is sequence and one.facts.uid not in series_named]
            if candidates:
                ranked[sequence] = sorted(_best_of_series(candidates), key=lambda one: rank(one, rules))
    return ranked


def _best_of_series(candidates: list[Judged]) -> list[Judged]:
    """Of every series the part that suits best."""
    best: dict[str, Judged] = {}
    for item in candidates:
        before = best.get(item.facts.uid)
        if before is None or within_series(item) < within_series(before):
            best[item.facts.uid] = item
    return list(best.values())


def _others(
    ranked: Mapping[MRSequence, list[Judged]], taken: Mapping[MRSequence, Judged]
) -> dict[MRSequence, tuple[SecondChoice, ...]]:
    """What to fall back to where a chosen series can't be read."""
    chosen = {item.facts.uid for item in taken.values()}
    others = {
        sequence: tuple(SecondChoice(one.facts.uid, one.facts.part) for one in items if one.facts.uid not in chosen)
        for sequence, items in sorted(ranked.items())
    }
    return {sequence: choices for sequence, choices in others.items() if choices}


def _contrast_within(taken: Mapping[MRSequence, Judged], judged: list[Judged]) -> tuple[OpenPair, list[Judged]] | None:
    """One series with T1 at two times, where T1 or T1C lacks: perhaps before and after contrast; images must tell."""
    known = taken.keys() & {MRSequence.T1, MRSequence.T1C}
    if len(known) != 1:
        return None
    (sequence,) = known
    times = times_of(taken[sequence], sequence, judged)
    if len(times) < 2:
        return None
    reason = "one series holds the same T1 at several times, and no header tells which was taken after contrast"
    return OpenPair((MRSequence.T1, MRSequence.T1C), reason), [times[0], times[-1]]


def _rivals(taken: Mapping[MRSequence, Judged], judged: list[Judged], open_pairs: list[OpenPair]) -> tuple[Rivals, ...]:
    """Where a T1 was taken several times in one series, contrast may have been given between."""
    found = []
    both = {taken[sequence].facts.uid for sequence in (MRSequence.T1, MRSequence.T1C) if sequence in taken}
    if len(both) == 1 and any(MRSequence.T1C in pair.sequences for pair in open_pairs):
        return ()  # the pair is of these very parts
    for sequence in (MRSequence.T1, MRSequence.T1C):
        times = times_of(taken[sequence], sequence, judged) if sequence in taken else []
        marked = [item for item in times if item.sequence in (sequence, None)]
        earlier, later = (marked[0].facts.part, marked[-1].facts.part) if len(marked) > 1 else (None, None)
        if earlier is not None and later is not None:
            found.append(Rivals(sequence, earlier, later))
    return tuple(found)


def _flags(taken: Mapping[MRSequence, Judged], left_out: list[Judged]) -> tuple[Flag, ...]:
    derived = [sequence.value for sequence, item in taken.items() if item.facts.derived]
    numbers = sorted({str(one.facts.number) for one in left_out if one.weighting and one.facts.number is not None})
    flags = []
    if derived:
        flags.append(Flag("DERIVED_IMAGES", f"{', '.join(derived)}."))
    if any(one.weighting for one in left_out):
        flags.append(Flag("OTHER_SESSION_LEFT_OUT", f"Series {', '.join(numbers)}." if numbers else ""))
    return tuple(flags)


def _open_t1(judged: list[Judged], rules: IdentificationRules) -> Pair | None:
    """Two T1 and nothing that tells which was taken after contrast: the earlier is taken for native until images tell.

    Nothing are two of one kind without a mark, and several that all have the same weak one.
    """
    t1_series = [item for item in judged if item.weighting is Weighting.T1]
    marks = {item.sequence for item in t1_series}
    if marks == {None} and len(t1_series) == 2 and same_kind(t1_series[0].facts, t1_series[1].facts):
        reason = "two equal T1, and no header tells which was taken after contrast"
    elif marks == {None} and (within := _several_times(t1_series, judged)):
        t1_series, reason = within, "one series holds the same T1 at several times, and no T1 is marked"
    elif len(marks) == 1 and len(t1_series) >= 2 and all(item.weak_mark for item in t1_series):
        t1_series = sorted(t1_series, key=lambda item: rank(item, rules))[:2]
        reason = "all T1 have the same mark, and a weak one"
    elif len(marks) == 1 and (odd := _at_odds(t1_series, rules)):
        t1_series, reason = odd, "of two T1 the one by its words, the other by ContrastBolusAgent, is after contrast"
    else:
        return None
    t1_series.sort(key=lambda item: (item.facts.moment or 0.0, item.facts.key))
    return OpenPair((MRSequence.T1, MRSequence.T1C), reason), t1_series


def _several_times(t1_series: Sequence[Judged], judged: Sequence[Judged]) -> list[Judged]:
    """Where one series alone holds a T1 at several times, the first and the last of them."""
    found = {item.facts.uid: times for item in t1_series if len(times := times_of(item, MRSequence.T1C, judged)) > 1}
    return [(times := next(iter(found.values())))[0], times[-1]] if len(found) == 1 else []


def _at_odds(t1_series: list[Judged], rules: IdentificationRules) -> list[Judged]:
    ranked = sorted(t1_series, key=lambda item: rank(item, rules))
    pairs = ([one, other] for one, other in combinations(ranked, 2) if at_odds(one.facts, other.facts, rules))
    return next(pairs, [])


def _open_t2(judged: list[Judged]) -> Pair | None:
    """Two series with long times and nothing else said: the longer TR is taken for FLAIR until images tell."""
    unnamed = [item for item in judged if item.t2_or_flair]
    named = [item for item in judged if item.sequence in (MRSequence.T2, MRSequence.FLAIR) and not item.t2_or_flair]
    if named or len(unnamed) != 2:
        return None
    unnamed.sort(key=lambda item: (item.facts.tr or 0.0, item.facts.key))
    return OpenPair(
        (MRSequence.T2, MRSequence.FLAIR), "two series with long times, and no header tells which is FLAIR"
    ), unnamed


def _of_one_series(named: Mapping[MRSequence, Judged]) -> dict[MRSequence, Judged]:
    """Sequences for which a person named one series: which image of it is which, nobody said."""
    uids = [item.facts.uid for item in named.values()]
    return {sequence: item for sequence, item in named.items() if uids.count(item.facts.uid) > 1}


def _doubted(
    taken: Mapping[MRSequence, Judged],
    found: list[OpenPair],
    judged: Iterable[Judged],
    rules: IdentificationRules,
) -> Iterator[OpenPair]:
    """Pairs that one source alone tells apart, or of which two sources say opposite things."""
    settled = {sequence for pair in found for sequence in pair.sequences}
    best = {sequence: item for sequence, item in taken.items() if sequence not in settled}
    if MRSequence.T1 in best and MRSequence.T1C in best:
        session = [item.facts for item in judged if item.facts.modality == "MR"]
        doubt, reason = doubt_of(best[MRSequence.T1].facts, best[MRSequence.T1C].facts, session, rules)
        if doubt is Doubt.STATED and best[MRSequence.T1].weak_mark:
            doubt = Doubt.OPEN  # one of several without a mark
        if doubt is not Doubt.NONE:
            yield OpenPair((MRSequence.T1, MRSequence.T1C), reason, doubt is Doubt.STATED)
    pair = (MRSequence.T2, MRSequence.FLAIR)
    if all(sequence in best for sequence in pair):
        stated = all(best[sequence].sequence is sequence for sequence in pair)
        if not stated or not any(measured(best[sequence].facts) for sequence in pair):
            yield OpenPair(pair, "T2 and FLAIR by their descriptions alone" if stated else "T2 or FLAIR", stated)


def _require_mr(study: list[Facts]) -> None:
    if all(facts.modality in _NO_IMAGES for facts in study):
        raise GlioLoopError("STUDY_EMPTY", f"{len(study)} series without images." if study else "")
    if all(facts.modality != "MR" for facts in study):
        modalities = ", ".join(sorted({facts.modality or "unknown" for facts in study}))
        raise GlioLoopError("NO_MR", f"Modalities: {modalities}.")


def _verdict(
    item: Judged,
    chosen: Mapping[MRSequence, Judged],
    named: Mapping[MRSequence, Judged],
    ranked: Mapping[MRSequence, list[Judged]],
    pairs: Iterable[OpenPair],
    rules: IdentificationRules,
) -> SeriesVerdict:
    facts = item.facts
    taken = next((sequence for sequence, one in chosen.items() if one.facts.key == facts.key), None)
    sequence, reasons = taken or item.sequence, list(item.reasons)
    candidates = ranked.get(sequence, []) if sequence else []
    decided = what_decided(candidates[0], candidates[1], rules) if len(candidates) > 1 else ""
    if len(candidates) == 1 and facts.part is not None:
        decided = "the part of the series that suits best"
    name: VerdictName = "excluded" if item.excluded else "candidate" if item.sequence else "unmatched"
    if taken:
        name = "chosen"
        if taken in named:
            reasons.append(f"named for {taken.value} on request")
        elif decided:
            reasons.append(f"preferred to other candidates: {decided}")
        elif facts.part is not None:
            reasons.append("no other part of the series fits")
        for pair in pairs:
            if taken in pair.sequences:
                asked = "the images are asked" if pair.stated else "the images will tell"
                reasons += [pair.reason, f"{' or '.join(pair.sequences)}: {asked}"]
    elif item.sequence and item.sequence in chosen and chosen[item.sequence].facts.uid == facts.uid:
        reasons.append(f"another part of the series was taken for {item.sequence.value}")
    elif item.sequence:
        why = "one was named on request" if item.sequence in named else decided
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
