"""Contours of one ROI that overlap in part: two drawings of one thing, of which a workstation made no outline."""

import numpy as np
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.objects.rtstruct.simplify import TangledError, crossing_polygons

#: Part of the smaller that lies within the larger one from where on it is a hole in it, or an island's border.
_WITHIN = 0.95
#: Pairs of segments beside each other, at most: a head's outline on 500 slices has some millions.
_MOST_PAIRS = 200_000_000
#: Contours on a slice of which some cross, at most.
_MOST_CROSSING = 100


def rasterise_joined(contours: Contours, shape: tuple[int, int, int]) -> tuple[NDArray[np.uint8], int]:
    """Return which pixel centres lie inside, what overlaps in part joined; and on how many slices that was.

    By the even-odd rule alone, the part that two overlapping contours share would be outside.

    Parameters
    ----------
    contours, shape
        As of :func:`pipeline.objects.rtstruct.rasterise.rasterise`.

    Raises
    ------
    TangledError
        Where they are no drawing.
    """
    mask = rasterise(contours, shape)
    joined = 0
    for k in np.unique(contours.slices[crossing_polygons(contours, _MOST_PAIRS)]):
        if not 0 <= k < shape[0]:
            continue
        members = np.flatnonzero(contours.slices == k)
        if len(members) > _MOST_CROSSING:
            raise TangledError
        own = [_alone(contours.polygon(int(index)), shape) for index in members]
        groups = _groups(own)
        if len(groups) < len(own):
            joined += 1
            mask[k] = np.bitwise_xor.reduce(groups)
    return mask, joined


def _alone(polygon: NDArray[np.float64], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    first = np.zeros(1, np.int64)
    found: NDArray[np.uint8] = rasterise(Contours(polygon, first, first), (1, *shape[1:]))[0]
    return found


def _groups(masks: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    """Masks with those joined that overlap in part."""
    groups: list[NDArray[np.uint8]] = []
    for mask in sorted(masks, key=lambda one: -int(one.sum())):
        partly = [index for index, group in enumerate(groups) if _overlap_in_part(group, mask)]
        united = np.bitwise_or.reduce([mask, *(groups[index] for index in partly)])
        groups = [group for index, group in enumerate(groups) if index not in partly] + [united]
    return groups


def _overlap_in_part(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    shared = int((one & other).sum())
    return 0 < shared < _WITHIN * min(int(one.sum()), int(other.sum()))
