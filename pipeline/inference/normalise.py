"""Intensity normalisation, the same for training and for inference."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

CLIP = (-5.0, 8.0)
"""Bounds of normalised intensities, in standard deviations."""
PERCENTILES = (1.0, 99.0)
"""Range of the mask's intensities that mean and deviation are taken from: robust to vessels and noise."""


def standardise(image: Array, mask: Mask) -> Array:
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


def normalise_brain(images: Array, mask: Mask, valid: Mask | None = None) -> Array:
    """Standardise every sequence inside the brain mask.

    Parameters
    ----------
    images
        float32, shape (sequences, z, y, x).
    mask
        bool, shape (z, y, x): the brain, somewhat dilated.
    valid
        bool, the shape of ``images``: where each was imaged; None where all were. Nothing else takes part in a
        sequence's mean and deviation.

    Returns
    -------
    float32, shape (sequences, z, y, x); zero outside the mask and where a sequence was not imaged.
    """
    return np.stack([standardise(image, mask & seen) for image, seen in zip(images, _seen(images, valid), strict=True)])


def normalise_head(images: Array, valid: Mask | None = None) -> Array:
    """Standardise every sequence over what is not air.

    Air is what lies below a tenth of the 99th percentile above the minimum, and what was not imaged. Parameters as
    in :func:`normalise_brain`.
    """
    out = []
    for image, seen in zip(images, _seen(images, valid), strict=True):
        inside = seen & (image > _brightest_air(image, seen))
        out.append(np.where(inside, standardise(image, inside), standardise_air(image, inside)))
    return np.stack(out).astype(np.float32)


def _brightest_air(image: Array, seen: Mask) -> float:
    values = image[::2, ::2, ::2][seen[::2, ::2, ::2]]
    if values.size == 0:
        return np.inf
    lowest = float(image.min())
    bright = float(np.percentile(values, 99)) - lowest
    return lowest + 0.1 * bright if bright > 0 else np.inf


def _seen(images: Array, valid: Mask | None) -> Mask:
    return np.ones(images.shape, dtype=bool) if valid is None else valid


def standardise_air(image: Array, inside: Mask) -> Array:
    """Value of air in a normalised head: a constant just below the tissue's range."""
    return np.full(image.shape, -3.0 if inside.any() else 0.0, dtype=np.float32)
