"""Does every slice fit between its neighbours? One that was put in another's place, or is far darker, does not."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Neighbours with less than this share of the widest slices' tissue lie near the ends of the head, where all changes.
_WIDE: Final = 0.5
#: Fewest voxels of tissue that say something.
_FEWEST: Final = 400
#: By how much more the neighbours resemble each other than the slice between them resembles both (correlation): in real
#: series the slice does by 0.01 and more, one that was exchanged with another less than they by 0.07 to 0.33.
_OUT_OF_PLACE: Final = 0.05
#: Neighbours that resemble each other less tell nothing.
_ALIKE: Final = 0.25
#: Brightness as a share of the neighbours': 0.73 to 1.1 in real series.
_DARK, _BRIGHT = 0.67, 1.5


def odd_slices(values: Values, tissue: Mask) -> list[int]:
    """Find slices that do not fit between their neighbours.

    Parameters
    ----------
    values
        Grey values, axes (slice, row, column), along the normal.
    tissue
        Where they are tissue's.

    Returns
    -------
    list
        Places of slices; where one is out of place, a neighbour may be named in its stead.
    """
    wide = tissue.sum(axis=(1, 2))
    if not len(wide):
        return []
    least = max(float(_FEWEST), _WIDE * float(np.percentile(wide, 90)))
    return [k for k in range(1, len(values) - 1) if min(wide[k - 1], wide[k + 1]) >= least and _odd(values, tissue, k)]


def _odd(values: Values, tissue: Mask, place: int) -> bool:
    shown = tissue[place - 1] & tissue[place + 1]
    if shown.sum() < _FEWEST:
        return False
    before, own, after = (values[place + step][shown].astype(np.float64) for step in (-1, 0, 1))
    between = (before + after) / 2
    bright = float(np.median(own)), float(np.median(between))
    if not _DARK * bright[1] <= bright[0] <= _BRIGHT * bright[1]:
        return True
    alike = _correlation(before, after)
    return alike >= _ALIKE and alike - _correlation(own, between) > _OUT_OF_PLACE


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt(one.dot(one) * other.dot(other)))
    return float(one.dot(other)) / size if size else 0.0
