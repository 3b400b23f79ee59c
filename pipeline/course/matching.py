"""Which lesions of two studies are the same, and the tracking UIDs that follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from pipeline.course.lesions import Labelled
from pipeline.course.records import Lesion
from pipeline.names import Region
from pipeline.objects.provenance import UidSource

#: Lesions that share this part of the smaller one belong together.
_SHARED: Final = 0.1
#: One that shares less has moved by more than half of itself, or is another beside it: told.
_SURELY: Final = 0.3
#: Lesions that share nothing do so up to this distance of their surfaces, where neither belongs to another: small ones
#: move by more than their size where the brain has shifted. Told, too.
_NEAR_MM: Final = 5.0
#: A lesion of which less lies in the other study's field of view cannot be said to have vanished there.
_SEEN: Final = 0.5
#: What being near counts beside an overlap in voxels.
_NEARNESS: Final = 0.5


@dataclass(frozen=True)
class Pair:
    """Places of two lesions of one region that belong together.

    Attributes
    ----------
    before, after
        Their places in the two studies.
    overlap
        In voxels; 0 where they are near.
    sure
        Whether they share enough to be surely the same.
    """

    before: int
    after: int
    overlap: int
    sure: bool = True


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


def match(before: Labelled, after: Labelled, transform: sitk.Transform, local: sitk.Transform | None = None) -> Matched:
    """Match the lesions of one region.

    Parameters
    ----------
    before, after
        The two studies' lesions, each on its own grid.
    transform
        Maps a point of ``after``'s space to ``before``'s.
    local
        How the brain has moved in the head: applied to a point of ``after``'s space first; None where it has not.
    """
    rigid, unseen = _paired(before, after, transform)
    if local is None:
        pairs = rigid
    else:
        pairs, unseen = _paired(before, after, sitk.CompositeTransform([transform, local]))
    own, without = carried(pairs), carried(rigid)
    sure = {(pair.before, pair.after) for pair in pairs if pair.sure}
    unsure = tuple(
        place
        for place in range(len(after.lesions))
        if own.get(place) != without.get(place) or (place in own and (own[place], place) not in sure)
    )
    return Matched(tuple(sorted(pairs, key=lambda one: -one.overlap)), unseen, unsure)


def _paired(before: Labelled, after: Labelled, transform: sitk.Transform) -> tuple[list[Pair], tuple[int, ...]]:
    """Pairs of lesions, and the places of those before that the other study does not show."""
    moved = sitk.GetArrayFromImage(sitk.Resample(before.labels, after.labels, transform, sitk.sitkNearestNeighbor))
    there = np.bincount(moved.ravel(), minlength=len(before.lesions) + 1)
    own = np.bincount(after.array.ravel(), minlength=len(after.lesions) + 1)
    both = (moved > 0) & (after.array > 0)
    shared, counts = np.unique(np.stack([moved[both], after.array[both]]), axis=1, return_counts=True)
    pairs = [
        Pair(int(one) - 1, int(other) - 1, int(count), bool(count >= _SURELY * smaller))
        for (one, other), count in zip(shared.T, counts, strict=True)
        if count >= _SHARED * (smaller := min(there[one], own[other]))
    ]
    voxel_ml = float(np.prod(after.labels.GetSpacing())) / 1000
    unseen = tuple(
        place for place, one in enumerate(before.lesions) if there[place + 1] * voxel_ml < _SEEN * one.volume_ml
    )
    near = _near(moved, after, pairs, before, unseen)
    # What lies where another lesion was is no part of that one if it is one that has moved there.
    taken = {pair.after for pair in near}
    return [*(pair for pair in pairs if pair.after not in taken), *near], unseen


def _near(
    moved: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
    after: Labelled,
    pairs: Iterable[Pair],
    before: Labelled,
    unseen: tuple[int, ...],
) -> list[Pair]:
    """Pair what belongs to nothing yet with the nearest that has no name yet, each once."""
    paired = list(pairs)
    left = set(range(len(before.lesions))) - {one.before for one in paired} - set(unseen)
    free = sorted(set(range(len(after.lesions))) - carried(paired).keys())
    found: list[tuple[float, int, int]] = []
    for place in left if free else ():
        distance = ndimage.distance_transform_edt(moved != place + 1, sampling=after.labels.GetSpacing()[::-1])
        nearest = ndimage.minimum(distance, after.array, [one + 1 for one in free])
        found += [(float(mm), place, one) for mm, one in zip(nearest, free, strict=True) if mm <= _NEAR_MM]
    near: list[Pair] = []
    for _, one, other in sorted(found):
        if all(one != pair.before and other != pair.after for pair in near):
            near.append(Pair(one, other, 0, sure=False))
    return near


def carried(pairs: Iterable[Pair]) -> dict[int, int]:
    """Which lesion after goes on under whose name: each name once, so that all together share most.

    Examples
    --------
    >>> carried([Pair(0, 1, 100), Pair(1, 1, 90), Pair(0, 0, 50)])
    {0: 0, 1: 1}
    """
    kept = list(pairs)
    if not kept:
        return {}
    shared = np.zeros((1 + max(one.before for one in kept), 1 + max(one.after for one in kept)))
    for pair in kept:
        shared[pair.before, pair.after] = max(pair.overlap, _NEARNESS)
    chosen = zip(*linear_sum_assignment(shared, maximize=True), strict=True)
    return dict(sorted((int(after), int(before)) for before, after in chosen if shared[before, after] > 0))


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
    """Give the parts of a lesion that has split the names that they had before they merged.

    Parameters
    ----------
    before, after, pairs
        Lesions of one region in the study before and in this one, and which belong together.
    earlier
        Lesions of the studies before that, latest first, and which belong together with those of this one. The one that
        shows most of the parts as lesions of their own gives the names.
    """
    uids = [one.tracking_uid for one in after]
    known = list(pairs)
    studies = [(lesions, list(matched)) for lesions, matched in earlier]
    for place, lesion in enumerate(before):
        parts = {pair.after for pair in known if pair.before == place and not uids[pair.after]}
        if len(parts) < 2:
            continue
        others = {one.tracking_uid for one in before if one is not lesion} | set(uids)
        best: dict[int, str] = {}
        for lesions, matched in studies:
            usable = [p for p in matched if p.after in parts and lesions[p.before].tracking_uid not in others]
            names = {part: lesions[former].tracking_uid for part, former in carried(usable).items()}
            if len(names) > max(1, len(best)):
                best = names
        for part, uid in best.items():
            uids[part] = uid
    return _with_uids(after, uids)


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
    return {region: match(before[region], after[region], transform, local) for region in after if region in before}
