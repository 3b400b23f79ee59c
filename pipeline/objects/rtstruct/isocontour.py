"""Iso-contours of a field on the slices of a volume, all slices at once.

Marching squares (Lorensen and Cline's method in the plane) with linear interpolation. The segments of all
cells form a permutation of the crossed grid edges, so that every contour is closed by construction; its cycles
are the contours. Saddles are decided by the mean of the cell (asymptotic decider, Nielson and Hamann 1991).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Field value that stands for "exactly on the threshold", so that no division by zero can occur.
_TINY = np.float32(1e-6)


@dataclass(frozen=True)
class Contours:
    """Closed polygons on the slices of a volume.

    Attributes
    ----------
    points
        (n, 2) float64: column and row in pixels, the centre of the first pixel at (0, 0). The polygons follow
        one another; the first point of a polygon is not repeated at its end. The inside lies on one side of
        the direction of travel, so that outer borders and holes run in opposite directions.
    starts
        (m,) int64: index of each polygon's first point, ascending; polygons are ordered by slice.
    slices
        (m,) int64: index of each polygon's slice.
    """

    points: NDArray[np.float64]
    starts: NDArray[np.int64]
    slices: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(m,) int64: number of points of each polygon."""
        return np.diff(np.append(self.starts, len(self.points)))

    def polygon(self, index: int) -> NDArray[np.float64]:
        """Return the points (k, 2) of one polygon."""
        return self.points[self.starts[index] : self.starts[index] + self.lengths[index]]

    def signed_areas(self) -> NDArray[np.float64]:
        """Return (m,) areas in pixels; outer borders positive, holes negative."""
        if not len(self.starts):
            return np.zeros(0)
        following = successors(self.starts, len(self.points))
        # Relative to each polygon's first point: small terms keep their digits.
        local = self.points - np.repeat(self.points[self.starts], self.lengths, axis=0)
        column, row = local[:, 0], local[:, 1]
        twice = column * row[following] - column[following] * row
        return np.asarray(np.add.reduceat(twice, self.starts) / 2)


