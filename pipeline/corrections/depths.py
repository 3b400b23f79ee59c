"""Edits of the dashboard on masks; apart from what is sent, which the plugin reads without arrays."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.corrections.edits import Edits
from pipeline.corrections.study import Mask
from pipeline.names import TUMOUR_REGIONS, Region

#: Depth of a voxel that nobody touched.
UNTOUCHED: Final = -1


def depths_of(edits: Edits, size: tuple[int, int, int]) -> NDArray[np.int8]:
    """Tell how deep each voxel lies, by what a person said of it.

    Parameters
    ----------
    edits
        What was sent.
    size
        Columns, rows, slices of the reference series.

    Returns
    -------
    NDArray[np.int8]
        (slices, rows, columns); :data:`UNTOUCHED` elsewhere.

    Raises
    ------
    GlioLoopError
        REQUEST_INVALID.
    """
    edits.check(size)
    columns, rows, count = size
    depths = np.full((count, rows * columns), UNTOUCHED, np.int8)
    for one in edits.slices:
        gaps, lengths, values = np.array(one.runs).reshape(-1, 3).T
        ends = np.cumsum(gaps + lengths)
        for end, length, value in zip(ends, lengths, values, strict=True):
            depths[one.slice, end - length : end] = value
    return depths.reshape(count, rows, columns)


def apply_edits(automatic: Mapping[Region, Mask], depths: NDArray[np.int8]) -> dict[Region, Mask]:
    """Put what a person said of single voxels in the place of what the network had drawn there.

    Parameters
    ----------
    automatic
        Regions as the network drew them; bool, shape (slices, rows, columns).
    depths
        As :func:`depths_of` gives them, same shape.

    Returns
    -------
    dict
        The same regions.
    """
    touched = depths != UNTOUCHED
    return {
        region: np.where(touched, depths >= depth, automatic[region])
        for depth, region in enumerate(TUMOUR_REGIONS, 1)
        if region in automatic
    }
