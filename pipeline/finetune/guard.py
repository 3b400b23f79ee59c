"""The guard: whether a fine-tuned network may be put to use.

It must do better on corrections it never saw, and not worse on a fixed reference set. Both are paired:
each case is scored with the network in use and with the candidate. Whether it does better is decided by an exact
paired test: had the candidate gained nothing, each difference could as well have the other sign, and the p value is
the share of all choices of signs whose mean is as high (Fisher, The Design of Experiments, 1935, section 21). The
interval beside it is a bootstrap over cases (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import permutation_test

from pipeline.finetune.verdict import Change, Judgement
from pipeline.settings.finetune import FinetunePolicy

_RESAMPLES: Final = 10_000
#: Chance of a candidate that gains nothing to pass.
SIGNIFICANT: Final = 0.025
#: With fewer cases than this not even a gain in each of them is significant: 2⁻⁵ > 0.025 ≥ 2⁻⁶.
LEAST_CASES: Final = 6
#: Choices of signs that are tried at most; of up to 14 cases these are all.
_SIGNS: Final = 2**14
_SEED: Final = 20_180_201

#: Dice per region of each case, by case.
Scores = Mapping[str, Mapping[str, float]]


def paired_change(before: list[float], after: list[float]) -> Change | None:
    """Compare paired scores; None where there are none."""
    if not before:
        return None
    first, second = np.asarray(before), np.asarray(after)
    difference = np.sort(second - first)  # the draws go by place, and cases are named by this installation's key
    draws = np.random.default_rng(_SEED).integers(0, len(difference), (_RESAMPLES, len(difference)))
    low, high = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
    return Change(
        before=round(float(first.mean()), 4),
        after=round(float(second.mean()), 4),
        change=round(float(difference.mean()), 4),
        ci95=(round(float(low), 4), round(float(high), 4)),
        p=round(chance_of(difference), 5),
        n=len(before),
    )


def chance_of(difference: NDArray[np.float64]) -> float:
    """One-sided p value of paired differences (n,): how often their mean is as high with signs drawn by lot."""
    if len(difference) == 1:  # SciPy asks for two; the reference set may be of one case
        return 0.5 if difference[0] > 0 else 1.0
    found = permutation_test(
        (difference,),
        np.mean,
        permutation_type="samples",
        alternative="greater",
        n_resamples=_SIGNS,
        rng=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def decide(
    policy: FinetunePolicy,
    corrections: tuple[Scores, Scores],
    drawn: Mapping[str, frozenset[str]],
    reference: tuple[Scores, Scores],
) -> Judgement:
    """Judge a candidate.

    Parameters
    ----------
    policy
        Margin, least gain, least number of held-back corrections.
    corrections
        Scores on the held-back corrections with the network in use, and with the candidate. A network that
        refused a case (no brain found) has no scores there, which count as 0.
    drawn
        Regions that were drawn in each case that can be judged; others say nothing, since the automatic result
        filled them.
    reference
        Scores on the reference set, likewise.
    """
    drawn = {case: names for case, names in drawn.items() if case in corrections[0]}
    per_case = [
        [float(np.mean([scores[case].get(region, 0.0) for region in sorted(drawn[case])])) for case in sorted(drawn)]
        for scores in corrections
    ]
    gained = paired_change(per_case[0], per_case[1])
    per_region = _by_region(corrections, drawn)
    kept = _by_region(reference, scored(reference))
    objection = _objection(policy, gained, kept)
    reason = objection or (
        f"Better on {gained.n} held-back corrections ({_told(gained)}) "
        f"and within {policy.margin:g} on the reference set of {len(reference[0])}."
        if gained
        else ""
    )
    return Judgement(
        passed=not objection,
        reason=reason,
        corrections=gained,
        corrections_per_region=per_region,
        reference=kept,
    )


def scored(scores: tuple[Scores, Scores]) -> dict[str, frozenset[str]]:
    """Regions of each case that either network has scores of; cases that both refused are left out."""
    before, after = scores
    regions = {case: frozenset(before[case]) | frozenset(after[case]) for case in before}
    return {case: names for case, names in regions.items() if names}


def _by_region(scores: tuple[Scores, Scores], regions: Mapping[str, frozenset[str]]) -> dict[str, Change]:
    changes = {}
    for region in sorted(frozenset().union(*regions.values())):
        cases = [case for case in sorted(regions) if region in regions[case]]
        before, after = ([one[case].get(region, 0.0) for case in cases] for one in scores)
        change = paired_change(before, after)
        if change is not None:
            changes[region] = change
    return changes


def _told(change: Change) -> str:
    low, high = change.ci95
    return f"{change.change:+.3f} Dice, p = {change.p:.3f}, 95 % interval {low:+.3f} to {high:+.3f}"


def _objection(policy: FinetunePolicy, gained: Change | None, kept: Mapping[str, Change]) -> str:
    """Say why a candidate is not put to use; empty where it may be."""
    needed = max(policy.least_held_back, LEAST_CASES)
    if gained is None or gained.n < needed:
        count = 0 if gained is None else gained.n
        return f"Only {count} corrections were held back to judge it; {needed} are needed."
    if gained.change <= policy.least_gain or gained.p > SIGNIFICANT:
        return f"Not better on {gained.n} held-back corrections: {_told(gained)}."
    if not kept:
        return "There is no reference set to show that nothing was forgotten."
    worse = {region: change for region, change in kept.items() if change.change < -policy.margin}
    if worse:
        told = ", ".join(f"{region} {change.change:+.3f}" for region, change in sorted(worse.items()))
        return f"Worse on the reference set by more than {policy.margin:g} Dice: {told}."
    return ""
