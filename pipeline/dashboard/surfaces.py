"""Surfaces of the regions and of what lies around them, which the dashboard turns about: ``surfaces.bin``.

For orientation, not for measuring: millilitres come from voxels, not from surfaces.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import marching_cubes

from pipeline.names import DELINEATED_REGIONS, Region
from pipeline.objects.regions import REGION_STYLES
from pipeline.volume.boxes import places_of

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

NAME: Final = "surfaces"
#: What the regions lie in, where the network tells no brain.
HEAD: Final = "head"
#: Sides of the voxels that surfaces follow; wider ones where a surface would have too many triangles.
_SIDES_MM: Final = (1.0, 2.0, 3.0)
_MOST_TRIANGLES: Final = 80_000
#: What lies around only says where.
_AROUND_MM: Final = 4.0
_HALF: Final = 0.5
#: How much of a block is filled at the surface; just below a half, which blocks of even numbers of voxels have.
_LEVEL: Final = 0.499
#: Smoothing that does not shrink: steps inwards and outwards in turn (Taubin, SIGGRAPH 1995).
_STEPS_OF_SMOOTHING: Final = (0.5, -0.53) * 12
#: Points of a part below which it is left as it is: it would lose its form.
_SMALL: Final = 60
#: Steps of a coordinate over the length of a surface: a hundredth of a millimetre or less.
_STEPS: Final = np.iinfo(np.uint16).max
#: Empty voxels around the field, so that the surface is closed.
_RIM: Final = 2


@dataclass(frozen=True)
class Surface:
    """A closed surface of triangles.

    Attributes
    ----------
    points
        Shape (n, 3), LPS, mm.
    triangles
        Shape (m, 3): rows of ``points``, counter-clockwise as seen from outside.
    """

    points: Points
    triangles: NDArray[np.int64]

    def volume_ml(self) -> float:
        """Volume that it encloses; negative were it turned inside out."""
        a, b, c = (self.points[self.triangles[:, corner]] for corner in range(3))
        return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6000)


def surface_of(mask: sitk.Image, sides_mm: tuple[float, ...] = _SIDES_MM) -> Surface | None:
    """Return the smoothed surface of a mask; None where it is empty.

    Voxels finer than wanted are put together first. However much is smoothed, the surface runs between the voxels of
    the mask and those beside it, and every part of the mask has one, were it a single voxel.

    Parameters
    ----------
    mask
        uint8, 0 or 1, in any orientation.
    sides_mm
        Sides of the voxels to follow; the first with which there are not too many triangles.
    """
    for side in sides_mm:
        found = _surface(mask, side)
        if found is None or len(found.triangles) <= _MOST_TRIANGLES:
            return found
    return found


def around_of(found: sitk.Image, level: float) -> Surface | None:
    """Return the surface of what the regions lie in: of all at and above ``level``, the largest part."""
    inside = sitk.RelabelComponent(sitk.ConnectedComponent(found >= level)) == 1
    return surface_of(sitk.BinaryFillhole(inside), (_AROUND_MM,))


def head_of(image: sitk.Image) -> Surface | None:
    """Return the surface of the head, told from the dark around it by Otsu's threshold."""
    pairs = zip(image.GetSpacing(), image.GetSize(), strict=True)
    factors = [min(max(1, round(_AROUND_MM / mm)), count) for mm, count in pairs]
    small = sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)
    return around_of(sitk.OtsuThreshold(small, 0, 1), 1)


def encoded(surfaces: Mapping[str, Surface | None]) -> bytes:
    """Return surfaces as the dashboard reads them.

    Parameters
    ----------
    surfaces
        By region or :data:`HEAD`; None is left out.

    Returns
    -------
    bytes
        Little-endian: uint32, length of what follows as JSON, padded to a multiple of 4; then of each surface in
        turn its points (uint16, three each: ``origin`` plus ``step`` times the number, LPS, mm), padded likewise, and
        its triangles (three each, uint16 or as ``wide`` says uint32), padded likewise.
    """
    heads: list[dict[str, object]] = []
    bodies: list[bytes] = []
    for name, surface in surfaces.items():
        if surface is None:
            continue
        origin = surface.points.min(axis=0)
        step = max(float(np.ptp(surface.points, axis=0).max()), 1e-6) / _STEPS
        wide = len(surface.points) > _STEPS
        heads.append(
            {
                "name": str(name),
                "points": len(surface.points),
                "triangles": len(surface.triangles),
                "wide": wide,
                "origin": [round(one, 4) for one in origin.tolist()],
                "step": step,
                "colour": list(REGION_STYLES[Region(name)].colour) if name in DELINEATED_REGIONS else None,
            }
        )
        bodies.append(_padded(np.rint((surface.points - origin) / step).astype("<u2").tobytes()))
        bodies.append(_padded(surface.triangles.astype("<u4" if wide else "<u2").tobytes()))
    head = json.dumps({"surfaces": heads}, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 4)
    return b"".join([struct.pack("<I", len(head)), head, *bodies])


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)


def _surface(mask: sitk.Image, side_mm: float) -> Surface | None:
    filled = np.asarray(sitk.GetArrayViewFromImage(mask) > 0)
    box = next(iter(ndimage.find_objects(filled.astype(np.uint8))), None)
    if box is None:
        return None
    factors = [max(1, round(side_mm / one)) for one in mask.GetSpacing()[::-1]]
    corners, triangles, _, _ = marching_cubes(_put_together(filled[box], factors), _LEVEL)  # type: ignore[no-untyped-call]
    corners = _smoothed(corners.astype(np.float64), triangles)
    # From places in the padded field to voxels of the mask: a block's centre is that of its voxels.
    first = np.array([one.start for one in box])
    index = (corners - _RIM) * factors + (np.array(factors) - 1) / 2 + first
    points = places_of(index, mask)
    surface = Surface(points, triangles.astype(np.int64))
    return surface if surface.volume_ml() >= 0 else Surface(points, surface.triangles[:, ::-1])


def _put_together(mask: Mask, factors: list[int]) -> NDArray[np.float32]:
    """Return how much of each block of voxels is filled, with an empty rim; the fullest of each part counts as full."""
    rest = [-n % f for n, f in zip(mask.shape, factors, strict=True)]
    whole = np.pad(mask, [(0, one) for one in rest])
    shape = [part for n, f in zip(whole.shape, factors, strict=True) for part in (n // f, f)]
    filled = np.pad(whole.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32), _RIM)
    if max(factors) > 1:
        parts, count = ndimage.label(filled > 0, ndimage.generate_binary_structure(3, 3))
        for fullest in ndimage.maximum_position(filled, parts, range(1, count + 1)):
            filled[fullest] = 1
    return filled


def _smoothed(points: Points, triangles: NDArray[np.int32]) -> Points:
    """Smooth a surface; no point moves by more than half a voxel along any axis.

    Parameters
    ----------
    points
        Shape (n, 3), in voxels.
    triangles
        Shape (m, 3).
    """
    n = len(points)
    ends = np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    # Every edge is there once in each direction: the surface is closed.
    beside = csr_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n))
    _, part = connected_components(beside, directed=False)
    large = (np.bincount(part)[part] >= _SMALL)[:, np.newaxis]
    count = beside.sum(axis=1)[:, np.newaxis]
    moved = points
    for step in _STEPS_OF_SMOOTHING:
        moved = moved + step * (beside @ moved / count - moved)
    return np.where(large, np.clip(moved, points - _HALF, points + _HALF), points)
