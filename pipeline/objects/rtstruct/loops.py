"""The borders of a keyholed polygon, each for itself: what is drawn on a screen has no channels (PS3.3, C.8.8.6.3)."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Points closer than this, in pixels, are one: both ways of a channel end there, as any writer rounds them.
_SAME_POINT: Final = 0.05
_FARTHEST: Final = 1e9
_NEIGHBOURS: Final = tuple((column, row) for column in (0, -1, 1) for row in (0, -1, 1))


def loops(points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Take a polygon apart where its line comes back to a point; a channel, gone through both ways, holds no area.

    Parameters
    ----------
    points
        (n, 2) corners in pixels, the first not repeated.

    Returns
    -------
    list of ndarray
        (k, 2) each: outer borders and holes, of any depth. By the even-odd rule they hold what the polygon held. All
        of the polygon where it holds no area at all.
    """
    if not (np.abs(points) < _FARTHEST).all():  # damaged: no picture holds it
        return [points]
    found: list[NDArray[np.float64]] = []
    walked: list[int] = []
    places: dict[tuple[int, int], int] = {}
    cells = np.round(points / _SAME_POINT).astype(np.int64).tolist()
    for number, (column, row) in enumerate(cells):
        near = (places.get((column + across, row + down)) for across, down in _NEIGHBOURS)
        met = next((one for one in near if one is not None), None)
        if met is None:
            places[column, row] = number
            walked.append(number)
            continue
        begin = walked.index(met)
        loop = walked[begin:]
        for one in loop[1:]:
            del places[tuple(cells[one])]
        del walked[begin + 1 :]
        found.append(points[loop])
    found.append(points[walked])
    return [one for one in found if _holds_area(one)] or [points]


def _holds_area(loop: NDArray[np.float64]) -> bool:
    """Whether a loop is wider than what rounding makes of a line that is gone both ways."""
    column, row = (loop - loop[0]).T
    area = abs(float(column @ np.roll(row, -1) - row @ np.roll(column, -1))) / 2
    length = float(np.hypot(*(np.roll(loop, -1, axis=0) - loop).T).sum())
    return len(loop) > 2 and area > _SAME_POINT * length / 4
