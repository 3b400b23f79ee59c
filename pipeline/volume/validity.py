"""Which voxels of a series were really imaged, and how dark the darkest of them are."""

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

#: Least share of a slice's border that a constant background holds.
_BORDER_SHARE = 0.1
#: Least share of a slice that a constant background holds.
_SLICE_SHARE = 0.005
#: Percentile of the values imaged that is the darkest: an odd voxel far below the rest says nothing.
_DARKEST = 0.05
#: Values that the percentile is taken from.
_LOOKED_AT = 1_000_000


def reaching_the_border(mask: Mask) -> Mask:
    """Connected parts of a mask (row, column) that touch its border."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    touching = np.zeros(count + 1, dtype=bool)
    touching[_border(labels)] = True
    touching[0] = False
    return np.asarray(touching[labels])


def constant_border(values: NDArray[np.float32]) -> Mask | None:
    """Where a slice is of one exact value from its border inwards; None where it is nowhere.

    So are images that were turned onto another grid, stripped of the skull, or cut off; noise never is over more
    than a few pixels.

    Parameters
    ----------
    values
        One slice, shape (row, column).
    """
    kinds, counts = np.unique(_border(values), return_counts=True)
    if counts.max() < _BORDER_SHARE * counts.sum():
        return None
    same = values == kinds[np.argmax(counts)]
    found = reaching_the_border(_opened(same))
    return found if found.sum() >= max(_SLICE_SHARE * found.size, 1) else None


def without_background(
    values: NDArray[np.float32], padded: Mapping[int, Mask] | None = None
) -> NDArray[np.uint8] | None:
    """Where a volume was imaged: neither padding nor constant background.

    Parameters
    ----------
    values
        Axes (slice, row, column).
    padded
        Padding by number of slice, as far as there is any.

    Returns
    -------
    1 where imaged, else 0; None where all was.
    """
    valid = np.ones(values.shape, dtype=np.uint8)
    for k, (slice_, seen) in enumerate(zip(values, valid, strict=True)):
        for mask in ((padded or {}).get(k), constant_border(slice_)):
            if mask is not None:
                seen[mask] = 0
    return None if valid.all() else valid


def _border(slice_: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.concatenate([slice_[0], slice_[-1], slice_[1:-1, 0], slice_[1:-1, -1]])


def _opened(mask: Mask) -> Mask:
    """What 3 x 3 squares inside a mask cover; beyond the border all is taken for more of the same."""
    wide = np.pad(mask, 1, constant_values=True)
    rows = wide[:, :-2] & wide[:, 1:-1] & wide[:, 2:]
    eroded = np.pad(rows[:-2] & rows[1:-1] & rows[2:], 1)
    rows = eroded[:, :-2] | eroded[:, 1:-1] | eroded[:, 2:]
    return np.asarray((rows[:-2] | rows[1:-1] | rows[2:]) & mask)


def darkest(image: sitk.Image, valid: sitk.Image | None) -> float:
    """Grey value of air and of what was not imaged: the foot of every intensity of a series.

    Parameters
    ----------
    image
        Grey values, 3D.
    valid
        1 where imaged, on the same grid; None where all is.
    """
    values = np.asarray(sitk.GetArrayViewFromImage(image)).ravel()
    step = max(1, values.size // _LOOKED_AT)
    values = values[::step]
    if valid is None:
        return float(np.percentile(values, _DARKEST))
    imaged = np.asarray(sitk.GetArrayViewFromImage(valid)).ravel()[::step] > 0
    low = float(np.percentile(values[imaged], _DARKEST)) if imaged.any() else float(values.min())
    # A constant background belongs to the image's own scale; padding was given its lowest value on reading.
    return min(low, float(values[~imaged].min())) if not imaged.all() else low
