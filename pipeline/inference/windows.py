"""A picture larger than a network's window: overlapping windows, joined with Gaussian weights.

The weights are nnU-Net's (Isensee et al., Nature Methods 18, 2021): predictions near a window's edge,
which saw little around them, count little.
"""

import itertools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Size = tuple[int, int, int]

_SIGMA = 1 / 8


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows start along one axis, evenly spread and covering it to its end."""
    if length <= window:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    count = int(np.ceil((length - window) / step)) + 1
    return [round(k * (length - window) / (count - 1)) for k in range(count)]


def gaussian(size: Size) -> Array:
    """Weight of each voxel of a window, shape ``size``, highest in its middle, never zero."""
    weight = np.ones((1, 1, 1), dtype=np.float64)
    for axis, n in enumerate(size):
        profile = np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n * _SIGMA)) ** 2)
        weight = weight * profile.reshape([-1 if a == axis else 1 for a in range(3)])
    return np.asarray(np.maximum(weight, weight.max() * 1e-3), dtype=np.float32)


def predict(
    images: Array,
    window: Size,
    overlap: float,
    network: Callable[[Array], Array],
    progress: Callable[[float], None] = lambda fraction: None,
) -> Array:
    """Run a network over a picture.

    Parameters
    ----------
    images
        float32, shape (channels, z, y, x).
    window
        Largest size (z, y, x) given to the network at once.
    overlap
        Fraction of a window shared with the next.
    network
        Maps (1, channels, z, y, x) to (1, outputs, z, y, x).
    progress
        Called with the fraction done.

    Returns
    -------
    float32, shape (outputs, z, y, x): the weighted mean of the windows' outputs.
    """
    shape = images.shape[1:]
    size: Size = (min(window[0], shape[0]), min(window[1], shape[1]), min(window[2], shape[2]))
    corners = list(itertools.product(*(starts(n, w, overlap) for n, w in zip(shape, size, strict=True))))
    if len(corners) == 1:
        whole: Array = network(images[None])[0]
        progress(1.0)
        return whole
    weight = gaussian(size)
    total = np.zeros(shape, dtype=np.float32)
    joined: Array | None = None
    for done, corner in enumerate(corners, start=1):
        box = tuple(slice(start, start + n) for start, n in zip(corner, size, strict=True))
        found = network(np.ascontiguousarray(images[(slice(None), *box)])[None])[0]
        if joined is None:
            joined = np.zeros((found.shape[0], *shape), dtype=np.float32)
        joined[(slice(None), *box)] += found * weight
        total[box] += weight
        progress(done / len(corners))
    if joined is None:  # there is always one corner
        raise AssertionError
    return np.asarray(joined / total, dtype=np.float32)
