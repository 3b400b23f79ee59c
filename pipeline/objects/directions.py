"""Directions of the patient in letters (PS3.3, C.7.6.1.1.1)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_LETTERS: Final = (("L", "R"), ("P", "A"), ("H", "F"))
#: Cosine from which on a direction is named.
_LEAST: Final = 0.35


def direction_letters(vector: NDArray[np.float64]) -> str:
    """Return the patient directions that a unit vector (3,), LPS, points to, the strongest first.

    Examples
    --------
    >>> direction_letters(np.array([0.8, -0.6, 0.0]))
    'LA'
    """
    order = [axis for axis in np.argsort(-np.abs(vector)) if abs(vector[axis]) > _LEAST]
    return "".join(_LETTERS[axis][0 if vector[axis] > 0 else 1] for axis in order)
