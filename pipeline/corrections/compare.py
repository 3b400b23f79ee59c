"""How a correction differs from what the network had drawn."""

import numpy as np
import SimpleITK as sitk

from pipeline.corrections.record import RegionDifference
from pipeline.corrections.study import Mask
from pipeline.evaluation.metrics import score_region

_ML_PER_MM3 = 1e-3


def difference(automatic: Mask, corrected: Mask, grid: sitk.Image, drawn: bool) -> RegionDifference:
    """Compare a region before and after.

    Parameters
    ----------
    automatic, corrected
        bool, shape (slices, rows, columns) of the grid.
    grid
        Gives the spacing.
    drawn
        Whether a person drew the region, or it was taken over.

    Returns
    -------
    RegionDifference
        Dice is 1 where both are empty; HD95 (mm) is None where either is.
    """
    x, y, z = grid.GetSpacing()
    voxel_ml = float(np.prod((x, y, z))) * _ML_PER_MM3
    score = score_region(automatic, corrected, (z, y, x))
    measurable = bool(automatic.any() and corrected.any())
    return RegionDifference(
        dice=round(score.dice, 4),
        hd95_mm=round(score.hd95_mm, 2) if measurable else None,
        added_ml=round(int((corrected & ~automatic).sum()) * voxel_ml, 3),
        removed_ml=round(int((automatic & ~corrected).sum()) * voxel_ml, 3),
        automatic_ml=round(score.volume_ml, 3),
        corrected_ml=round(score.truth_ml, 3),
        drawn=drawn,
    )
