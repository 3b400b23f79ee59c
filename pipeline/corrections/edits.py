"""Quick edits of a result, as the dashboard sends them: what a person says of single voxels.

The regions are nested, so that a voxel is told by how deep it lies: 0 outside of the tumour, 1 in the whole tumour
only, 2 in its core, 3 in what enhances. Whatever is sent, the regions stay nested.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StrictBool, StrictInt

from pipeline.corrections.record import CASE_ID
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.records import Record

Mask = NDArray[np.bool_]

#: Depth of a voxel that nobody touched.
UNTOUCHED: Final = -1
_DEEPEST: Final = len(TUMOUR_REGIONS)
_MOST_SLICES: Final = 2000
_MOST_NUMBERS: Final = 150_000


class EditedSlice(Record):
    """Voxels of one slice.

    Attributes
    ----------
    slice
        From 0, as the dashboard counts them.
    runs
        Three numbers for each run of voxels, row by row: how many were passed over since the run before, how many it
        has, and how deep they lie.
    """

    slice: Annotated[StrictInt, Field(ge=0)]
    runs: Annotated[list[Annotated[StrictInt, Field(ge=0)]], Field(max_length=_MOST_NUMBERS)]


class Edits(Record):
    """Body of ``POST /glioloop/jobs/{job}/edits``.

    Attributes
    ----------
    slices
        What was painted or erased, against the automatic contours; each slice once.
    after
        The correction that the edits go on from, and hold as well; None where there was none.
    accept
        Whether the contours are also approved.
    """

    slices: Annotated[tuple[EditedSlice, ...], Field(min_length=1, max_length=_MOST_SLICES)]
    after: Annotated[str, Field(pattern=rf"^{CASE_ID}$")] | None = None
    accept: StrictBool = False

    def check(self, size: tuple[int, int, int]) -> None:
        """Refuse what does not lie on slices of this size.

        Parameters
        ----------
        size
            Columns, rows, slices of the reference series.

        Raises
        ------
        GlioLoopError
            REQUEST_INVALID.
        """
        columns, rows, count = size
        named = [one.slice for one in self.slices]
        if len(set(named)) < len(named) or max(named) >= count:
            raise GlioLoopError("REQUEST_INVALID", f"slices: each once, from 0 to {count - 1}")
        for one in self.slices:
            gaps, lengths, depths = one.runs[::3], one.runs[1::3], one.runs[2::3]
            if len(one.runs) % 3 or not lengths or 0 in lengths or max(depths) > _DEEPEST:
                raise GlioLoopError("REQUEST_INVALID", f"runs of slice {one.slice}: gap, length and depth of each")
            if sum(gaps) + sum(lengths) > columns * rows:
                raise GlioLoopError("REQUEST_INVALID", f"runs of slice {one.slice}: beyond {columns} x {rows} voxels")

    def depths(self, size: tuple[int, int, int]) -> NDArray[np.int8]:
        """Tell how deep each voxel lies, by what the person said of it.

        Parameters
        ----------
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
        self.check(size)
        columns, rows, count = size
        depths = np.full((count, rows * columns), UNTOUCHED, np.int8)
        for one in self.slices:
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
        As :meth:`Edits.depths` gives them, same shape.

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
