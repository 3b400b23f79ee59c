"""Points that mean the same to readers that round them to whole pixels.

Such readers (rt-utils) take a pixel for inside as soon as a point rounds to it. Which points of a contour are written
is free within the tolerance of its simplification, so those are preferred that round to a pixel inside. The contour
itself stays where it is: a contour that pleases such a reader everywhere would run half a pixel inside the border.
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours

#: Points nearer to the border of a pixel's square, in pixels from its centre, may round either way.
_CLEAR = 0.49


def rounds_inside(
    contours: Contours, inside: NDArray[np.bool_], first: tuple[int, int, int] = (0, 0, 0)
) -> NDArray[np.bool_]:
    """Return (n,) which points round to a pixel inside; ``inside`` begins with slice, row and column ``first``."""
    nearest = np.round(contours.points).astype(np.int64)
    low = np.array(first[:0:-1])
    column, row = np.clip(nearest, low, low + np.array(inside.shape[:0:-1]) - 1).T
    clear = (np.abs(contours.points - nearest) <= _CLEAR).all(axis=1)
    clear &= (nearest[:, 0] == column) & (nearest[:, 1] == row)
    slices = np.repeat(contours.slices, contours.lengths) - first[0]
    return np.asarray(clear & inside[slices, row - first[1], column - first[2]])
