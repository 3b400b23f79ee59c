"""Quick edits of a result, as the dashboard sends them: what a person says of single voxels.

The regions are nested, so that a voxel is told by how deep it lies: 0 outside of the tumour, 1 in the whole tumour
only, 2 in its core, 3 in what enhances. Whatever is sent, the regions stay nested.
"""

from typing import Annotated, Final

from pydantic import Field, StrictBool, StrictInt

from pipeline.corrections.record import CASE_ID
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS
from pipeline.records import Record

_DEEPEST: Final = len(TUMOUR_REGIONS)
_MOST_SLICES: Final = 2000
_MOST_NUMBERS: Final = 150_000
_MOST_READERS: Final = 100
CaseId = Annotated[str, Field(pattern=rf"^{CASE_ID}$")]


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
    after: CaseId | None = None
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


class ConsensusOptions(Record):
    """Body of ``POST /glioloop/jobs/{job}/consensus``.

    Attributes
    ----------
    readings
        The corrections that it is made of, as the page showed them; None for the latest of each reader.
    accept
        Whether the contours are also approved.
    """

    readings: Annotated[tuple[CaseId, ...], Field(max_length=_MOST_READERS)] | None = None
    accept: StrictBool = False


class AskedConsensus(Record):
    """In the place of :class:`Edits` in the queue: the consensus of these corrections is to be drawn."""

    consensus_of: tuple[CaseId, ...]
    accept: StrictBool = False
