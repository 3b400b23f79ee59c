"""What scanners and protocols change in a picture: contrast, shading, blur, slices, noise.

The list is nnU-Net's (Isensee et al., Nature Methods 18, 2021); every sequence draws for itself.
"""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.training.synthesis.noise import smooth_noise

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def vary_image(rng: np.random.Generator, image: Array, mask: Mask) -> Array:
    """Vary one sequence.

    Parameters
    ----------
    rng
        Source of randomness.
    image
        float32, shape (z, y, x), not negative inside the mask.
    mask
        What is seen.

    Returns
    -------
    float32, shape (z, y, x); 0 outside the mask, in arbitrary units inside.
    """
    if not image.any():
        return image
    if rng.random() < 0.25:
        image = _lower_resolution(rng, image)
    elif rng.random() < 0.2:
        image = ndimage.gaussian_filter(image, rng.uniform(0.3, 0.8))
    if rng.random() < 0.4:
        image = _gamma(rng, image, mask)
    if rng.random() < 0.4:
        image = image * np.exp(rng.uniform(0.05, 0.2) * smooth_noise(rng, image.shape, rng.uniform(20, 50))[0])
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        image = image + np.float32(rng.uniform(0.02, 0.25)) * noise
    return np.where(mask, image, 0).astype(np.float32)


def _gamma(rng: np.random.Generator, image: Array, mask: Mask) -> Array:
    """Brighten or darken the middle of the range, of the picture or of its negative."""
    low, high = (float(v) for v in np.percentile(image[mask][::7], (0.5, 99.8)))
    if high <= low:
        return image
    share = np.clip((image - low) / (high - low), 1e-3, 1.5)
    power = np.exp(rng.uniform(-0.45, 0.45))
    if rng.random() < 0.3:
        share = 1.5 - np.clip(1.5 - share, 1e-3, 1.5) ** power * 1.5 ** (1 - power)
    else:
        share = share**power
    return np.asarray(share * (high - low) + low, dtype=np.float32)


def _lower_resolution(rng: np.random.Generator, image: Array) -> Array:
    """Thick slices along one axis, joined linearly."""
    axis, thickness = int(rng.choice(3, p=(0.6, 0.2, 0.2))), rng.uniform(1.2, 3.2)
    count = image.shape[axis]
    thick = ndimage.uniform_filter1d(image, max(2, round(thickness)), axis)
    where = np.clip(np.arange(count) / thickness, 0, None)
    places = np.minimum(np.round(np.arange(int(where[-1]) + 2) * thickness), count - 1).astype(int)
    below = np.minimum(where.astype(int), len(places) - 2)
    part = np.clip(where - below, 0, 1).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
    slices = np.take(thick, places, axis)
    return np.asarray(np.take(slices, below, axis) * (1 - part) + np.take(slices, below + 1, axis) * part)
