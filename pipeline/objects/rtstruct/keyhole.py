"""Holes joined to the border around them by a channel of no width (PS3.3, C.8.8.6.3, the keyhole technique)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours

#: Points closer than this, in pixels, are one.
_SAME_POINT = 1e-3


def keyholed(contours: Contours, scale: tuple[float, float]) -> Contours:
    """Join every hole to the outer border that encloses it.

    Parameters
    ----------
    contours
        Polygons in pixels that do not cross; outer borders with positive, holes with negative area.
    scale
        Distances between columns and between rows, mm.

    Returns
    -------
    Contours
        One polygon for each outer border, with the holes it encloses.

    Notes
    -----
    Holes are joined one by one, each time the one nearest to what is joined already: the shortest connection
    cannot cross a border, or that border would be nearer.
    """
    areas = contours.signed_areas()
    if not (areas < 0).any():
        return contours
    holes_of: dict[int, list[NDArray[np.float64]]] = {}
    for hole in np.flatnonzero(areas < 0).tolist():
        holes_of.setdefault(_enclosing(contours, hole, areas), []).append(contours.polygon(hole))
    polygons, slices = [], []
    for outer in np.flatnonzero(areas >= 0).tolist():
        polygons.append(_joined(contours.polygon(outer), holes_of.get(outer, []), np.array(scale)))
        slices.append(contours.slices[outer])
    counts = np.array([len(polygon) for polygon in polygons])
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    return Contours(np.concatenate(polygons), starts, np.array(slices, dtype=np.int64))


def _enclosing(contours: Contours, hole: int, areas: NDArray[np.float64]) -> int:
    """Return the index of the smallest outer border around a hole."""
    point = contours.polygon(hole)[0]
    candidates = np.flatnonzero((contours.slices == contours.slices[hole]) & (areas > -areas[hole]))
    around = [int(outer) for outer in candidates if _contains(contours.polygon(int(outer)), point)]
    return min(around, key=lambda outer: float(areas[outer]))


def _contains(polygon: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    """Tell by the even-odd rule whether a polygon (n, 2) encloses a point (2,)."""
    following = np.roll(polygon, -1, axis=0)
    spans = (polygon[:, 1] > point[1]) != (following[:, 1] > point[1])
    a, b = polygon[spans], following[spans]
    crossing = a[:, 0] + (point[1] - a[:, 1]) * (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
    return bool(np.count_nonzero(crossing > point[0]) % 2)


def _joined(
    outer: NDArray[np.float64], holes: list[NDArray[np.float64]], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    remaining = list(holes)
    while remaining:
        bridges = [_bridge(outer, hole, scale) for hole in remaining]
        nearest = int(np.argmin([bridge.length for bridge in bridges]))
        bridge, hole = bridges[nearest], remaining.pop(nearest)
        at_outer, at_hole = bridge.outer, bridge.hole
        loop = np.concatenate([hole[at_hole.index + 1 :], hole[: at_hole.index + 1]])
        # Both ways of the channel have the very same ends: a pixel centre on it is crossed twice.
        way = np.concatenate([[at_hole.point], loop, [at_hole.point]] if not at_hole.corner else [loop[-1:], loop])
        if not at_outer.corner:
            way = np.concatenate([[at_outer.point], way])
        outer = np.concatenate([outer[: at_outer.index + 1], way, [at_outer.point], outer[at_outer.index + 1 :]])
    return outer


@dataclass(frozen=True)
class _Foot:
    """Where a channel begins or ends: on the segment after corner ``index``, or at that corner itself."""

    index: int
    point: NDArray[np.float64]
    corner: bool


@dataclass(frozen=True)
class _Bridge:
    """The shortest connection of an outer border and a hole; its length is squared, mm²."""

    length: float
    outer: _Foot
    hole: _Foot


def _bridge(outer: NDArray[np.float64], hole: NDArray[np.float64], scale: NDArray[np.float64]) -> _Bridge:
    """Return the shortest connection of two polygons in pixels; it begins or ends at a corner."""
    length, corner, segment, point = _nearest(hole * scale, outer * scale)
    other = _nearest(outer * scale, hole * scale)
    if length <= other[0]:
        return _Bridge(length, _foot(outer, segment, point / scale), _Foot(corner, hole[corner], True))
    length, corner, segment, point = other
    return _Bridge(length, _Foot(corner, outer[corner], True), _foot(hole, segment, point / scale))


def _foot(polygon: NDArray[np.float64], segment: int, point: NDArray[np.float64]) -> _Foot:
    """Return the foot on a segment; the corner itself where the point is as good as there."""
    for corner in (segment, (segment + 1) % len(polygon)):
        if np.abs(polygon[corner] - point).max() < _SAME_POINT:
            return _Foot(corner, polygon[corner], True)
    return _Foot(segment, point, False)


def _nearest(corners: NDArray[np.float64], polygon: NDArray[np.float64]) -> tuple[float, int, int, NDArray[np.float64]]:
    """Return squared distance, index of the corner, index of the polygon's segment, and the point on it."""
    start = polygon[None]
    chord = np.roll(polygon, -1, axis=0)[None] - start
    offset = corners[:, None] - start
    length = np.sum(chord * chord, axis=2)
    along = np.clip(np.sum(offset * chord, axis=2) / np.where(length > 0, length, 1), 0, 1)
    foot = start + along[..., None] * chord
    distance = np.sum((corners[:, None] - foot) ** 2, axis=2)
    corner, segment = np.unravel_index(int(np.argmin(distance)), distance.shape)
    return float(distance[corner, segment]), int(corner), int(segment), foot[corner, segment]
