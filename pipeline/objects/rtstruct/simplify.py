"""Fewer points with a bounded error, and the test that no contour crosses itself or another."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours, successors

#: A preferred point is kept in place of the farthest one that is at most so many times farther away.
_PREFERENCE = 4.5


#: Pairs of segments that are looked at in one piece.
_PAIRS_AT_ONCE = 4_000_000


class TangledError(ValueError):
    """Contours whose segments lie beside each other so often that they are no drawing."""


def simplify(
    contours: Contours, scale: tuple[float, float], tolerance: float, preferred: NDArray[np.bool_] | None = None
) -> Contours:
    """Drop points that lie within a tolerance of the polygon that remains.

    The method is Douglas and Peucker's (Cartographica 10(2), 1973), run on all polygons at once, level by
    level. A polygon that would cross itself or another of its slice keeps all its points.

    Parameters
    ----------
    contours
        Polygons in pixels.
    scale
        Distances between columns and between rows, mm.
    tolerance
        Largest distance of a dropped point from the new polygon, mm.
    preferred
        (n,) which points to keep rather than others, where either will do; None for none.

    Returns
    -------
    Contours
        Polygons of at least 3 points each.
    """
    if not len(contours.starts):
        return contours
    if preferred is not None:
        order = _from_preferred(contours, preferred)
        contours = Contours(contours.points[order], contours.starts, contours.slices)
        preferred = preferred[order]
    points = contours.points * np.array(scale)
    kept = _douglas_peucker(points, contours.starts, contours.lengths, tolerance, preferred)
    owner = np.repeat(np.arange(len(contours.starts)), contours.lengths)
    counts = np.bincount(owner[kept], minlength=len(contours.starts))
    kept |= (counts < 3)[owner]
    result = _selected(contours, owner, kept)
    for _ in range(3):  # a restored polygon could meet a simplified neighbour: look again
        crossing = crossing_polygons(result)
        if not crossing.any():
            break
        kept |= crossing[owner]
        result = _selected(contours, owner, kept)
    return result


def _selected(contours: Contours, owner: NDArray[np.int64], kept: NDArray[np.bool_]) -> Contours:
    counts = np.bincount(owner[kept], minlength=len(contours.starts))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    return Contours(contours.points[kept], starts, contours.slices)


def _from_preferred(contours: Contours, preferred: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the order of points in which every polygon begins with its first preferred one, if it has any."""
    starts, lengths = contours.starts, contours.lengths
    index = np.arange(len(contours.points))
    first = np.minimum.reduceat(np.where(preferred, index, len(index)), starts)
    first = np.where(first < len(index), first, starts) - starts
    first = np.where(first < lengths, first, 0)
    local = index - np.repeat(starts, lengths)
    return np.asarray(np.repeat(starts, lengths) + (local + np.repeat(first, lengths)) % np.repeat(lengths, lengths))


def _douglas_peucker(
    points: NDArray[np.float64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    tolerance: float,
    preferred: NDArray[np.bool_] | None = None,
) -> NDArray[np.bool_]:
    """Return (n,) which points stay. Each interval is (first, last): chord between them, points in between.

    A polygon begins as one interval from its first point round to itself; that chord is a point, and the
    farthest point from it becomes the second corner.
    """
    kept = np.zeros(len(points), dtype=bool)
    kept[starts] = True
    first, stop, chord_end = starts.copy(), starts + lengths, starts.copy()
    while len(first):
        inner = stop - first - 1
        busy = inner > 0
        first, stop, chord_end, inner = first[busy], stop[busy], chord_end[busy], inner[busy]
        if not len(first):
            break
        begin = np.concatenate([[0], np.cumsum(inner)[:-1]])
        index = np.arange(int(inner.sum())) + np.repeat(first + 1 - begin, inner)
        distance = _squared_distance(
            points[index], np.repeat(points[first], inner, 0), np.repeat(points[chord_end], inner, 0)
        )
        worst = np.maximum.reduceat(distance, begin)
        target = worst
        if preferred is not None:
            distance = np.where(preferred[index], distance, distance / _PREFERENCE**2)
            target = np.maximum.reduceat(distance, begin)
        candidates = np.where(distance == np.repeat(target, inner), index, len(points))
        corner = np.minimum.reduceat(candidates, begin)
        split = worst > tolerance**2
        first, stop, chord_end, corner = first[split], stop[split], chord_end[split], corner[split]
        kept[corner] = True
        first, stop, chord_end = (
            np.concatenate([first, corner]),
            np.concatenate([corner, stop]),
            np.concatenate([corner, chord_end]),
        )
    return kept


def _squared_distance(
    points: NDArray[np.float64], start: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n,) squared distances of points (n, 2) from segments start-end, each (n, 2)."""
    chord = end - start
    offset = points - start
    length = np.einsum("ij,ij->i", chord, chord)
    along = np.clip(np.einsum("ij,ij->i", offset, chord) / np.where(length > 0, length, 1), 0, 1)
    rest = offset - along[:, None] * chord
    return np.asarray(np.einsum("ij,ij->i", rest, rest))


def crossing_polygons(contours: Contours, most_pairs: float = np.inf) -> NDArray[np.bool_]:
    """Return (m,) which polygons properly cross themselves or another polygon of the same slice.

    Parameters
    ----------
    contours
        Polygons in any planar coordinates.
    most_pairs
        Of segments that lie beside each other.

    Raises
    ------
    TangledError
        Where there are more such pairs.
    """
    crossing = np.zeros(len(contours.starts), dtype=bool)
    if not len(contours.starts):
        return crossing
    owner = np.repeat(np.arange(len(contours.starts)), contours.lengths)
    start = contours.points
    end = contours.points[successors(contours.starts, len(start))]
    for first, second in _candidates(start, end, contours.slices[owner], most_pairs):
        p, q, r, s = start[first], end[first], start[second], end[second]
        apart = (_side(p, q, r) * _side(p, q, s) < 0) & (_side(r, s, p) * _side(r, s, q) < 0)
        crossing[owner[first[apart]]] = True
        crossing[owner[second[apart]]] = True
    return crossing


def _side(p: NDArray[np.float64], q: NDArray[np.float64], r: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n,) on which side of the line p-q the point r lies: the sign of the cross product."""
    return np.asarray((q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0]))


def _candidates(
    start: NDArray[np.float64], end: NDArray[np.float64], slices: NDArray[np.int64], most_pairs: float
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give the pairs of segments of a slice whose bounding boxes overlap (a sweep along the rows), some at a time."""
    low, high = np.minimum(start, end), np.maximum(start, end)
    # Slices are laid one below the other on one long sheet.
    sheet = slices * (float(high[:, 1].max() - low[:, 1].min()) + 1.0)
    order = np.argsort(low[:, 1] + sheet)
    top, bottom = (low[:, 1] + sheet)[order], (high[:, 1] + sheet)[order]
    partners = np.searchsorted(top, bottom, side="right") - np.arange(len(order)) - 1
    if int(partners.sum()) > most_pairs:
        raise TangledError
    total = np.cumsum(partners)
    place = 0
    while place < len(order):
        done = int(total[place] - partners[place])
        stop = max(place + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")))
        count = partners[place:stop]
        first = np.repeat(np.arange(place, stop), count)
        begin = np.repeat(total[place:stop] - count, count) - done
        second = np.arange(len(first)) - begin + first + 1
        first, second = order[first], order[second]
        overlap = (low[first, 0] <= high[second, 0]) & (low[second, 0] <= high[first, 0])
        yield first[overlap], second[overlap]
        place = stop
