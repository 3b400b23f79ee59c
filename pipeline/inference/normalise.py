"""Intensity normalisation, the same for training and for inference."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]

CLIP = (-5.0, 8.0)
"""Bounds of normalised intensities, in standard deviations."""
PERCENTILES = (1.0, 99.0)
"""Range of the mask's intensities that mean and deviation are taken from: robust to vessels and noise."""


def standardise(image: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Zero mean and unit deviation inside a mask, zero outside.

    Parameters
    ----------
    image
        float32, shape (z, y, x).
    mask
        bool, the same shape; where it is empty or the image is constant, the result is zero.

    Returns
    -------
    float32, shape (z, y, x), clipped to :data:`CLIP`.
    """
    values = image[mask]
    if values.size == 0:
        return np.zeros_like(image, dtype=np.float32)
    low, high = np.percentile(values[:: max(1, values.size // 50_000)], PERCENTILES)
    core = values[(values >= low) & (values <= high)]
    deviation = float(core.std()) if core.size else 0.0
    if not np.isfinite(deviation) or deviation < 1e-6 * max(abs(float(high)), 1e-6):
        return np.zeros_like(image, dtype=np.float32)
    scaled = np.clip((image - float(core.mean())) / deviation, *CLIP)
    return np.where(mask, scaled, 0).astype(np.float32)


def normalise_brain(images: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Standardise every sequence inside the brain mask.

    Parameters
    ----------
    images
        float32, shape (sequences, z, y, x).
    mask
        bool, shape (z, y, x): the brain, somewhat dilated.

    Returns
    -------
    float32, shape (sequences, z, y, x); zero outside the mask.
    """
    return np.stack([standardise(image, mask) for image in images])


def normalise_head(images: Array) -> Array:
    """Standardise every sequence over what is not air.

    Air is what lies below a tenth of the 99th percentile above the minimum. Axes as in :func:`normalise_brain`.
    """
    out = []
    for image in images:
        lowest = float(image.min())
        bright = float(np.percentile(image[::2, ::2, ::2], 99)) - lowest
        inside = image > lowest + 0.1 * bright if bright > 0 else np.zeros(image.shape, dtype=bool)
        out.append(np.where(inside, standardise(image, inside), standardise_air(image, inside)))
    return np.stack(out).astype(np.float32)


def standardise_air(image: Array, inside: npt.NDArray[np.bool_]) -> Array:
    """Value of air in a normalised head: a constant just below the tissue's range."""
    return np.full(image.shape, -3.0 if inside.any() else 0.0, dtype=np.float32)
