"""A picture larger than a network's window: overlapping windows, joined with weights.

As in nnU-Net (Isensee et al., Nature Methods 18, 2021) predictions near a window's edge, which saw little around them,
count little.
"""

import itertools
from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Size = tuple[int, int, int]

_SIGMA = 1 / 8


def starts(length: int, window: int, overlap: float, placement: str = "even") -> list[int]:
    """Return where windows start along one axis, covering it to its end: evenly spread, or ``strided``."""
    if length <= window:
        return [0]
    if placement == "strided":
        stride = max(1, int(window * (1 - overlap)))
        return [*range(0, length - window, stride), length - window]
    step = max(1.0, window * (1 - overlap))
    count = int(np.ceil((length - window) / step)) + 1
    return [round(k * (length - window) / (count - 1)) for k in range(count)]


def weights(size: Size, importance: str = "gaussian") -> Array:
    """Weight of each voxel of a window, shape ``size``, never zero: ``gaussian``, ``nnunet`` or ``constant``."""
    match importance:
        case "constant":
            return np.ones(size, dtype=np.float32)
        case "nnunet":
            # Its centre, and what is left of it in the half precision that nnU-Net keeps it in, are part of it.
            half = (10 * _bell(size, [n // 2 for n in size])).astype(np.float16).astype(np.float32)
            return np.where(half > 0, half, half[half > 0].min())
        case _:
            # The floor is MONAI's: where only corners meet, it decides.
            return np.asarray(np.maximum(_bell(size, [(n - 1) / 2 for n in size]), 1e-3), dtype=np.float32)


def _bell(size: Size, centre: list[float]) -> npt.NDArray[np.float64]:
    weight = np.ones((1, 1, 1), dtype=np.float64)
    for axis, (n, middle) in enumerate(zip(size, centre, strict=True)):
        profile = np.exp(-0.5 * ((np.arange(n) - middle) / (n * _SIGMA)) ** 2)
        weight = weight * profile.reshape([-1 if a == axis else 1 for a in range(3)])
    return weight


def mirrored(network: Callable[[Array], Array], axes: Collection[int]) -> Callable[[Array], Array]:
    """Return a network that takes the mean of its raw outputs over every way to mirror its window along some axes."""
    ways = [way for count in range(len(axes) + 1) for way in itertools.combinations(axes, count)]

    def mean(images: Array) -> Array:
        total = np.zeros((), dtype=np.float32)
        for way in ways:
            total = total + np.flip(network(np.ascontiguousarray(np.flip(images, way))), way)
        return np.asarray(total / len(ways), dtype=np.float32)

    return mean if axes else network


def predict(
    images: Array,
    window: Size,
    overlap: float,
    network: Callable[[Array], Array],
    progress: Callable[[float], None] = lambda fraction: None,
    importance: str = "gaussian",
    placement: str = "even",
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
    importance, placement
        As the card's grid has them.

    Returns
    -------
    float32, shape (outputs, z, y, x): the weighted mean of the windows' outputs.
    """
    shape = images.shape[1:]
    size: Size = (min(window[0], shape[0]), min(window[1], shape[1]), min(window[2], shape[2]))
    corners = list(itertools.product(*(starts(n, w, overlap, placement) for n, w in zip(shape, size, strict=True))))
    if len(corners) == 1:
        whole: Array = network(images[None])[0]
        progress(1.0)
        return whole
    weight = weights(size, importance)
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
