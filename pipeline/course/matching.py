"""Which lesions of two studies are the same, and the tracking UIDs that follow from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import SimpleITK as sitk

from pipeline.course.lesions import Labelled, Labels
from pipeline.course.mass_effect import Gained, gained
from pipeline.course.pairing import Pair, carried, gap_mm, pairs_of
from pipeline.course.records import Lesion
from pipeline.course.symmetry import Points
from pipeline.names import Region
from pipeline.objects.provenance import UidSource
from pipeline.volume.boxes import places_of

#: How far a lesion may lie beside where it was, or by the distance of slices where that is more: what alignment and
#: outlines leave open. What lies farther away is another one, but for what mass effect may have moved.
_REACH_MM: Final = 5.0
#: Whatever has changed around it.
_FARTHEST_MM: Final = 15.0
#: A new lesion whose surface lies so near to where another has vanished may be that one after all. Told.
_NEAR_MM: Final = 5.0
#: Of a lesion of which no more than this is left it may be that only one of those is left that had merged in it.
_SMALLER: Final = 0.5
#: A lesion of which less lies in the other study's field of view cannot be said to have vanished there.
_SEEN: Final = 0.5


@dataclass(frozen=True)
class Matched:
    """The lesions of one region in two studies.

    Attributes
    ----------
    pairs
        The largest overlap first.
    unseen
        Places of those before that the other study's images do not show.
    unsure
        Places of those after whose identity is not sure: by nearness alone, or another one without the brain's shift.
    """

    pairs: tuple[Pair, ...]
    unseen: tuple[int, ...] = ()
    unsure: tuple[int, ...] = ()


def match(
    before: Labelled,
    after: Labelled,
    transform: sitk.Transform,
    local: sitk.Transform | None = None,
    change: Gained | None = None,
) -> Matched:
    """Match the lesions of one region.

    Parameters
    ----------
    before, after
        The two studies' lesions, each on its own grid.
    transform
        Maps a point of ``after``'s space to ``before``'s.
    local
        How the brain has moved in the head: applied to a point of ``after``'s space first; None where it has not.
    change
        What the whole tumour has gained and lost, which may have moved lesions; what these lesions have where it is not
        given.
    """
    change = change or _gained(before, after, transform)
    rigid = _found(before, after, transform, change)
    found = rigid if local is None else _found(before, after, sitk.CompositeTransform([transform, local]), change)
    own, without = carried(found.pairs), carried(rigid.pairs)
    unsure = {place for place in range(len(after.lesions)) if own.get(place) != without.get(place)}
    return replace(found, unsure=tuple(sorted(unsure.union(found.unsure))))


def _gained(before: Labelled, after: Labelled, transform: sitk.Transform) -> Gained:
    return gained(_carry(before, after, transform) > 0, after.array > 0, after.labels)


def _found(before: Labelled, after: Labelled, transform: sitk.Transform, change: Gained) -> Matched:
    """Match by one way from study to study."""
    moved, present = _carry(before, after, transform), after.array
    there, own = _voxels(moved, after.labels, before), _voxels(present, after.labels, after)
    overlap = np.zeros((len(there), len(own)), dtype=np.int64)
    both = (moved > 0) & (present > 0)
    np.add.at(overlap, (moved[both] - 1, present[both] - 1), 1)
    voxel_ml = float(np.prod(after.labels.GetSpacing())) / 1000
    unseen = [place for place, one in enumerate(before.lesions) if len(there[place]) * voxel_ml < _SEEN * one.volume_ml]
    slices_mm = max(*before.labels.GetSpacing(), *after.labels.GetSpacing())
    pushed_mm = np.maximum.outer(change.moved(_centres(there)), change.moved(_centres(own)))
    reach_mm = np.minimum(max(_REACH_MM, slices_mm) + pushed_mm, _FARTHEST_MM)
    reach_mm[unseen] = 0
    possible = pairs_of(there, own, overlap, reach_mm)
    names = carried(possible)
    # What is only near counts where it gives a name; what has moved to where another was is no part of that one.
    near = [one for one in possible if not one.overlap and names.get(one.after) == one.before]
    moved_there = {one.after for one in near}
    pairs = [*(one for one in possible if one.overlap and one.after not in moved_there), *near]
    vanished = set(range(len(there))) - {one.before for one in pairs} - set(unseen)
    nameless = set(range(len(own))) - carried(pairs).keys()
    unsure = {one.after for one in pairs if not one.sure and names.get(one.after) == one.before} | {
        after for after in nameless if any(gap_mm(there[former], own[after]) <= _NEAR_MM for former in vanished)
    }
    return Matched(tuple(sorted(pairs, key=lambda one: -one.overlap)), tuple(unseen), tuple(unsure))


def _voxels(labels: Labels, grid: sitk.Image, whose: Labelled) -> list[Points]:
    """The voxels of each lesion, LPS mm, shape (n, 3)."""
    index = np.argwhere(labels)
    label = labels[tuple(index.T)]
    points = places_of(index, grid)
    return [points[label == place + 1] for place in range(len(whose.lesions))]


def _centres(voxels: list[Points]) -> Points:
    return np.array([one.mean(axis=0) if len(one) else np.zeros(3) for one in voxels]).reshape(-1, 3)


def _carry(before: Labelled, after: Labelled, transform: sitk.Transform) -> Labels:
    """The labels of another study on this one's grid, shape (slices, rows, columns)."""
    moved = sitk.Resample(before.labels, after.labels, transform, sitk.sitkNearestNeighbor)
    return np.asarray(sitk.GetArrayFromImage(moved))


