"""Which lesions of one region may be the same, and who is who when all of them are looked at together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

from pipeline.course.symmetry import Points

#: Lesions that share this part of the smaller one belong together.
_SHARED: Final = 0.1
#: One that shares less has moved by more than half of itself, or is another beside it: told.
_SURELY: Final = 0.3
#: Voxels of the smaller lesion that lie farther out of the larger one are noise of its outline, percent.
_MOST: Final = 90
#: What any pair counts, and what it counts that both have the same voxels, beside 1 for lying at one place.
_LEAST: Final = 0.05
_SAME: Final = 2.0


@dataclass(frozen=True)
class Pair:
    """Places of two lesions of one region that belong together.

    Attributes
    ----------
    before, after
        Their places in the two studies.
    overlap
        In voxels; 0 where they are only near.
    score
        How much speaks for their being the same: above 0, up to 3.
    sure
        Whether they share enough to be surely the same.
    """

    before: int
    after: int
    overlap: int
    score: float
    sure: bool = True


def pairs_of(
    before: Sequence[Points],
    after: Sequence[Points],
    overlap: NDArray[np.int64],
    reach_mm: NDArray[np.float64],
) -> list[Pair]:
    """Return the lesions that share a tenth of the smaller one or lie within reach.

    Parameters
    ----------
    before, after
        The voxels of each lesion in one space and on one grid, LPS mm, shape (n, 3).
    overlap
        How many voxels they share, shape (before, after).
    reach_mm
        How far the smaller of both may lie beside the larger; 0 where it must share. Shape (before, after).
    """
    found = []
    for one, other in np.ndindex(*reach_mm.shape):
        smaller, larger = sorted((before[one], after[other]), key=len)
        if not len(smaller):
            continue
        shared, reach = overlap[one, other] / len(smaller), float(reach_mm[one, other])
        at_one_place = 1 - (_beside_mm(smaller, larger, 2 * reach) / reach) ** 2 if reach else 0.0
        if shared >= _SHARED or at_one_place > _LEAST:
            same = _SAME * 2 * float(overlap[one, other]) / (len(smaller) + len(larger))
            counted = int(overlap[one, other]) if shared >= _SHARED else 0
            found.append(Pair(one, other, counted, max(at_one_place, _LEAST) + same, bool(shared >= _SURELY)))
    return found


def _beside_mm(smaller: Points, larger: Points, most_mm: float) -> float:
    """How far a lesion would have to move to lie within a larger one."""
    nearest = KDTree(larger).query(smaller, distance_upper_bound=most_mm)[0]
    return float(np.percentile(np.minimum(nearest, most_mm), _MOST))


def gap_mm(one: Points, other: Points) -> float:
    """The distance of two lesions' nearest voxels."""
    return float(KDTree(one).query(other)[0].min())


def carried(pairs: Iterable[Pair]) -> dict[int, int]:
    """Which lesion after goes on under whose name: each name once, so that most speaks for all together.

    Examples
    --------
    >>> carried([Pair(0, 1, 100, 2.0), Pair(1, 1, 90, 1.9), Pair(0, 0, 50, 1.5)])
    {0: 0, 1: 1}
    """
    kept = list(pairs)
    if not kept:
        return {}
    scores = np.zeros((1 + max(one.before for one in kept), 1 + max(one.after for one in kept)))
    for pair in kept:
        scores[pair.before, pair.after] = pair.score
    chosen = zip(*linear_sum_assignment(scores, maximize=True), strict=True)
    return dict(sorted((int(after), int(before)) for before, after in chosen if scores[before, after] > 0))
