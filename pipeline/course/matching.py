"""Which lesions of two studies are the same, and the tracking UIDs that follow from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from pipeline.course.lesions import Labelled
from pipeline.course.records import Lesion
from pipeline.names import Region
from pipeline.objects.provenance import UidSource

#: Lesions that share this part of the smaller one belong together.
_SHARED: Final = 0.1
#: Lesions that share nothing do so up to this distance of their surfaces, where neither belongs to another: small ones
#: move by more than their size where the brain has shifted.
_NEAR_MM: Final = 5.0
#: A lesion of which less lies in the other study's field of view cannot be said to have vanished there.
_SEEN: Final = 0.5


@dataclass(frozen=True)
class Pair:
    """Places of two lesions of one region that belong together, and their overlap in voxels; 0 where they are near."""

    before: int
    after: int
    overlap: int


@dataclass(frozen=True)
class Matched:
    """The lesions of one region in two studies.

    Attributes
    ----------
    pairs
        The largest overlap first.
    unseen
        Places of those before that the other study's images do not show.
    """

    pairs: tuple[Pair, ...]
    unseen: tuple[int, ...] = ()


def match(before: Labelled, after: Labelled, transform: sitk.Transform) -> Matched:
    """Match the lesions of one region.

    Parameters
    ----------
    before, after
        The two studies' lesions, each on its own grid.
    transform
        Maps a point of ``after``'s space to ``before``'s.
    """
    moved = sitk.GetArrayFromImage(sitk.Resample(before.labels, after.labels, transform, sitk.sitkNearestNeighbor))
    there = np.bincount(moved.ravel(), minlength=len(before.lesions) + 1)
    own = np.bincount(after.array.ravel(), minlength=len(after.lesions) + 1)
    both = (moved > 0) & (after.array > 0)
    shared, counts = np.unique(np.stack([moved[both], after.array[both]]), axis=1, return_counts=True)
    pairs = [
        Pair(int(one) - 1, int(other) - 1, int(count))
        for (one, other), count in zip(shared.T, counts, strict=True)
        if count >= _SHARED * min(there[one], own[other])
    ]
    voxel_ml = float(np.prod(after.labels.GetSpacing())) / 1000
    unseen = tuple(
        place for place, one in enumerate(before.lesions) if there[place + 1] * voxel_ml < _SEEN * one.volume_ml
    )
    pairs += _near(moved, after, pairs, before, unseen)
    return Matched(tuple(sorted(pairs, key=lambda one: -one.overlap)), unseen)


def _near(
    moved: np.ndarray[tuple[int, ...], np.dtype[np.int32]],
    after: Labelled,
    pairs: Iterable[Pair],
    before: Labelled,
    unseen: tuple[int, ...],
) -> list[Pair]:
    """Pair what belongs to nothing yet with the nearest of the same, each once."""
    paired = list(pairs)
    left = set(range(len(before.lesions))) - {one.before for one in paired} - set(unseen)
    free = sorted(set(range(len(after.lesions))) - {one.after for one in paired})
    found: list[tuple[float, int, int]] = []
    for place in left if free else ():
        distance = ndimage.distance_transform_edt(moved != place + 1, sampling=after.labels.GetSpacing()[::-1])
        nearest = ndimage.minimum(distance, after.array, [one + 1 for one in free])
        found += [(float(mm), place, one) for mm, one in zip(nearest, free, strict=True) if mm <= _NEAR_MM]
    near: list[Pair] = []
    for _, one, other in sorted(found):
        if all(one != pair.before and other != pair.after for pair in near):
            near.append(Pair(one, other, 0))
    return near


def inherited(before: tuple[Lesion, ...], after: tuple[Lesion, ...], pairs: Iterable[Pair]) -> tuple[Lesion, ...]:
    """Give lesions without a tracking UID those of the lesions that they are the same as.

    Each UID goes on once: to the one that shares most where a lesion has split; of the one that shares most where
    several have merged.

    Parameters
    ----------
    before, after
        Lesions of one region.
    pairs
        The largest overlap first.
    """
    uids = [one.tracking_uid for one in after]
    for pair in pairs:
        uid = before[pair.before].tracking_uid
        if not uids[pair.after] and uid not in uids:
            uids[pair.after] = uid
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
    before: Mapping[Region, Labelled], after: Mapping[Region, Labelled], transform: sitk.Transform
) -> dict[Region, Matched]:
    """Match the lesions of every region that both studies have."""
    return {region: match(before[region], after[region], transform) for region in after if region in before}
