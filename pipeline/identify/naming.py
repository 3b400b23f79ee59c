"""Series that a person names for sequences; one that holds several images may be named for several."""

from collections.abc import Mapping, Sequence
from itertools import permutations

from pipeline.errors import GlioLoopError
from pipeline.identify.exclude import exclusions
from pipeline.identify.rank import Judged
from pipeline.identify.score import Weighting
from pipeline.identify.siblings import at_other_times, standing
from pipeline.names import MRSequence
from pipeline.settings.identification import IdentificationRules

WEIGHTING = {
    MRSequence.T1: Weighting.T1,
    MRSequence.T1C: Weighting.T1,
    MRSequence.T2: Weighting.T2,
    MRSequence.FLAIR: Weighting.FLAIR,
}
_TOLD_BY_IMAGES = ({MRSequence.T1, MRSequence.T1C}, {MRSequence.T2, MRSequence.FLAIR})
#: The later of two is the one after contrast: it is chosen first.
_IN_TURN = (MRSequence.T1C, MRSequence.FLAIR, MRSequence.T2, MRSequence.T1)


def times_of(item: Judged, sequence: MRSequence, judged: Sequence[Judged]) -> list[Judged]:
    """The same image of the same series at every time it was taken, the earliest first."""
    by_key = {
        one.facts.key: one
        for one in judged
        if one.weighting is item.weighting and bool(one.excluded) is bool(item.excluded)
    }
    alike = at_other_times(item.facts, (one.facts for one in by_key.values()), WEIGHTING[sequence])
    return [by_key[facts.key] for facts in alike]


def named_series(judged: Sequence[Judged], override: Mapping[MRSequence, str]) -> dict[MRSequence, Judged]:
    """What a person names; of a series with several parts those that suit the sequences best, each its own.

    Raises
    ------
    GlioLoopError
        ``SERIES_UNKNOWN`` where it is no series of grey MR images, or one of more images at a position than can be
        told apart, or holds too few for the sequences it is named for.
    """
    by_series: dict[str, list[MRSequence]] = {}
    for sequence in sorted(override, key=_IN_TURN.index):
        key = override[sequence]
        parts = [item for item in judged if key and key in (item.facts.uid, item.facts.orthanc_id)]
        if not parts:
            raise GlioLoopError("SERIES_UNKNOWN", f"{sequence.value}: {key} is not a series of this study.")
        codes = {one.code for one in exclusions(parts[0].facts, IdentificationRules())}
        if codes & {"NOT_MR", "OWN_OBJECT", "COLOUR"}:
            raise GlioLoopError("SERIES_UNKNOWN", f"{sequence.value}: {key} is not a series of grey MR images.")
        if parts[0].facts.volumes > 1:
            detail = f"{sequence.value}: {key} holds {parts[0].facts.volumes} images at each position"
            raise GlioLoopError("SERIES_UNKNOWN", f"{detail}, and none of them is named.")
        by_series.setdefault(parts[0].facts.uid, []).append(sequence)
    named: dict[MRSequence, Judged] = {}
    for uid, sequences in by_series.items():
        named |= _assigned(sequences, [item for item in judged if item.facts.uid == uid])
    native, enhanced = named.get(MRSequence.T1), named.get(MRSequence.T1C)
    if native and enhanced and native.facts.uid == enhanced.facts.uid and native.sequence is enhanced.sequence is None:
        times = times_of(enhanced, MRSequence.T1C, judged)
        named |= {MRSequence.T1: times[0], MRSequence.T1C: times[-1]} if len(times) > 1 else {}
    return named


def _assigned(sequences: Sequence[MRSequence], parts: Sequence[Judged]) -> dict[MRSequence, Judged]:
    several = f"The same series is named for {', '.join(sorted(sequence.value for sequence in sequences))}"
    if len(parts) < len(sequences):
        raise GlioLoopError("SERIES_UNKNOWN", f"{several}, and has one image at each position.")
    choices = permutations(parts, len(sequences))
    best = min(choices, key=lambda chosen: _suits(list(zip(sequences, chosen, strict=True))))
    found = dict(zip(sequences, best, strict=True))
    # the images tell these from each other, and no others
    left_to_images = any(set(sequences) <= pair for pair in _TOLD_BY_IMAGES)
    if (
        len(found) > 1
        and not left_to_images
        and any(item.weighting is not WEIGHTING[one] for one, item in found.items())
    ):
        raise GlioLoopError("SERIES_UNKNOWN", f"{several}, and no header tells which of its images is which.")
    return found


def _suits(pairs: Sequence[tuple[MRSequence, Judged]]) -> tuple[object, ...]:
    """Lower is better: of the sequences named, possible, of the usual kind."""
    return (
        sum(item.sequence is not sequence for sequence, item in pairs),
        sum(item.weighting is not WEIGHTING[sequence] for sequence, item in pairs),
        sum(bool(item.excluded) for _, item in pairs),
        [standing(item.facts, WEIGHTING[sequence]) for sequence, item in pairs],
    )
