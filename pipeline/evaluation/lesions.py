"""Lesion-wise Dice and HD95 as the BraTS challenge defines them since 2023.

Every lesion of the truth counts the same whatever its size, and every false one counts as a miss (Saluja et al.,
BraTS-2023-Metrics; Moawad et al., arXiv:2306.00838).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import surface_distance
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

EMPTY_HD95_MM = 373.13
"""HD95 where one of both is empty: BraTS's penalty, the diagonal of its volume (240, 240, 155 mm)."""
#: Parts of the truth whose dilations by so many voxels touch are one lesion.
_DILATIONS: Final = 3
#: Smaller lesions, of the truth and false ones, are not counted.
_LEAST_MM3: Final = 50.0
_TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class LesionScore:
    """Means over the lesions of one region of one case; 1 and 0 where there is none and none was found.

    Attributes
    ----------
    dice
        False lesions count as 0.
    hd95_mm
        Missed and false lesions count as :data:`EMPTY_HD95_MM`.
    """

    dice: float
    hd95_mm: float


def score_lesions(found: Mask, truth: Mask, spacing_mm: tuple[float, float, float]) -> LesionScore:
    """Score a segmentation lesion by lesion.

    Parameters
    ----------
    found, truth
        bool, shape (z, y, x).
    spacing_mm
        (z, y, x).
    """
    least = _LEAST_MM3 / float(np.prod(spacing_mm))
    grown = ndimage.binary_dilation(truth, ndimage.generate_binary_structure(3, 2), iterations=_DILATIONS)
    lesions, count = ndimage.label(grown, _TOUCHING)
    parts, part_count = ndimage.label(found, _TOUCHING)
    matched: set[int] = set()
    scores: list[tuple[float, float]] = []
    for lesion in range(1, count + 1):
        own = truth & (lesions == lesion)
        touching = set(np.unique(parts[lesions == lesion]).tolist()) - {0}
        matched |= touching
        if own.sum() >= least:
            scores.append(_pair(np.isin(parts, list(touching)), own, spacing_mm))
    sizes = np.bincount(parts.ravel(), minlength=part_count + 1)
    false = [part for part in range(1, part_count + 1) if part not in matched and sizes[part] >= least]
    scores += [(0.0, EMPTY_HD95_MM)] * len(false)
    if not scores:
        return LesionScore(1.0, 0.0)
    dices, distances = zip(*scores, strict=True)
    return LesionScore(float(np.mean(dices)), float(np.mean(distances)))


def _pair(found: Mask, truth: Mask, spacing_mm: tuple[float, float, float]) -> tuple[float, float]:
    if not found.any():
        return 0.0, EMPTY_HD95_MM
    box = ndimage.find_objects((found | truth).astype(np.uint8))[0]
    found, truth = np.pad(found[box], 1), np.pad(truth[box], 1)
    distances = surface_distance.compute_surface_distances(truth, found, spacing_mm)
    dice = 2 * int((found & truth).sum()) / (int(found.sum()) + int(truth.sum()))
    return dice, float(surface_distance.compute_robust_hausdorff(distances, 95))
