"""How far a tumour that has grown or shrunk may have moved the tissue around it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.course.lesions import Mask
from pipeline.course.symmetry import Points
from pipeline.volume.boxes import places_of

#: What has changed counts in blocks of this size, mm.
_BLOCK_MM: Final = 4.0


@dataclass(frozen=True, eq=False)
class Gained:
    """Where a tumour has gained and lost volume.

    Attributes
    ----------
    places
        LPS mm, shape (n, 3).
    mm3
        What was gained there; below 0 what was lost. Shape (n,).
    """

    places: Points
    mm3: NDArray[np.float64]

    def moved(self, points: Points) -> NDArray[np.float64]:
        """How far points have moved, mm, if the tissue gave way to all that was gained and sank into all that was lost.

        Tissue keeps its volume: what is gained in one place moves what is around it by that volume over the surface of
        the sphere through it. Where a tumour has replaced tissue it moved less, so that this is the most to be expected
        unless the brain as a whole has moved.

        Parameters
        ----------
        points
            LPS mm, shape (n, 3).
        """
        away = points[:, None] - self.places[None]
        far = np.maximum(np.linalg.norm(away, axis=2, keepdims=True), _BLOCK_MM)
        steps = (self.mm3[None, :, None] * away / (4 * np.pi * far**3)).sum(axis=1)
        return np.asarray(np.linalg.norm(steps, axis=1), dtype=np.float64)


def gained(before: Mask, after: Mask, grid: sitk.Image) -> Gained:
    """Compare the whole tumour of two studies on the newer one's grid; shape (slices, rows, columns)."""
    change = after.astype(np.int8) - before.astype(np.int8)
    steps = [max(1, round(_BLOCK_MM / mm)) for mm in grid.GetSpacing()[::-1]]
    padded = np.pad(change, [(0, -size % step) for size, step in zip(change.shape, steps, strict=True)])
    shape = [one for size, step in zip(padded.shape, steps, strict=True) for one in (size // step, step)]
    blocks = padded.reshape(shape).sum(axis=(1, 3, 5), dtype=np.int64)
    index = (np.argwhere(blocks) + 0.5) * np.array(steps) - 0.5
    return Gained(
        places_of(index, grid),
        blocks[blocks != 0] * float(np.prod(grid.GetSpacing())),
    )
