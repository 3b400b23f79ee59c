"""The other side of the brain: the plane between its halves, and what lies at the mirrored place."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, optimize

from pipeline.inference.grids import Array
from pipeline.volume.validity import Mask

#: Grid on which the plane between the halves is looked for.
_COARSE_MM = 8.0
_MAD = 1.4826


@dataclass(frozen=True)
class Mirror:
    """Where the mirrored place of a voxel lies: index -> matrix @ index + offset, axes (z, y, x)."""

    matrix: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]


def moved(array: Array | Mask, mirror: Mirror) -> Array:
    """Return what lies at the mirrored place of each voxel: float32, linear, 0 from beyond the array."""
    given = array.astype(np.float32)
    return np.asarray(ndimage.affine_transform(given, mirror.matrix, mirror.offset, order=1), dtype=np.float32)


def standard(image: Array, inside: Mask) -> Array:
    """Return an image in robust standard deviations from the median inside a mask."""
    middle = float(np.median(image[inside]))
    spread = _MAD * float(np.median(np.abs(image[inside] - middle)))
    return np.asarray((image - middle) / max(spread, 1e-6), dtype=np.float32)


def find_mirror(brain: Mask, score: Array, spacing: npt.NDArray[np.float64]) -> Mirror:
    """Mirror at the plane that makes the brain most alike on both sides: two turns and a shift from its middle.

    Parameters
    ----------
    brain
        Shape (z, y, x); its last axis runs from left to right or back.
    score
        An image of it, from :func:`standard`.
    spacing
        (z, y, x), mm.
    """
    step = np.maximum(1, np.round(_COARSE_MM / spacing)).astype(int)
    coarse = brain[:: step[0], :: step[1], :: step[2]].astype(np.float32)
    grey = np.clip(score, -2, 2)[:: step[0], :: step[1], :: step[2]] * coarse
    picture = coarse * 3 + grey  # mostly the outline: a tumour must not pull the plane
    middle = np.argwhere(coarse > 0).mean(axis=0)

    def unlike(way: npt.NDArray[np.float64]) -> float:
        return float(np.square(moved(picture, _at(way, middle, spacing * step)) - picture).mean())

    best = optimize.minimize(unlike, np.zeros(3), method="Powell", options={"maxfev": 150, "xtol": 0.05, "ftol": 1e-3})
    way = best.x if best.fun < unlike(np.zeros(3)) else np.zeros(3)
    return _at(way, np.argwhere(brain).mean(axis=0), spacing)


def _at(way: npt.NDArray[np.float64], middle: npt.NDArray[np.float64], spacing: npt.NDArray[np.float64]) -> Mirror:
    """Mirror at a plane through a middle (index), its normal turned by tenths of a radian, moved by centimetres."""
    normal = np.array([way[0] / 10, way[1] / 10, 1.0])
    normal /= np.linalg.norm(normal)
    turned = np.eye(3) - 2 * np.outer(normal, normal)
    matrix = np.diag(1 / spacing) @ turned @ np.diag(spacing)
    centre = middle + normal * (way[2] * 10) / spacing
    return Mirror(matrix, centre - matrix @ centre)
