"""Which of several candidates for a sequence is taken: by certainty and use first, then by a site's preference."""

from dataclasses import dataclass

from pipeline.identify.exclude import Exclusion
from pipeline.identify.facts import Facts
from pipeline.identify.score import CERTAIN, Weighting
from pipeline.identify.siblings import standing
from pipeline.identify.vocabulary import BLACK_BLOOD, SINGLE_SHOT, first_match
from pipeline.names import MRSequence
from pipeline.settings.identification import IdentificationRules


@dataclass(frozen=True)
class Judged:
    """A series with what was found about it.

    Attributes
    ----------
    facts, scores, reasons, excluded
        The header, points a weighting, sentences, and why it is never taken.
    weighting, sequence
        What it is; None where the header does not tell.
    sure
        Whether the contrast of a T1 is told by more than a weak word or the order in time.
    weak_mark
        Whether a weak word is all that tells the contrast of a T1.
    t2_or_flair
        Whether it might as well be the other of the two.
    told_enhanced
        Whether the description or ContrastBolusAgent says that it was taken after contrast.
    after_injection
        Whether it was acquired after a series that was taken after contrast.
    """

    facts: Facts
    scores: dict[Weighting, float]
    reasons: tuple[str, ...]
    excluded: tuple[Exclusion, ...] = ()
    weighting: Weighting | None = None
    sequence: MRSequence | None = None
    sure: bool = True
    weak_mark: bool = False
    t2_or_flair: bool = False
    told_enhanced: bool = False
    after_injection: bool = False

    @property
    def score(self) -> float:
        """Points of its weighting."""
        return 0.0 if self.weighting is None else self.scores[self.weighting]

    @property
    def may_be_counterpart(self) -> bool:
        """Whether it might be T1 for T1C, T2 for FLAIR, or the reverse."""
        return not self.sure or self.t2_or_flair


def rank(item: Judged, rules: IdentificationRules) -> tuple[float | str, ...]:
    """Lower is better: original, certainty, use, the preference in its order, score, UID."""
    preferred = (_preference_key(name, item, rules) for name in _order(rules))
    return (item.facts.derived, _uncertain(item), _unusual(item), *preferred, -item.score, item.facts.key)


def within_series(item: Judged) -> tuple[object, ...]:
    """Lower is better among the parts of one series."""
    return (_uncertain(item), *standing(item.facts, item.weighting))


def _uncertain(item: Judged) -> int:
    return (item.score < CERTAIN) + (not item.sure)


def what_decided(best: Judged, second: Judged, rules: IdentificationRules) -> str:
    """What set the best apart from the runner-up."""
    names = (
        "original before derived",
        "more certain",
        "the usual kind of image",
        *(_PREFERRED[name] for name in _order(rules)),
        "higher score",
        "lowest UID",
    )
    pairs = zip(rank(best, rules), rank(second, rules), names, strict=True)
    return next((name for a, b, name in pairs if a != b), "lowest UID")


def _unusual(item: Judged) -> int:
    """How far it is from what networks learn from: blood blackened, one shot a slice, T2 or FLAIR after contrast."""
    black_blood = item.weighting is Weighting.T1 and first_match(BLACK_BLOOD, item.facts.text)
    enhanced = item.told_enhanced and item.weighting is not Weighting.T1
    return bool(black_blood) + bool(first_match(SINGLE_SHOT, item.facts.text)) + enhanced


def _order(rules: IdentificationRules) -> list[str]:
    """The site's preference; what was acquired before the injection comes before what is merely later."""
    order = [str(name) for name in rules.preference]
    place = order.index("later") if "later" in order else len(order)
    return [*order[:place], "before contrast", *order[place:]]


def _preference_key(name: str, item: Judged, rules: IdentificationRules) -> float:
    facts = item.facts
    keys: dict[str, float] = {
        "3d": 0.0 if facts.three_d else 1.0,
        "plane": 0.0 if facts.three_d else float(_plane_rank(facts.plane, rules)),
        "slices": -float(facts.slices),
        "thickness": facts.thickness or facts.distance or 99.0,
        "corrected": 1.0 if "ND" in facts.image_type else 0.0,
        "before contrast": float(item.after_injection and item.weighting is not Weighting.T1),
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
    "before contrast": "acquired before the injection",
    "later": "acquired later",
}
