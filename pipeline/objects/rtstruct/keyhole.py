"""Holes joined to the border around them by a channel of no width (PS3.3, C.8.8.6.3, the keyhole technique)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours

#: Points closer than this, in pixels, are one.
_SAME_POINT = 1e-3
#: Most pairs of a point and a segment that are looked at together, for the memory's sake.
_LARGEST_BLOCK = 2_000_000


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
    Border and holes are joined as by Prim's minimum spanning tree (Bell System Technical Journal 36(6), 1957), each
    hole by the shortest connection to a border that is joined already. Such connections cross neither a border, or
    that border would be nearer, nor each other, or exchanging their ends would make the tree shorter.
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


@dataclass(frozen=True)
class _Foot:
    """Where a channel begins or ends: ``along`` (0 to 1) the segment after a corner."""

    corner: int
    along: float


@dataclass(frozen=True)
class _Bridge:
    """The shortest connection of a hole and a border; its length is squared, mm²."""

    length: float = np.inf
    border: int = 0
    at_border: _Foot = _Foot(0, 0.0)
    at_hole: _Foot = _Foot(0, 0.0)


@dataclass
class _Border:
    """A border in the tree: its points (n, 2), where it is joined to its parent, and which holes where to it."""

    points: NDArray[np.float64]
    entry: _Foot = _Foot(0, 0.0)
    joined: list[tuple[_Foot, int]] = field(default_factory=list)


def _joined(
    outer: NDArray[np.float64], holes: list[NDArray[np.float64]], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return one polygon of an outer border and its holes."""
    borders = [_Border(outer), *map(_Border, holes)]
    bridges = dict.fromkeys(range(1, len(borders)), _Bridge())
    newest = 0
    while bridges:
        others = sorted(bridges)
        found = _bridges(borders[newest].points * scale, [borders[hole].points * scale for hole in others], newest)
        for hole, bridge in zip(others, found, strict=True):
            bridges[hole] = min(bridges[hole], bridge, key=lambda one: one.length)
        newest = min(bridges, key=lambda hole: bridges[hole].length)
        bridge = bridges.pop(newest)
        borders[newest].entry = bridge.at_hole
        borders[bridge.border].joined.append((bridge.at_border, newest))
    return np.array(_tour(borders)) if holes else outer


def _bridges(border: NDArray[np.float64], holes: list[NDArray[np.float64]], number: int) -> list[_Bridge]:
    """Return the shortest connection of each hole to a border (in mm); it begins or ends at a corner."""
    lengths = np.array([len(hole) for hole in holes])
    starts = np.cumsum(lengths) - lengths
    corners = np.concatenate(holes)
    ends = np.concatenate([np.roll(hole, -1, axis=0) for hole in holes])
    to_border = _nearest(corners, border, np.roll(border, -1, axis=0))
    # The other way round, for each segment of the holes the nearest corner of the border.
    to_hole = _nearest_corners(border, corners, ends)
    bridges = []
    for start, length in zip(starts, lengths, strict=True):
        own = slice(start, start + length)
        first, second = int(np.argmin(to_border[0][own])), int(np.argmin(to_hole[0][own]))
        if to_border[0][own][first] <= to_hole[0][own][second]:
            foot = _Foot(int(to_border[1][own][first]), float(to_border[2][own][first]))
            bridges.append(_Bridge(float(to_border[0][own][first]), number, foot, _Foot(first, 0.0)))
        else:
            foot = _Foot(second, float(to_hole[2][own][second]))
            at_border = _Foot(int(to_hole[1][own][second]), 0.0)
            bridges.append(_Bridge(float(to_hole[0][own][second]), number, at_border, foot))
    return bridges


_Nearest = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]


def _nearest(points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]) -> _Nearest:
    """Return for each point the squared distance of the nearest segment, its index and how far along it that is."""
    step = max(1, _LARGEST_BLOCK // len(start))
    parts = []
    for first in range(0, len(points), step):
        squared, along = _distances(points[first : first + step], start, end)
        best = np.argmin(squared, axis=1)
        row = np.arange(len(best))
        parts.append((squared[row, best], best, along[row, best]))
    distance, segment, along = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return distance, segment, along


def _nearest_corners(points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]) -> _Nearest:
    """Return for each segment the squared distance of the nearest point, its index and how far along that is."""
    step = max(1, _LARGEST_BLOCK // len(points))
    parts = []
    for first in range(0, len(start), step):
        squared, along = _distances(points, start[first : first + step], end[first : first + step])
        best = np.argmin(squared, axis=0)
        column = np.arange(len(best))
        parts.append((squared[best, column], best, along[best, column]))
    distance, corner, along = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return distance, corner, along


def _distances(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (points, segments) squared distances, and where along each segment (0 to 1) its nearest point lies."""
    chord = end - start
    across, down = (points[:, None, axis] - start[None, :, axis] for axis in (0, 1))
    length = np.sum(chord * chord, axis=1)
    along = np.clip((across * chord[:, 0] + down * chord[:, 1]) / np.where(length > 0, length, 1), 0, 1)
    return (across - along * chord[:, 0]) ** 2 + (down - along * chord[:, 1]) ** 2, along


def _tour(borders: list[_Border]) -> list[NDArray[np.float64]]:
    """Return the points met on a walk along the first border and, where one is joined, into and round each hole.

    Both ways of a channel have the very same ends: a pixel centre on it is crossed twice.
    """
    walked: list[NDArray[np.float64]] = []
    ahead = [iter(_round(borders[0]))]
    while ahead:
        step = next(ahead[-1], None)
        if step is None:
            ahead.pop()
        elif isinstance(step, int):
            ahead.append(iter(_round(borders[step], closed=True)))
        else:
            walked.append(step)
    return walked


def _round(border: _Border, closed: bool = False) -> list[NDArray[np.float64] | int]:
    """Return the points of a border from its entry on, after each the numbers of the holes joined there."""
    points = border.points
    following = np.roll(points, -1, axis=0)
    feet = [(border.entry, -1), *border.joined]
    met: dict[tuple[int, float], list[int]] = {(corner, 0.0): [] for corner in range(len(points))}
    for foot, hole in feet:
        met.setdefault(_settled(foot, points, following), []).append(hole)
    places = sorted(met)
    first = places.index(_settled(border.entry, points, following))
    steps: list[NDArray[np.float64] | int] = []
    for corner, along in [*places[first:], *places[:first]]:
        point = points[corner] + along * (following[corner] - points[corner])
        steps.append(point)
        for hole in met[corner, along]:
            if hole >= 0:
                steps += [hole, point]
    return [*steps, steps[0]] if closed else steps


def _settled(foot: _Foot, points: NDArray[np.float64], following: NDArray[np.float64]) -> tuple[int, float]:
    """Return corner and distance along of a foot; the corner itself where the foot is as good as there."""
    reach = np.abs(following[foot.corner] - points[foot.corner]).max()
    if foot.along * reach < _SAME_POINT:
        return foot.corner, 0.0
    if (1 - foot.along) * reach < _SAME_POINT:
        return (foot.corner + 1) % len(points), 0.0
    return foot.corner, foot.along
