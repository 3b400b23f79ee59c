"""Polygons to masks by the even-odd rule, all slices at once."""

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours, successors


def rasterise(contours: Contours, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return which pixel centres lie inside.

    Parameters
    ----------
    contours
        Polygons in pixels, in either direction, in any order; parts outside the image are cut off.
    shape
        Slices, rows, columns.

    Returns
    -------
    NDArray[np.uint8]
        (slices, rows, columns): 1 where a ray from the pixel's centre crosses the polygons of its slice an odd
        number of times, 0 elsewhere. So a polygon inside another is a hole, one inside that an island, and
        the two ways of a keyhole's channel cancel. Cost grows with the outline, not with the area.
    """
    mask = np.zeros(shape, dtype=np.uint8)
    index, row, column = _crossings(contours, shape)
    if not len(row):
        return mask
    # A crossing at column x flips every pixel from x to the end of the row: mark the flips, then add them up.
    low = np.array([index.min(), row.min(), column.min()])
    high = np.array([index.max(), row.max(), column.max()]) + 1
    flips = np.zeros(high - low, dtype=np.uint8)
    np.add.at(flips, (index - low[0], row - low[1], column - low[2]), 1)
    inside = np.add.accumulate(flips, axis=2, dtype=np.uint8) & 1  # wraps at 256, which keeps the parity
    width = min(high[2], shape[2]) - low[2]
    mask[low[0] : high[0], low[1] : high[1], low[2] : low[2] + width] = inside[:, :, :width]
    return mask


def _crossings(
    contours: Contours, shape: tuple[int, int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return slice, row and first column at or behind each place where an edge crosses a row of pixel centres."""
    nothing = np.zeros(0, dtype=np.int64)
    if not len(contours.starts):
        return nothing, nothing, nothing
    start = contours.points
    end = start[successors(contours.starts, len(start))]
    # An edge crosses the rows from its upper end, included, to its lower end, excluded.
    top = np.ceil(np.clip(np.minimum(start[:, 1], end[:, 1]), 0, shape[1])).astype(np.int64)
    bottom = np.ceil(np.clip(np.maximum(start[:, 1], end[:, 1]), 0, shape[1])).astype(np.int64)
    count = bottom - top
    edge = np.repeat(np.arange(len(start)), count)
    begin = np.cumsum(count) - count
    row = np.arange(len(edge)) - begin[edge] + top[edge]
    run, rise = (end - start)[edge].T
    crossing = start[edge, 0] + (row - start[edge, 1]) * run / rise
    column = np.ceil(np.clip(crossing, 0, shape[2])).astype(np.int64)
    owner = np.repeat(np.arange(len(contours.starts)), contours.lengths)
    index = contours.slices[owner[edge]]
    within = (index >= 0) & (index < shape[0])
    return index[within], row[within], column[within]
