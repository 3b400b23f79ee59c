"""How well a segmentation agrees with the truth.

Dice (Dice, Ecology 26, 1945); HD95, the 95th percentile of the surface distances, and the normalised surface Dice
(Nikolov et al., arXiv:1809.04430), both by their authors' own package, between surface elements weighted by area;
detection lesion by lesion, and Dice and HD95 by lesion in :mod:`pipeline.evaluation.lesions`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import surface_distance
from scipy import ndimage

from pipeline.evaluation.lesions import EMPTY_HD95_MM, score_lesions

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RegionScore:
    """Agreement on one region.

    Attributes
    ----------
    dice
        1 where both are empty.
    hd95_mm
        0 where both are empty, :data:`EMPTY_HD95_MM` where one is.
    surface_dice
        Share of both surfaces within the tolerance of the other.
    volume_ml, truth_ml, volume_error_ml
        Found, true, and found - true.
    lesions, lesions_found, false_lesions
        Connected parts of the truth; those that the segmentation touches; parts found that touch none.
    lesion_dice, lesion_hd95_mm
        As :class:`~pipeline.evaluation.lesions.LesionScore` has them.
    """

    dice: float
    hd95_mm: float
    surface_dice: float
    volume_ml: float
    truth_ml: float
    volume_error_ml: float
    lesions: int
    lesions_found: int
    false_lesions: int
    lesion_dice: float
    lesion_hd95_mm: float


def dice(found: Mask, truth: Mask) -> float:
    """Dice coefficient; 1 where both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2 * int((found & truth).sum()) / total


def score_region(
    found: Mask,
    truth: Mask,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float = 1.0,
    least_lesion_ml: float = 0.05,
) -> RegionScore:
    """Score one region of one case.

    Parameters
    ----------
    found, truth
        bool, shape (z, y, x).
    spacing_mm
        (z, y, x).
    tolerance_mm
        Of the surface Dice.
    least_lesion_ml
        Smaller parts are not counted as lesions.
    """
    voxel_ml = float(np.prod(spacing_mm)) / 1000
    if found.any() and truth.any():
        # padded, because the package loses the surface where a mask touches the border of its array
        distances = surface_distance.compute_surface_distances(np.pad(truth, 1), np.pad(found, 1), spacing_mm)
        hd95 = float(surface_distance.compute_robust_hausdorff(distances, 95))
        surface = float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance_mm))
    else:
        same = found.any() == truth.any()
        hd95, surface = (0.0, 1.0) if same else (EMPTY_HD95_MM, 0.0)
    lesions, hit, _ = _lesions(truth, found, voxel_ml, least_lesion_ml)
    _, _, false = _lesions(found, truth, voxel_ml, least_lesion_ml)
    volume, true_volume = float(found.sum()) * voxel_ml, float(truth.sum()) * voxel_ml
    wise = score_lesions(found, truth, spacing_mm)
    return RegionScore(
        dice=dice(found, truth),
        hd95_mm=hd95,
        surface_dice=surface,
        volume_ml=volume,
        truth_ml=true_volume,
        volume_error_ml=volume - true_volume,
        lesions=lesions,
        lesions_found=hit,
        false_lesions=false,
        lesion_dice=wise.dice,
        lesion_hd95_mm=wise.hd95_mm,
    )


def _lesions(mask: Mask, other: Mask, voxel_ml: float, least_ml: float) -> tuple[int, int, int]:
    """Number of parts of a mask (26-connected), how many the other mask touches, and how many not."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count == 0:
        return 0, 0, 0
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:] * voxel_ml
    touched = np.isin(np.arange(1, count + 1), labels[other])
    big = sizes >= least_ml
    return int(big.sum()), int((big & touched).sum()), int((big & ~touched).sum())


def bootstrap_interval(values: npt.ArrayLike, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of the mean (Efron, 1979); both ends are the value itself for a single one."""
    sample = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    means = sample[rng.integers(0, sample.size, (draws, sample.size))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
