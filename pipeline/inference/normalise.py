"""Intensity normalisation, the same for training and for inference."""

from collections.abc import Sequence as Listing

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.registry.parts import Normalisation

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


def normalise(
    images: Array, mask: Mask, valid: Mask, normalisations: Listing[Normalisation], raw: Array | None = None
) -> Array:
    """Normalise every sequence as a card says.

    Parameters
    ----------
    images
        float32, shape (sequences, z, y, x), 0 outside.
    mask
        bool, shape (z, y, x): where the network may look.
    valid
        bool, the shape of ``images``: where each was imaged. Nothing else takes part in a mean and deviation.
    normalisations
        Of each sequence.
    raw
        Grey values as in the files, which ``none`` and ``rescale`` are about; None where ``images`` are.

    Returns
    -------
    float32, shape (sequences, z, y, x).
    """
    foreground = np.zeros_like(mask)
    if "z_score_foreground" in normalisations:
        foreground = np.asarray(ndimage.binary_fill_holes(np.any((images != 0) & mask, axis=0)))
    grey = images if raw is None else raw
    return np.stack(
        [
            _normalised(image, mask, seen, how, foreground, before)
            for image, seen, how, before in zip(images, valid, normalisations, grey, strict=True)
        ]
    ).astype(np.float32, copy=False)


def _normalised(image: Array, mask: Mask, seen: Mask, how: Normalisation, foreground: Mask, raw: Array) -> Array:
    match how:
        case "brain" | "nonzero":
            return standardise(image, mask & seen)
        case "head":
            inside = seen & (image > _brightest_air(image, seen))
            return np.where(inside, standardise(image, inside), standardise_air(image, inside))
        case "rescale":
            low, high = np.percentile(raw[mask], (0, 100)) if mask.any() else (0.0, 0.0)
            return np.where(mask, (raw - low) / max(high - low, 1e-8), 0)
        case "none":
            return raw
    shown = {"z_score": seen, "z_score_foreground": foreground, "z_score_nonzero": mask & (image != 0)}
    return z_score(image * mask, shown[how])


def z_score(image: Array, inside: Mask) -> Array:
    """Zero mean and unit deviation of exactly the voxels of a mask; the others stay as they are."""
    values = image[inside]
    if values.size == 0 or not (deviation := float(values.std(dtype=np.float64))):
        return np.where(inside, 0, image).astype(np.float32)
    return np.where(inside, (image - float(values.mean(dtype=np.float64))) / deviation, image).astype(np.float32)


def normalise_brain(images: Array, mask: Mask, valid: Mask | None = None) -> Array:
    """Standardise every sequence inside the brain mask, (z, y, x), somewhat dilated; zero outside."""
    brain: Normalisation = "brain"
    return normalise(images, mask, _imaged(images, valid), [brain] * len(images))


def normalise_head(images: Array, valid: Mask | None = None) -> Array:
    """Standardise every sequence over what is not air.

    Air is what lies below a tenth of the 99th percentile above the minimum, and what was not imaged.
    """
    head: Normalisation = "head"
    return normalise(images, np.ones(images.shape[1:], dtype=bool), _imaged(images, valid), [head] * len(images))


def _brightest_air(image: Array, seen: Mask) -> float:
    values = image[::2, ::2, ::2][seen[::2, ::2, ::2]]
    if values.size == 0:
        return np.inf
    lowest = float(image.min())
    bright = float(np.percentile(values, 99)) - lowest
    return lowest + 0.1 * bright if bright > 0 else np.inf


def _imaged(images: Array, valid: Mask | None) -> Mask:
    return np.ones(images.shape, dtype=bool) if valid is None else valid


def standardise_air(image: Array, inside: Mask) -> Array:
    """Value of air in a normalised head: a constant just below the tissue's range."""
    return np.full(image.shape, -3.0 if inside.any() else 0.0, dtype=np.float32)
