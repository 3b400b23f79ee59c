"""How far a network's probabilities bear out what was drawn."""

from typing import Final

import numpy as np
import numpy.typing as npt

#: Less likely voxels are background: there are so many that what they add up to says nothing.
_LIKELY_FROM: Final = 0.1
#: Volumes far below this one don't count, so that a speck in a healthy brain raises no doubt.
_SMOOTHING_ML: Final = 1.0


def doubt(probability: npt.NDArray[np.float32], threshold: float, voxel_ml: float) -> float:
    """One minus the Dice coefficient that the probabilities themselves lead to expect of a mask cut from them.

    Where a voxel with probability p is tumour in p of all cases, a mask's overlap with the truth has the expectation
    Σp over the mask, and the truth's volume Σp over all; Dice's expectation is close to the ratio of both (Nordström et
    al., Machine Learning in Medical Imaging 2022).

    Parameters
    ----------
    probability
        Of the whole tumour, 0 to 1, any shape.
    threshold
        From which a voxel is drawn.
    voxel_ml
        Volume of a voxel, ml.

    Returns
    -------
    0 (certain) to 1 (nothing of it is likely to be right).
    """
    likely = probability[probability > _LIKELY_FROM].astype(np.float64)
    drawn = likely >= threshold
    overlap = 2 * likely[drawn].sum() * voxel_ml + _SMOOTHING_ML
    volumes = (likely.sum() + drawn.sum()) * voxel_ml + _SMOOTHING_ML
    return float(1 - overlap / volumes)