def inherited(before: tuple[Lesion, ...], after: tuple[Lesion, ...], pairs: Iterable[Pair]) -> tuple[Lesion, ...]:
    """Give lesions without a tracking UID those of the lesions that they are the same as.

    Each UID goes on once: of a lesion that has split to one of its parts, of several that have merged that of one, so
    that all together share most (:func:`carried`).

    Parameters
    ----------
    before, after
        Lesions of one region.
    """
    uids = [one.tracking_uid for one in after]
    free = [pair for pair in pairs if not uids[pair.after] and before[pair.before].tracking_uid not in uids]
    for place, former in carried(free).items():
        uids[place] = before[former].tracking_uid
    return _with_uids(after, uids)


def apart_again(
    before: tuple[Lesion, ...],
    after: tuple[Lesion, ...],
    pairs: Iterable[Pair],
    earlier: Iterable[tuple[tuple[Lesion, ...], Iterable[Pair]]],
) -> tuple[Lesion, ...]:
    """Give what is left of a lesion in which several had merged the names that they had before.

    Those are its parts where it has split, and where it has only become smaller that of which a part is left.

    Parameters
    ----------
    before, after, pairs
        Lesions of one region in the study before and in this one, and which belong together.
    earlier
        Lesions of the studies before that, latest first, and which belong together with those of this one. The one that
        shows most of the parts as lesions of their own gives the names; for a single part, one that shows beside it the
        lesion that gave its name to all.
    """
    uids = [one.tracking_uid for one in after]
    studies = [(lesions, list(matched)) for lesions, matched in earlier]
    for place, parts in left_of(before, after, pairs).items():
        lesion = before[place]
        parts -= {part for part in parts if uids[part]}
        others = {one.tracking_uid for one in before if one is not lesion} | set(uids)
        best: dict[int, str] = {}
        for lesions, matched in studies:
            usable = [p for p in matched if p.after in parts and lesions[p.before].tracking_uid not in others]
            names = {part: lesions[former].tracking_uid for part, former in carried(usable).items()}
            shown = {lesions[pair.before].tracking_uid for pair in usable}
            beside = shown != {lesion.tracking_uid} and any(o.tracking_uid == lesion.tracking_uid for o in lesions)
            if len(names) > len(best) and (len(names) > 1 or (len(parts) == 1 and beside)):
                best = names
        for part, uid in best.items():
            uids[part] = uid
    return _with_uids(after, uids)


def left_of(before: Sequence[Lesion], after: Sequence[Lesion], pairs: Iterable[Pair]) -> dict[int, set[int]]:
    """Places of the lesions of which the parts may have had names of their own: it has split or become much smaller."""
    parts: dict[int, set[int]] = {}
    for pair in pairs:
        parts.setdefault(pair.before, set()).add(pair.after)
    return {
        place: found
        for place, found in parts.items()
        if len(found) > 1 or after[min(found)].volume_ml <= _SMALLER * before[place].volume_ml
    }


def known_again(former: Iterable[Lesion], now: Labelled) -> tuple[Lesion, ...]:
    """Give the lesions of a study that is measured anew the tracking UIDs that they had, by a point inside each."""
    uids = ["" for _ in now.lesions]
    for lesion in sorted(former, key=lambda one: -one.volume_ml):
        index = now.labels.TransformPhysicalPointToIndex(lesion.inside)
        within = all(0 <= place < size for place, size in zip(index, now.labels.GetSize(), strict=True))
        label = now.labels.GetPixel(index) if within else 0
        if label and not uids[label - 1]:
            uids[label - 1] = lesion.tracking_uid
    return _with_uids(now.lesions, uids)


def named(lesions: tuple[Lesion, ...], seed: str) -> tuple[Lesion, ...]:
    """Give lesions that are met for the first time a tracking UID; the same seed gives the same."""
    uids = UidSource(seed)
    return _with_uids(lesions, [one.tracking_uid or str(uids.uid(str(place))) for place, one in enumerate(lesions)])


def _with_uids(lesions: tuple[Lesion, ...], uids: list[str]) -> tuple[Lesion, ...]:
    return tuple(one.model_copy(update={"tracking_uid": uid}) for one, uid in zip(lesions, uids, strict=True))


def match_all(
    before: Mapping[Region, Labelled],
    after: Mapping[Region, Labelled],
    transform: sitk.Transform,
    local: sitk.Transform | None = None,
) -> dict[Region, Matched]:
    """Match the lesions of every region that both studies have."""
    whole = Region.WT in before and Region.WT in after
    change = _gained(before[Region.WT], after[Region.WT], transform) if whole else None
    return {
        region: match(before[region], after[region], transform, local, change) for region in after if region in before
    }
