"""Random smooth fields, the raw material of anatomy, tumours and artefacts."""

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Array = npt.NDArray[np.float32]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float, channels: int = 1) -> Array:
    """Gaussian noise interpolated from a coarse grid.

    Parameters
    ----------
    rng
        Source of randomness.
    shape
        (z, y, x) of the result.
    scale
        Distance between the coarse grid's nodes in voxels.
    channels
        Number of independent fields.

    Returns
    -------
    float32, shape (channels, z, y, x), about unit variance.
    """
    coarse = tuple(max(2, int(np.ceil(n / scale)) + 1) for n in shape)
    values = torch.from_numpy(rng.standard_normal((1, channels, *coarse), dtype=np.float32))
    field = functional.interpolate(values, size=shape, mode="trilinear", align_corners=True)[0].numpy()
    return np.asarray(field / max(float(field.std()), 1e-6), dtype=np.float32)


def fractal_noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float, octaves: int = 3) -> Array:
    """Sum of smooth fields of halving scale and amplitude; float32, shape (z, y, x), unit variance."""
    total = np.zeros(shape, dtype=np.float32)
    for octave in range(octaves):
        total += smooth_noise(rng, shape, max(scale / 2**octave, 1.0))[0] * 0.55**octave
    return np.asarray(total / max(float(total.std()), 1e-6), dtype=np.float32)