def successors(starts: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return (count,) the index of the point after each point, going round within each polygon."""
    following = np.arange(1, count + 1)
    ends = np.append(starts[1:], count) - 1
    following[ends] = starts
    return following


def iso_contours(
    field: NDArray[np.float32], margin: tuple[float, float] = (0.0, 0.0), first: tuple[int, int, int] = (0, 0, 0)
) -> Contours:
    """Trace the zero level of a field on every slice.

    Parameters
    ----------
    field
        (slices, rows, columns); at least 0 inside, below 0 outside. Where the inside touches the border of a
        slice, the contour is closed half a pixel outside the border's pixel centres.
    margin
        Least distance of a contour from the centres of pixels along columns' and rows' direction, in pixels,
        below 0.5. It keeps every pixel's centre on its side when the contour is simplified or rounded later.
    first
        Slice, row and column that the field begins with.

    Returns
    -------
    Contours
        Every point lies on a line between two neighbouring pixel centres.
    """
    inside = field >= 0
    box = _bounding_box(inside)
    if box is None:
        return Contours(np.zeros((0, 2)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    padded = _padded(field[box], _TINY)
    begin, end = _segments(padded)
    order = np.argsort(begin)
    begin, end = begin[order], end[order]
    cycle, starts = _cycles(np.searchsorted(begin, end))
    points, slices = _crossings(padded, begin, margin)
    offset = np.array([first[2] + box[2].start - 1, first[1] + box[1].start - 1])
    return Contours(points[cycle] + offset, starts, slices[cycle[starts]] + first[0] + box[0].start)


def _bounding_box(inside: NDArray[np.bool_]) -> tuple[slice, slice, slice] | None:
    """Return the box of the inside, one pixel wider in rows and columns where the slice has one."""
    flat = np.asarray(inside.any(axis=0))
    if not flat.any():
        return None
    spans = []
    for axes, wider in ((inside.any(axis=(1, 2)), 0), (flat.any(axis=1), 1), (flat.any(axis=0), 1)):
        lines = np.asarray(axes)
        found = np.flatnonzero(lines)
        spans.append(slice(max(0, int(found[0]) - wider), min(len(lines), int(found[-1]) + 1 + wider)))
    return spans[0], spans[1], spans[2]


def _padded(field: NDArray[np.float32], tiny: np.float32) -> NDArray[np.float32]:
    """Return the field with a border that mirrors it below zero: crossings there lie half a pixel out."""
    padded = np.pad(np.where(np.abs(field) < tiny, np.where(field >= 0, tiny, -tiny), field), ((0, 0), (1, 1), (1, 1)))
    padded[:, 0] = -np.abs(padded[:, 1])
    padded[:, -1] = -np.abs(padded[:, -2])
    padded[:, :, 0] = -np.abs(padded[:, :, 1])
    padded[:, :, -1] = -np.abs(padded[:, :, -2])
    return padded.astype(np.float32, copy=False)


def _segments(field: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the directed segments of all cells as pairs of grid edges.

    An edge is 2 × (flat index of its upper or left node) + (0 along the row, 1 along the column). Going round
    a cell clockwise, a segment begins where the inside is left and ends where it is entered; the neighbouring
    cell sees the same edge the other way round, so that segments join head to tail.
    """
    inside = field >= 0
    a, b, c, d = inside[:, :-1, :-1], inside[:, :-1, 1:], inside[:, 1:, 1:], inside[:, 1:, :-1]
    code = a + 2 * b.view(np.uint8) + 4 * c.view(np.uint8) + 8 * d.view(np.uint8)
    cells = np.argwhere((code > 0) & (code < 15))
    kind = code[tuple(cells.T)]
    node = np.ravel_multi_index(tuple(cells.T), field.shape).astype(np.int64)
    width = field.shape[2]
    edges = np.stack([2 * node, 2 * (node + 1) + 1, 2 * (node + width), 2 * node + 1], axis=1)  # top right bottom left
    corners = np.stack([node, node + 1, node + width + 1, node + width], axis=1)
    saddle_kind = kind.copy()
    saddle = (kind == 5) | (kind == 10)
    # Kinds 16 and 17 are the saddles whose inside is connected through the middle.
    joined = saddle & (field.reshape(-1)[corners].mean(axis=1) > 0)
    saddle_kind[joined] = np.where(kind[joined] == 5, 16, 17)
    begins, ends = [], []
    for value, segments in _TABLE.items():
        chosen = edges[saddle_kind == value]
        for entered, left in segments:
            begins.append(chosen[:, left])
            ends.append(chosen[:, entered])
    return np.concatenate(begins), np.concatenate(ends)


def _table() -> dict[int, tuple[tuple[int, int], ...]]:
    """Return, for each kind of cell, its segments as (edge entered, edge left): 0 top, 1 right, 2 bottom, 3 left."""
    table: dict[int, tuple[tuple[int, int], ...]] = {}
    for kind in range(1, 15):
        corner = [bool(kind >> bit & 1) for bit in range(4)]
        entered = [edge for edge in range(4) if not corner[edge] and corner[(edge + 1) % 4]]
        left = [edge for edge in range(4) if corner[edge] and not corner[(edge + 1) % 4]]
        if len(entered) == 1:
            table[kind] = ((entered[0], left[0]),)
            continue
        # Apart: each inside corner is cut off by its two edges; joined: each outside corner is.
        table[kind] = tuple((edge, (edge + 1) % 4) for edge in entered)
        table[16 if kind == 5 else 17] = tuple((edge, (edge - 1) % 4) for edge in entered)
    return table


_TABLE = _table()


def _cycles(following: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the elements of a permutation cycle by cycle, and the index where each cycle begins."""
    links: list[int] = following.tolist()
    seen = bytearray(len(links))
    order: list[int] = []
    starts: list[int] = []
    for first in range(len(links)):
        if seen[first]:
            continue
        starts.append(len(order))
        element = first
        while not seen[element]:
            seen[element] = 1
            order.append(element)
            element = links[element]
    return np.array(order, dtype=np.int64), np.array(starts, dtype=np.int64)


def _crossings(
    field: NDArray[np.float32], edges: NDArray[np.int64], margin: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return where the zero level crosses edges: (n, 2) column and row in the padded grid, and (n,) slices."""
    node, along_column = edges // 2, edges % 2
    flat = field.reshape(-1)
    near = flat[node].astype(np.float64)
    far = flat[node + np.where(along_column == 1, field.shape[2], 1)].astype(np.float64)
    least = np.where(along_column == 1, margin[1], margin[0])
    fraction = np.clip(near / (near - far), least, 1 - least)
    index, row, column = np.unravel_index(node, field.shape)
    points = np.stack([column + fraction * (1 - along_column), row + fraction * along_column], axis=1)
    return points, np.asarray(index, dtype=np.int64)
