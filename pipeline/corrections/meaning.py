"""What a radiologist meant: which ROI counts, what was deleted, what was left as the network had drawn it.

Names hint, and the images decide: every ROI is compared with the automatic contours.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from typing import Final

import numpy as np

from pipeline.corrections.holes import filled_holes
from pipeline.corrections.masks import Drawn, DrawnRoi
from pipeline.corrections.regions import is_edited
from pipeline.corrections.study import Mask
from pipeline.names import REGION_MEANING, TUMOUR_REGIONS, Region

#: Part of the smaller of two ROIs that both share: from here on they are two versions of one thing, not two lesions.
_VERSIONS: Final = 0.5
#: Part of a region that may differ between what was written and what a workstation saved anew, untouched.
_ROUNDING: Final = 0.005


@dataclass(frozen=True)
class Meaning:
    """What an object says of the regions.

    Attributes
    ----------
    regions
        All three, nested; bool, shape (slices, rows, columns).
    said
        Those that it says something of: drawn, left as they were, or deleted. Others are the automatic ones.
    shown
        For regions that are just what some ROIs hold, the numbers of those ROIs.
    undecided
        Regions of which it has several versions that nothing tells apart.
    only_holes
        Whether holes of the automatic regions are filled, and nothing else was changed.
    notes
        What was understood, in words.
    """

    regions: dict[Region, Mask]
    said: frozenset[Region]
    shown: dict[Region, tuple[int, ...]]
    undecided: frozenset[Region]
    only_holes: bool
    notes: tuple[str, ...]


def understand(
    drawn: Drawn,
    automatic: Mapping[Region, Mask],
    edit_of_ours: bool,
    least_voxels: float,
    holes_as_drawn: bool = False,
) -> Meaning:
    """Tell what was meant.

    Parameters
    ----------
    drawn
        The object's ROIs.
    automatic
        What the network had drawn, all three regions, same shape.
    edit_of_ours
        Whether the object is an edited copy of one of this node's: then a region that it lacks was deleted. In any
        other object it was not drawn.
    least_voxels
        A region that differs by no more was not touched.
    holes_as_drawn
        Whether holes that came back filled were filled on purpose.

    Returns
    -------
    Meaning
        Regions that were left as the network had drawn them say nothing against what was drawn or deleted around
        them: they are cut to it. Holes that are filled beside a change of another kind are open again.
    """
    said: dict[Region, Mask] = {}
    shown: dict[Region, tuple[int, ...]] = {}
    undecided: set[Region] = set()
    notes = list(drawn.notes)
    for region in TUMOUR_REGIONS:
        members = drawn.rois.get(region, ())
        if members:
            chosen = _chosen(members, automatic[region], least_voxels)
            if chosen is None:
                undecided.add(region)
                notes.append(f"{region} left out: {_names(members)} differ, and nothing tells which one counts")
                continue
            said[region] = _union(chosen, automatic[region])
            shown[region] = tuple(one.roi.number for one in chosen)
            if len(chosen) > 1:
                notes.append(f"{region} is {_names(chosen)} together")
            elif len(members) > 1:
                notes.append(f"{region} is {_names(chosen)}, not {_names([o for o in members if o not in chosen])}")
        elif edit_of_ours and region not in drawn.unread:
            said[region] = automatic[region] & False
    filled = {} if holes_as_drawn else filled_holes(said, automatic)
    opened = {region: mask & ~filled[region] if region in filled else mask for region, mask in said.items()}
    edited = any(not _same(mask, automatic[region], least_voxels) for region, mask in opened.items())
    if edited:
        said = opened
        notes += [f"{region}: holes that are filled stay open, as the network had drawn them" for region in filled]
    touched = {region: mask for region, mask in said.items() if not _same(mask, automatic[region], least_voxels)}
    regions = complete(touched, automatic)
    notes += _consequences(said, touched, regions, automatic)
    shown = {region: numbers for region, numbers in shown.items() if (regions[region] == said[region]).all()}
    only_holes = bool(touched) and not edited
    if only_holes:
        notes.append(f"only holes of {' and '.join(touched)} are filled: by somebody, or by the viewer?")
    return Meaning(regions, frozenset(said), shown, frozenset(undecided), only_holes, tuple(notes))


def _consequences(
    said: Mapping[Region, Mask],
    touched: Mapping[Region, Mask],
    regions: Mapping[Region, Mask],
    automatic: Mapping[Region, Mask],
) -> list[str]:
    """Tell what deletions and nesting made of the regions."""
    notes = []
    for region in TUMOUR_REGIONS:
        if region in touched and not said[region].any():
            meaning = REGION_MEANING[region].partition(" (")[0]
            kept = " but what was drawn within" if regions[region].any() else ""
            notes.append(f"{region} deleted: no {meaning}{kept}")
        elif region not in touched and (regions[region] != automatic[region]).any():
            notes.append(f"{region}, as the network had drawn it, follows what was changed around it")
    return notes


def complete(drawn: Mapping[Region, Mask], automatic: Mapping[Region, Mask]) -> dict[Region, Mask]:
    """Fill what was not drawn with the automatic regions, and restore ET ⊂ TC ⊂ WT.

    What a person drew is kept: a drawn inner region widens those around it, and only automatic regions
    are cut to the ones around them.

    Parameters
    ----------
    drawn
        Regions that a person drew, bool arrays of one shape.
    automatic
        All three, of the same shape.

    Returns
    -------
    dict
        All three.
    """
    regions = {region: np.array(drawn.get(region, automatic[region])) for region in TUMOUR_REGIONS}
    pairs = [(outer, inner) for index, outer in enumerate(TUMOUR_REGIONS) for inner in TUMOUR_REGIONS[index + 1 :]]
    for outer, inner in pairs:
        if inner in drawn:
            regions[outer] |= regions[inner]
    for outer, inner in pairs:
        if inner not in drawn:
            regions[inner] &= regions[outer]
    return regions


def _chosen(rois: Ordered[DrawnRoi], automatic: Mask, least_voxels: float) -> tuple[DrawnRoi, ...] | None:
    """Choose the ROIs that make up a region; None where several versions are there and nothing tells them apart.

    Two that share little are two lesions, and both count. Of two that share much one is an edited copy: not the one
    that is as the network had drawn it, nor one that is marked AUTOMATIC, but the one whose name says that it was
    worked on.
    """
    filled = [one for one in rois if one.mask.any()]
    if len(filled) < 2:
        return tuple(filled or rois[:1])
    untouched = [one for one in filled if _alike(one.mask, automatic, least_voxels)]
    chosen: list[DrawnRoi] = []
    for versions in _versions([one for one in filled if one not in untouched]):
        kept = _latest(versions)
        if kept is None:
            return None
        chosen.append(kept)
    replaced = any(is_edited(one.roi.name) or _shared(one.mask, automatic) >= _VERSIONS for one in chosen)
    return tuple(chosen if replaced else [*untouched[:1], *chosen])


def _versions(rois: list[DrawnRoi]) -> list[list[DrawnRoi]]:
    """Put together what shares much, directly or through a third."""
    groups: list[list[DrawnRoi]] = []
    for roi in rois:
        near = [group for group in groups if any(_shared(roi.mask, one.mask) >= _VERSIONS for one in group)]
        groups = [group for group in groups if group not in near] + [[*(one for group in near for one in group), roi]]
    return groups


def _latest(versions: list[DrawnRoi]) -> DrawnRoi | None:
    left = versions
    left = [one for one in left if not one.roi.automatic] or left
    left = [one for one in left if is_edited(one.roi.name)] or left
    return left[0] if all((one.mask == left[0].mask).all() for one in left) else None


def _union(rois: Ordered[DrawnRoi], like: Mask) -> Mask:
    return np.asarray(np.logical_or.reduce([like & False, *(one.mask for one in rois)]))


def _names(rois: Ordered[DrawnRoi]) -> str:
    return " and ".join(one.roi.name for one in rois)


def _shared(first: Mask, second: Mask) -> float:
    """Part of the smaller mask that both share."""
    smaller = min(int(first.sum()), int(second.sum()))
    return int((first & second).sum()) / smaller if smaller else 0.0


def _same(mask: Mask, automatic: Mask, least_voxels: float) -> bool:
    return int((mask ^ automatic).sum()) <= least_voxels


def _alike(mask: Mask, automatic: Mask, least_voxels: float) -> bool:
    """Whether an ROI beside another one is the original, give or take what a workstation rounds."""
    return _same(mask, automatic, max(least_voxels, _ROUNDING * int(automatic.sum())))


def resembles(mask: Mask, automatic: Mask) -> bool:
    """Whether an ROI of an unknown name is likely a region that seems to be deleted (Dice of at least a half)."""
    total = int(mask.sum()) + int(automatic.sum())
    return bool(total) and 2 * int((mask & automatic).sum()) >= total / 2
