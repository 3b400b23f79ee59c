"""Which contours of an ROI belong to which slice of a volume."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.volume.records import SourceVolume

#: A contour may leave its plane by this part of the slice distance and is still taken for planar.
_FLATNESS = 0.25
#: Contour planes closer than this part of the slice distance are one plane.
_SAME_PLANE = 0.1
#: A contour plane stands for a slab at most this many slices thick.
_THICKEST_SLAB = 3.0


@dataclass(frozen=True)
class PlacedContours:
    """Contours on the slices of a volume.

    Attributes
    ----------
    contours
        In pixels; a contour that stands for several slices occurs on each.
    used
        Number of the contours handed in that lie on a slice.
    warnings
        What was unusual, in words.
    """

    contours: Contours
    used: int
    warnings: tuple[str, ...]


def to_index(points: NDArray[np.float64], volume: SourceVolume) -> NDArray[np.float64]:
    """Map points (n, 3), LPS, mm, to (n, 3): column, row, slice of the volume, continuous, centres at integers."""
    image = volume.image
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return np.asarray((points - np.array(image.GetOrigin())) @ direction / np.array(image.GetSpacing()))


def parallel(polygons: Sequence[NDArray[np.float64]], volume: SourceVolume) -> NDArray[np.bool_]:
    """Return (m,) which contours lie within a plane that is parallel to the volume's slices."""
    return np.array([np.ptp(to_index(polygon, volume)[:, 2]) <= _FLATNESS for polygon in polygons], dtype=bool)


def place(polygons: Sequence[NDArray[np.float64]], volume: SourceVolume) -> PlacedContours:
    """Assign contours to slices by their position.

    Parameters
    ----------
    polygons
        Points (n, 3) of each contour, LPS, mm. Images that contours name are not relied on: position decides.
    volume
        The volume.

    Returns
    -------
    PlacedContours
        A contour on a slice's plane belongs to that slice. Contours between slices stand for a slab around their
        plane as thick as the distance of the ROI's planes; a slice takes the nearest plane whose slab holds its
        centre. Contours that are not parallel to the slices, and exact duplicates, are left out with a warning.
    """
    lengths = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    if not len(lengths):
        return PlacedContours(_no_contours(), 0, ())
    points = to_index(np.concatenate(polygons), volume)
    starts = np.cumsum(lengths) - lengths
    height = np.add.reduceat(points[:, 2], starts) / lengths
    spread = np.maximum.reduceat(points[:, 2], starts) - np.minimum.reduceat(points[:, 2], starts)
    warnings = []
    flat = spread <= _FLATNESS
    if not flat.all():
        warnings.append(f"{int((~flat).sum())} contours are not parallel to the slices and were left out")
    fresh = flat & ~_duplicates(points, starts, lengths, height)
    if (flat & ~fresh).any():
        warnings.append(f"{int((flat & ~fresh).sum())} duplicate contours were left out")
    chosen, slices, between = _slices(height, fresh, volume.image.GetSize()[2])
    if between:
        warnings.append("contours lie between the slices; each slice took the nearest")
    used = len(np.unique(chosen))
    if used < int(fresh.sum()):
        warnings.append(f"{int(fresh.sum()) - used} contours lie on no slice")
    return PlacedContours(_gathered(points, starts, lengths, chosen, slices), used, tuple(warnings))


def _no_contours() -> Contours:
    return Contours(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, np.int64))


def _duplicates(
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    height: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return (m,) which contours repeat an earlier one, in any order of points; they would cancel each other."""
    sums = np.add.reduceat(points, starts)
    keys = np.round(np.column_stack([lengths, height, sums[:, 0], sums[:, 1]]), 3)
    _, group, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    repeated = np.zeros(len(starts), dtype=bool)
    seen: set[bytes] = set()
    for index in np.flatnonzero(counts[group.reshape(-1)] > 1).tolist():
        own = np.round(points[starts[index] : starts[index] + lengths[index]], 3) + 0.0
        key = own[np.lexsort(own.T)].tobytes()
        repeated[index] = key in seen
        seen.add(key)
    return repeated


def _slices(
    height: NDArray[np.float64], usable: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
    """Return pairs (contour, slice), ordered by slice, and whether planes lie between slices."""
    candidates = np.flatnonzero(usable & (height > -_THICKEST_SLAB) & (height < count + _THICKEST_SLAB))
    if not len(candidates):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), False
    order = candidates[np.argsort(height[candidates], kind="stable")]
    new_plane = np.concatenate([[True], np.diff(height[order]) > _SAME_PLANE])
    plane_of = np.cumsum(new_plane) - 1
    planes = np.bincount(plane_of, weights=height[order]) / np.bincount(plane_of)
    between = bool((np.abs(planes - np.round(planes)) > _SAME_PLANE).any())
    pitch = float(np.diff(planes).min()) if between and len(planes) > 1 else 1.0
    reach = max(1.0, min(pitch, _THICKEST_SLAB)) / 2
    index = np.arange(count)
    behind = np.clip(np.searchsorted(planes, index), 1, max(1, len(planes) - 1))
    nearest = behind if len(planes) > 1 else np.zeros(count, np.int64)
    if len(planes) > 1:
        nearest = np.where(np.abs(planes[behind - 1] - index) <= np.abs(planes[behind] - index), behind - 1, behind)
    held = np.abs(planes[nearest] - index) <= reach
    pairs = [(int(contour), int(k)) for k in index[held] for contour in order[plane_of == nearest[k]]]
    contours, slices = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return contours, slices, between


def _gathered(
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    chosen: NDArray[np.int64],
    slices: NDArray[np.int64],
) -> Contours:
    if not len(chosen):
        return _no_contours()
    counts = lengths[chosen]
    new_starts = np.cumsum(counts) - counts
    index = np.arange(int(counts.sum())) + np.repeat(starts[chosen] - new_starts, counts)
    return Contours(points[index, :2], new_starts, slices)
