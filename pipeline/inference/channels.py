"""From sequences on a network's grid to probabilities of its channels, and from these to regions: as the card says."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.inference.grids import Sampled
from pipeline.inference.normalise import normalise
from pipeline.inference.session import activate
from pipeline.inference.windows import mirrored, predict
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.registry import InputGrid, ModelCard

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Network = Callable[[Array], Array]
Progress = Callable[[float], None]


def normalised(seen: Sampled, mask: Mask, grid: InputGrid) -> Array:
    """Return what a network is given: every sequence, (channels, z, y, x), normalised."""
    return normalise(seen.images, mask, seen.valid, grid.normalisations, seen.raw)


def raw_outputs(images: Array, grid: InputGrid, network: Network, progress: Progress = lambda fraction: None) -> Array:
    """Run a network over normalised images, window by window; shape (outputs, z, y, x)."""
    return predict(images, grid.window, grid.overlap, network, progress, grid.importance, grid.placement)


def channels_of(seen: Sampled, mask: Mask, network: Network, card: ModelCard, progress: Progress) -> Array:
    """Probabilities of every output channel.

    Parameters
    ----------
    seen
        The sequences on the network's grid.
    mask
        Where the network may look, (z, y, x).
    network
        Maps (1, channels, z, y, x) to raw outputs (1, outputs, z, y, x).
    card
        Says how.
    progress
        Called with the fraction done.

    Returns
    -------
    float32, shape (outputs, z, y, x); zero beyond what was looked at.
    """
    if not card.grid.crop:
        return _activated(normalised(seen, mask, card.grid), network, card, progress)
    box = _box(np.any((seen.images != 0) & mask, axis=0))
    part = Sampled(seen.images[:, *box], seen.valid[:, *box], seen.darkest)
    images = normalised(part, mask[box], card.grid)
    lacking = [max(0, least - n) for least, n in zip(card.grid.window, images.shape[1:], strict=True)]
    padding = [(0, 0), *((n // 2, n - n // 2) for n in lacking)]
    found = _activated(np.pad(images, padding), network, card, progress)
    inner = tuple(slice(before, before + n) for (before, _), n in zip(padding[1:], images.shape[1:], strict=True))
    whole = np.zeros((len(found), *mask.shape), dtype=np.float32)
    whole[:, *box] = found[:, *inner]
    return whole


def _box(mask: Mask) -> tuple[slice, slice, slice]:
    """Box around a mask (z, y, x); all of it where it is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    z, y, x = found[0] if found else (slice(0, n) for n in mask.shape)
    return z, y, x


def _activated(images: Array, network: Network, card: ModelCard, progress: Progress) -> Array:
    """Probabilities of every channel, where the card asks for it averaged with the mirrored picture's."""
    left_right = -1 - next(k for k, letter in enumerate(card.grid.orientation) if letter in "LR")
    passes = (False, True) if card.mirror else (False,)
    network = mirrored(network, ["xyz".index(axis) * -1 - 1 for axis in card.mirror_axes])
    total = np.zeros((), dtype=np.float32)
    for number, flipped in enumerate(passes):
        seen = np.ascontiguousarray(np.flip(images, left_right)) if flipped else images

        def report(fraction: float, done: int = number) -> None:
            progress((done + fraction) / len(passes))

        found = activate(raw_outputs(seen, card.grid, network, report), card.activation)
        total = total + (np.flip(found, left_right) if flipped else found)
    return np.asarray(total / len(passes), dtype=np.float32)


def regions_of(probabilities: Array, mask: Mask, card: ModelCard) -> dict[Region, Array]:
    """Regions from channels; the tumour only where the mask is, and one region inside the other."""
    read = _by_argmax if card.decision == "argmax" else _by_sum
    regions = {output.region: read(probabilities, output.channels) * mask for output in card.outputs}
    if card.nesting == "inner":
        for inner, outer in pairwise(reversed(TUMOUR_REGIONS)):
            regions[outer] = np.maximum(regions[outer], regions[inner])
    for outer, inner in pairwise(TUMOUR_REGIONS):
        regions[inner] = np.minimum(regions[inner], regions[outer])
    return regions


def _by_sum(probabilities: Array, channels: tuple[int, ...]) -> Array:
    return np.asarray(np.sum(probabilities[list(channels)], axis=0, dtype=np.float32))


def _by_argmax(probabilities: Array, channels: tuple[int, ...]) -> Array:
    within = probabilities[list(channels)].max(axis=0)
    without = np.delete(probabilities, channels, axis=0).max(axis=0)
    return np.asarray(within / np.maximum(within + without, np.finfo(np.float32).tiny), dtype=np.float32)
