"""Holes that a correction has filled: some viewers do that to whatever contour they redraw, and nobody meant it."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from scipy import ndimage

from pipeline.corrections.study import Mask
from pipeline.names import Region

#: Part of a hole that is filled where a viewer fills it; the rest is rounding at its border. Who draws within a hole
#: fills less of it.
_FILLED: Final = 0.95


def filled_holes(said: Mapping[Region, Mask], automatic: Mapping[Region, Mask]) -> dict[Region, Mask]:
    """Find holes of the automatic regions that were filled as a whole.

    Parameters
    ----------
    said
        Regions as they came back; bool, shape (slices, rows, columns).
    automatic
        What the network had drawn, same shape.

    Returns
    -------
    dict
        For each region that has such holes, their voxels, as far as they were filled. A hole is what one slice of the
        automatic region encloses: viewers redraw contours slice by slice.
    """
    found = {region: _filled(mask, automatic[region]) for region, mask in said.items()}
    return {region: holes for region, holes in found.items() if holes.any()}


def _filled(mask: Mask, automatic: Mask) -> Mask:
    filled = np.zeros_like(mask)
    for k in np.flatnonzero((mask & ~automatic).any(axis=(1, 2))):
        holes, count = ndimage.label(ndimage.binary_fill_holes(automatic[k]) & ~automatic[k])
        if count:
            shares = ndimage.mean(mask[k], holes, range(1, count + 1))
            filled[k] = np.isin(holes, 1 + np.flatnonzero(np.asarray(shares) >= _FILLED)) & mask[k]
    return filled
