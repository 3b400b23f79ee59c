"""Borders on the series' own voxels: a network's voxels are coarser than rims and edges are.

What a network of 1.5 or 2 mm says of a voxel of 1 mm comes from its neighbours; the image itself says how bright that
voxel is. Both are added up as log-odds. Brightness is measured between what surely belongs to a region and its
surroundings.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.align import Alignment
from pipeline.names import MRSequence, Region
from pipeline.registry import ModelCard, Sharpening
from pipeline.volume.records import SourceVolume

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Probability above which a voxel surely belongs to the region, and where that is less than 30 mm³, the lower one.
_SURE: Final = (0.6, 0.3)
_LEAST_MM3: Final = 30.0
#: What a region is compared with: less probable than this, as far away at most, inside the region around it.
_APART: Final = 0.1
_NEAR_MM: Final = 10.0
_INSIDE: Final = 0.3
_LEAST_VOXELS: Final = 4
#: No voxel counts for more than this, however bright or dark it is.
_MOST: Final = 1.5
_EPSILON: Final = np.float32(1e-4)


@dataclass(frozen=True)
class Signal:
    """What a region is sharpened by.

    Attributes
    ----------
    volume
        A series.
    transform
        Maps points of the reference series' space to the series'.
    rule
        Of the model card.
    """

    volume: SourceVolume
    transform: sitk.Transform
    rule: Sharpening


def signals(
    card: ModelCard, volumes: Mapping[MRSequence, SourceVolume], alignments: Mapping[MRSequence, Alignment]
) -> dict[Region, Signal]:
    """What the model card's rules take of a study; a sequence that lacks sharpens nothing."""
    return {
        region: Signal(volumes[rule.sequence], alignments[rule.sequence].transform, rule)
        for region, rule in card.postprocessing.sharpening.items()
        if rule.sequence in volumes
    }


def sharpen(native: sitk.Image, probability: sitk.Image, around: sitk.Image | None, signal: Signal) -> Array:
    """Let brightness decide with the network where the border of a region lies.

    Parameters
    ----------
    native
        Probability of the region on the reference series' voxels, float32.
    probability, around
        Of the region and of the one that it lies in, on the network's grid, in the reference series' space (LPS, mm);
        None where it lies in no other.
    signal
        The series whose brightness it is.

    Returns
    -------
    ``native``, float32, axes (slice, row, column), sharpened where the series was imaged; as it is where nothing is
    sure, or what is sure is not brighter than its surroundings.
    """
    values: Array = sitk.GetArrayFromImage(native)
    levels = _levels(probability, around, signal)
    if levels is None:
        return values
    dark, bright = levels
    shown = (_on(native, signal) - dark) / (bright - dark) - signal.rule.middle
    place = (values > _EPSILON) & np.isfinite(shown)
    odds = np.log(values[place] / np.maximum(1 - values[place], _EPSILON))
    odds += np.float32(signal.rule.weight) * np.clip(shown[place], -_MOST, _MOST)
    values[place] = 1 / (1 + np.exp(-odds))
    return values


def least(threshold: float, rule: Sharpening) -> float:
    """Probability from which a voxel may reach a threshold once it is sharpened."""
    odds = np.log(threshold / (1 - threshold)) - rule.weight * (_MOST - rule.middle)
    return float(1 / (1 + np.exp(-odds)))


def _on(grid: sitk.Image, signal: Signal) -> Array:
    """The series on a grid, not a number where it was not imaged."""
    image, valid = signal.volume.image, signal.volume.valid
    moved = sitk.GetArrayFromImage(
        sitk.Resample(image, grid, signal.transform, sitk.sitkLinear, np.nan, sitk.sitkFloat32)
    )
    if valid is not None:
        seen = sitk.Resample(valid, grid, signal.transform, sitk.sitkNearestNeighbor)
        moved[sitk.GetArrayViewFromImage(seen) == 0] = np.nan
    return np.asarray(moved, dtype=np.float32)


def _levels(probability: sitk.Image, around: sitk.Image | None, signal: Signal) -> tuple[float, float] | None:
    """Brightness around a region, and of it."""
    values = sitk.GetArrayViewFromImage(probability)
    spacing = probability.GetSpacing()[::-1]
    sure = _sure(values, float(np.prod(spacing)))
    if sure is None:
        return None
    box = _near(sure, spacing)
    slices, rows, columns = box
    brightness = _on(probability[columns, rows, slices], signal)
    values, sure = values[box], sure[box]
    seen = np.isfinite(brightness)
    apart = seen & (values < _APART) & (ndimage.distance_transform_edt(~sure, sampling=spacing) < _NEAR_MM)
    if around is not None:
        apart &= sitk.GetArrayViewFromImage(around)[box] > _INSIDE
    if min(apart.sum(), (sure & seen).sum()) < _LEAST_VOXELS:
        return None
    dark, bright = float(np.median(brightness[apart])), float(np.median(brightness[sure & seen]))
    return (dark, bright) if bright > dark else None


def _near(mask: Mask, spacing: tuple[float, ...]) -> tuple[slice, ...]:
    """The box around a mask that holds all that is near it."""
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    margins = [int(_NEAR_MM / one) + 1 for one in spacing]
    return tuple(slice(max(0, one.start - more), one.stop + more) for one, more in zip(found, margins, strict=True))


def _sure(values: Array, voxel_mm3: float) -> Mask | None:
    for least in _SURE:
        sure = np.asarray(values > least)
        if sure.sum() * voxel_mm3 >= _LEAST_MM3:
            return sure
    return None
