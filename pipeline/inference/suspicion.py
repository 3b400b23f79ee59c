"""A cheap look apart from the network: bright on FLAIR (or T2), unlike the other side of the brain.

It draws nothing. It tells where to look when the network found nothing, or left out what it was not sure of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.inference.grids import Array, Sampled, like
from pipeline.inference.mirror import find_mirror, moved, standard
from pipeline.names import MRSequence, Region
from pipeline.registry import ModelCard
from pipeline.volume.validity import Mask

#: Signal above the brain's usual, in robust standard deviations, and above the same place of the other side.
_BRIGHT, _UNLIKE = 2.0, 2.0
#: Least volume of connected suspicious signal: the most seen in twenty healthy rendered heads was 17.9 ml.
LEAST_ML = 18.0
#: Taken off the brain's surface, where fluid, vessels and an unequal rim lie.
_RIM_MM = 6.0
_SMOOTH_MM = 3.0
_ML_PER_MM3 = 1e-3
_HALF = 0.5


@dataclass(frozen=True)
class Look:
    """What is looked at; all on one grid around the brain, whose first axis runs from left to right or back.

    Attributes
    ----------
    image
        float32: FLAIR, or T2 where there is none.
    brain, valid
        uint8, 0 or 1: the brain, and where the image was taken.
    """

    image: sitk.Image
    brain: sitk.Image
    valid: sitk.Image


@dataclass(frozen=True)
class Suspicion:
    """Signal that may be tumour.

    Attributes
    ----------
    side
        "left" or "right" of the patient.
    centre
        Centroid, LPS, mm.
    volume_ml
        Of the largest connected part.
    """

    side: str
    centre: tuple[float, float, float]
    volume_ml: float

    def __str__(self) -> str:
        place = ", ".join(f"{one:.0f}" for one in self.centre)
        return f"{self.side} side, {self.volume_ml:.0f} ml about ({place}) mm."


def look_of(sampled: Sampled, regions: Mapping[Region, Array], grid: sitk.Image, card: ModelCard) -> Look | None:
    """Gather what a look apart from the network needs; None where no brain is known."""
    order = card.grid.order
    there = [
        k for one in (MRSequence.FLAIR, MRSequence.T2) if one in order and sampled.valid[k := order.index(one)].any()
    ]
    if Region.BRAIN not in regions or not there:
        return None
    brain = (regions[Region.BRAIN] >= card.threshold(Region.BRAIN)) | (regions[Region.WT] >= card.threshold(Region.WT))
    image, valid = sampled.images[there[0]], sampled.valid[there[0]]
    return Look(like(image, grid), like(brain.astype(np.uint8), grid), like(valid.astype(np.uint8), grid))


def suspicious_signal(look: Look) -> sitk.Image:
    """Return where the image is suspicious: uint8 on its grid, 0 or 1."""
    brain, valid = (sitk.GetArrayFromImage(one) > 0 for one in (look.brain, look.valid))
    return suspicious_parts(sitk.GetArrayFromImage(look.image), brain, valid, look.image)


def suspicious_parts(image: Array, brain: Mask, valid: Mask, grid: sitk.Image) -> sitk.Image:
    """Return where an image is suspicious: uint8 on the grid, 0 or 1.

    Parameters
    ----------
    image
        FLAIR, or T2 where there is none; shape (z, y, x).
    brain, valid
        The brain, and where the image was taken.
    grid
        Its last array axis, the first of the image, runs from left to right or back.
    """
    spacing = np.array(grid.GetSpacing()[::-1])
    seen = brain & valid
    inside = ndimage.binary_erosion(seen, iterations=max(1, round(_RIM_MM / float(spacing.mean()))))
    hit = np.zeros(brain.shape, dtype=bool)
    if inside.any():
        score = standard(_smoothed(image, seen, _SMOOTH_MM / spacing), inside)
        mirror = find_mirror(seen, score, spacing)
        opposite = moved(inside, mirror) > _HALF
        other = _smoothed(moved(score, mirror), opposite, 1.5 * _SMOOTH_MM / spacing)
        hit = ndimage.binary_opening(inside & opposite & (score > _BRIGHT) & (score - other > _UNLIKE))
    found = sitk.GetImageFromArray(hit.astype(np.uint8))
    found.CopyInformation(grid)
    return found


def largest(suspicious: sitk.Image, delineated: sitk.Image) -> Suspicion | None:
    """Return the largest suspicious part that was not delineated, None where it is small.

    Parameters
    ----------
    suspicious
        From :func:`suspicious_parts`, on a grid around the brain.
    delineated
        0 or 1, the whole tumour as delivered and a resection cavity, on any grid of the same space.
    """
    there = sitk.Resample(delineated, suspicious, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    drawn = ndimage.binary_dilation(sitk.GetArrayViewFromImage(there) > 0, iterations=2)
    left = ndimage.binary_opening((sitk.GetArrayViewFromImage(suspicious) > 0) & ~drawn)
    labels, count = ndimage.label(left)
    if count == 0:
        return None
    sizes = np.bincount(labels.ravel())[1:]
    volume_ml = float(sizes.max()) * float(np.prod(suspicious.GetSpacing())) * _ML_PER_MM3
    if volume_ml < LEAST_ML:
        return None
    where = np.argwhere(labels == 1 + int(np.argmax(sizes))).mean(axis=0)
    centre = suspicious.TransformContinuousIndexToPhysicalPoint(where[::-1].tolist())
    middle = suspicious.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in suspicious.GetSize()])
    side = "left" if centre[0] > middle[0] else "right"
    return Suspicion(side, (centre[0], centre[1], centre[2]), volume_ml)


def _smoothed(image: Array, mask: Mask, sigma: npt.NDArray[np.float64]) -> Array:
    """Gaussian mean over the mask alone."""
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(mask, image, 0).astype(np.float32), sigma)
    return np.asarray(np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), 0), dtype=np.float32)
