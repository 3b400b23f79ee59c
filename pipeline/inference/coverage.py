"""How much of what was found a sequence did not image, and what follows from it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.errors import Flag, GlioLoopError
from pipeline.inference.grids import Array, Sampled
from pipeline.names import MRSequence, Region
from pipeline.registry import ModelCard
from pipeline.volume.validity import Mask

#: From these parts of brain or tumour on, a gap is flagged, and the sequence is not used.
FLAGGED, UNUSABLE = 0.01, 0.10
#: Voxels taken off the brain's surface, where the edges of slices and of a stripped skull lie.
_RIM = 2
_ML_PER_MM3 = 1e-3


@dataclass(frozen=True)
class Gap:
    """What one sequence did not image.

    Attributes
    ----------
    sequence
        Which.
    of
        "brain" or "tumour".
    share
        Part of it that was not imaged, 0-1.
    """

    sequence: MRSequence
    of: str
    share: float

    def __str__(self) -> str:
        return f"{self.sequence.value} does not show {self.share:.0%} of the {self.of}"


def gaps(seen: Sampled, order: Collection[MRSequence], region: Mask, of: str, least_voxels: int = 0) -> list[Gap]:
    """Parts of a region that some sequences show and others do not.

    Parameters
    ----------
    seen
        The sequences on a grid.
    order
        Their names.
    region
        bool, shape (z, y, x), on the same grid.
    of
        What it is.
    least_voxels
        A sequence that misses fewer has no gap.
    """
    region = region & seen.valid.any(axis=0)
    total = int(region.sum())
    found = []
    for sequence, valid in zip(order, seen.valid, strict=True):
        missed = int((region & ~valid).sum())
        if total and valid.any() and missed > least_voxels:
            found.append(Gap(sequence, of, missed / total))
    return [gap for gap in found if gap.share > FLAGGED]


def gaps_of_tumour(seen: Sampled, regions: Mapping[Region, Array], grid: sitk.Image, card: ModelCard) -> list[Gap]:
    """What sequences do not show of the tumour found, specks apart."""
    speck = card.postprocessing.minimum_component_ml.get(Region.WT, 0.0)
    least = int(speck / (float(np.prod(grid.GetSpacing())) * _ML_PER_MM3))
    return gaps(seen, card.grid.order, regions[Region.WT] >= card.threshold(Region.WT), "tumour", least)


def without_rim(mask: Mask) -> Mask:
    """A brain without its rim."""
    return np.asarray(ndimage.binary_erosion(mask, iterations=_RIM))


def to_leave_out(found: Collection[Gap], optional: Collection[MRSequence]) -> set[MRSequence]:
    """Sequences that show too little to be used.

    Parameters
    ----------
    found
        Every gap.
    optional
        Sequences of which one may be left out.

    Raises
    ------
    GlioLoopError
        COVERAGE_INCOMPLETE where one must not lack.
    """
    too_large = [gap for gap in found if gap.share > UNUSABLE]
    left_out = {gap.sequence for gap in too_large}
    if not left_out <= set(optional) or len(left_out) > 1:
        shares: dict[str, object] = {gap.sequence.value: round(gap.share, 3) for gap in too_large}
        raise GlioLoopError("COVERAGE_INCOMPLETE", f"{'; '.join(map(str, too_large))}.", shares)
    return left_out


def flags(found: Collection[Gap], left_out: Collection[MRSequence]) -> tuple[Flag, ...]:
    """Flags for gaps; ``left_out`` names the sequences that were not used for theirs."""
    if not found:
        return ()
    by_sequence: dict[MRSequence, list[Gap]] = {}
    for gap in found:
        by_sequence.setdefault(gap.sequence, []).append(gap)
    told = [
        f"{sequence.value} does not show {' and '.join(f'{gap.share:.0%} of the {gap.of}' for gap in its)}"
        + (" and was left out" if sequence in left_out else "")
        for sequence, its in by_sequence.items()
    ]
    data: Mapping[str, float] = {f"{gap.sequence.value}_{gap.of}": round(gap.share, 3) for gap in found}
    return (Flag("SEQUENCE_INCOMPLETE_COVERAGE", f"{'; '.join(told)}.", dict(data)),)
