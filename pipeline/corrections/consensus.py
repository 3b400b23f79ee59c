"""One set of regions from those of several readers: STAPLE, region by region.

Simultaneous truth and performance level estimation (Warfield et al., IEEE Trans Med Imaging 23, 2004), as SimpleITK has
it, weighs each reader by how well he agrees with what all of them make likely. With two readers there is nothing to
weigh by: all voxels that only the one drew are as likely as each other, so that the outcome is what both drew, one
reader's whole contour, or what either drew; which of these is told.
"""

import hashlib
import re
from collections.abc import Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
import SimpleITK as sitk

from pipeline.corrections.meaning import complete
from pipeline.corrections.record import CASE_ID
from pipeline.corrections.study import Mask
from pipeline.names import TUMOUR_REGIONS, Region

#: How far around all that was drawn voxels take part: far background would make each reader look specific.
_MARGIN_MM: Final = 5.0
#: Probability that a voxel must exceed; a voxel that the readers leave undecided is left out.
_MORE_LIKELY: Final = 0.5 + 1e-6
_NOTE: Final = re.compile(r"\b(?:{}): [^.]+(?=\.)".format("|".join(TUMOUR_REGIONS)))


@dataclass(frozen=True)
class ReadRegions:
    """The regions of one reader.

    Attributes
    ----------
    masks
        All three, bool, shape (slices, rows, columns) of the reference series.
    said
        Those that the reader drew, left as they were or deleted. A region that a reader did not draw is not taken for
        empty: he has no voice on it.
    """

    masks: Mapping[Region, Mask]
    said: frozenset[Region]


@dataclass(frozen=True)
class AgreedRegions:
    """A consensus.

    Attributes
    ----------
    regions
        All three, nested; a region that nobody drew is the automatic one.
    notes
        How each came about, in words, a sentence each without its full stop.
    """

    regions: dict[Region, Mask]
    notes: tuple[str, ...]


def consensus(readers: Ordered[ReadRegions], automatic: Mapping[Region, Mask], grid: sitk.Image) -> AgreedRegions:
    """Put the regions of several readers together.

    Parameters
    ----------
    readers
        At least two.
    automatic
        What the network had drawn, all three, same shape.
    grid
        Gives the spacing.

    Returns
    -------
    AgreedRegions
        Nested by the rule of corrections: an inner region widens those around it, and a region that nobody drew is cut
        to them.
    """
    agreed: dict[Region, Mask] = {}
    notes = []
    for region in TUMOUR_REGIONS:
        masks = [one.masks[region] for one in readers if region in one.said]
        if masks:
            agreed[region], words = _agreed(masks, grid)
        else:
            words = "drawn by nobody, automatic"
        notes.append(f"{region}: {words}")
    return AgreedRegions(complete(agreed, automatic), tuple(notes))


def _agreed(masks: list[Mask], grid: sitk.Image) -> tuple[Mask, str]:
    if len(masks) == 1:
        return masks[0], "drawn by one reader only, as he drew it"
    either, both = np.logical_or.reduce(masks), np.logical_and.reduce(masks)
    if (either == both).all():
        return both, f"{len(masks)} readers agree" if both.any() else f"{len(masks)} readers find none"
    found, sensitivities = _staple(masks, either, grid)
    if len(masks) > 2:
        told = ", ".join(f"{100 * one:.0f} %" for one in sensitivities)
        return found, f"{len(masks)} readers by STAPLE, sensitivities {told}"
    known = (("what both drew", both), ("what either drew", either))
    outcome = next((name for name, mask in known if (found == mask).all()), "the whole contour of one")
    return found, f"2 readers, {outcome}"


def _staple(masks: list[Mask], either: Mask, grid: sitk.Image) -> tuple[Mask, tuple[float, ...]]:
    """Return what is more likely than not, and the share of it that each reader drew."""
    x, y, z = grid.GetSpacing()
    box = []
    for axis, spacing in enumerate((z, y, x)):
        others = tuple(other for other in range(3) if other != axis)
        places = np.flatnonzero(either.any(axis=others))
        margin = ceil(_MARGIN_MM / spacing)
        box.append(slice(max(int(places[0]) - margin, 0), int(places[-1]) + margin + 1))
    part = tuple(box)
    filter_ = sitk.STAPLEImageFilter()
    filter_.SetForegroundValue(1.0)
    images = [sitk.GetImageFromArray(np.ascontiguousarray(mask[part]).astype(np.uint8)) for mask in masks]
    likely = sitk.GetArrayFromImage(filter_.Execute(images))
    found = np.zeros_like(either)
    found[part] = likely > _MORE_LIKELY
    return found, tuple(filter_.GetSensitivity())


def describe(cases: Ordered[str], notes: Ordered[str]) -> str:
    """Words of a consensus for its structure set, behind "Consensus of": of which cases, how."""
    method = f"STAPLE (SimpleITK {sitk.Version.VersionString()})"
    return f"{len(cases)} readers by {method}: {', '.join(cases)}. " + " ".join(f"{one}." for one in notes)


def described(words: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cases and notes from what :func:`describe` said."""
    return tuple(re.findall(CASE_ID, words.partition(". ")[0])), tuple(_NOTE.findall(words))


def seed_of(job: str, cases: Ordered[str], regions: Mapping[Region, Mask]) -> str:
    """Seed of a consensus' UIDs, made of its regions, too: where a person edits it in place, they fit no longer."""
    digest = hashlib.sha256()
    for region in TUMOUR_REGIONS:
        digest.update(np.packbits(regions[region]).tobytes())
    return f"consensus {job} {' '.join(sorted(cases))} {digest.hexdigest()}"
