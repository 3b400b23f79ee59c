"""Holes joined to the border around them by a channel of no width (PS3.3, C.8.8.6.3, the keyhole technique)."""

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours


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
        bridges = [_bridge(outer * scale, hole * scale) for hole in remaining]
        nearest = int(np.argmin([bridge[0] for bridge in bridges]))
        _, at_outer, outer_point, at_hole, hole_point = bridges[nearest]
        hole = remaining.pop(nearest)
        loop = np.concatenate([[hole_point / scale], hole[at_hole + 1 :], hole[: at_hole + 1], [hole_point / scale]])
        way = np.concatenate([[outer_point / scale], loop, [outer_point / scale]])
        outer = np.concatenate([outer[: at_outer + 1], way, outer[at_outer + 1 :]])
        outer = outer[np.any(outer != np.roll(outer, 1, axis=0), axis=1)]  # a bridge may begin at a corner
    return outer


_Bridge = tuple[float, int, NDArray[np.float64], int, NDArray[np.float64]]


def _bridge(outer: NDArray[np.float64], hole: NDArray[np.float64]) -> _Bridge:
    """Return the shortest connection: squared length, then for each border the segment's index and the point."""
    from_hole = _nearest(hole, outer)
    from_outer = _nearest(outer, hole)
    if from_hole[0] <= from_outer[0]:
        length, corner, segment, point = from_hole
        return length, segment, point, corner, hole[corner]
    length, corner, segment, point = from_outer
    return length, corner, outer[corner], segment, point


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
