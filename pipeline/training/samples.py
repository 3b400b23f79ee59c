"""Training samples: what a network sees, made from a rendered study or from a real case."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from pipeline.inference.normalise import normalise_brain, normalise_head
from pipeline.training.synthesis.anatomy import coordinates
from pipeline.training.synthesis.heads import Head
from pipeline.training.synthesis.noise import Array, smooth_noise
from pipeline.training.synthesis.render import Placement, RenderedStudy, draw_study
from pipeline.training.synthesis.tumour import TumourKind

LARGEST = (96, 112, 96)
"""Voxels (z, y, x) that a step takes of a sample at most: a brain at 2 mm, most of one at 1.5 mm."""
WHOLE_HEAD = Placement(degrees=9, scale=0.08, shift_mm=9)


@dataclass(frozen=True)
class Sample:
    """One training example, axes (z, y, x).

    Attributes
    ----------
    images
        float16, shape (4, z, y, x), normalised, in the order of ``Sequence``.
    regions
        uint8 0 or 1, shape (outputs, z, y, x).
    kept
        Outputs that fine-tuning is to leave as the network in use has them, whatever ``regions`` says.
    """

    images: npt.NDArray[np.float16]
    regions: npt.NDArray[np.uint8]
    kept: tuple[int, ...] = ()


def imperfect_mask(rng: np.random.Generator, brain: npt.NDArray[np.bool_], spacing_mm: float) -> npt.NDArray[np.bool_]:
    """The brain as a coarse network or a research tool would mask it: dilated or tight, its edge uneven."""
    shape = brain.shape
    outward = ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)
    margin = rng.uniform(-1.0, 3.0) if rng.random() < 0.5 else rng.uniform(2.0, 9.0)
    uneven = rng.uniform(0, 2.0) * smooth_noise(rng, shape, 16 / spacing_mm)[0]
    return np.asarray(outward * spacing_mm < margin + uneven)


def tumour_sample(rng: np.random.Generator, study: RenderedStudy, spacing_mm: float) -> Sample:
    """Mask the brain imperfectly and normalise inside it; regions are brain, WT, TC, ET, cavity."""
    mask = imperfect_mask(rng, study.regions[0], spacing_mm)
    valid = np.ones(study.images.shape, dtype=bool) if study.valid is None else study.valid
    if rng.random() < 0.1:
        valid = valid & _field_of_view(rng, study.images.shape, study.regions[0], spacing_mm)
    mask &= valid.any(axis=0)
    cavity = np.zeros_like(mask) if study.cavity is None else study.cavity
    regions = np.concatenate([study.regions, cavity[None]]) & mask
    return Sample(normalise_brain(study.images, mask, valid).astype(np.float16), regions.astype(np.uint8))


def _field_of_view(
    rng: np.random.Generator, shape: tuple[int, ...], brain: npt.NDArray[np.bool_], spacing_mm: float
) -> npt.NDArray[np.bool_]:
    """Each sequence's stack of slices: a slab, oblique, seldom the same for all; bool of ``shape``."""
    inside = np.empty(shape, dtype=bool)
    centre = np.argwhere(brain[::2, ::2, ::2]).mean(axis=0) * 2 if brain.any() else np.array(brain.shape) / 2
    away = (coordinates(brain.shape) - centre.astype(np.float32)[:, None, None, None]) * np.float32(spacing_mm)
    tilt = rng.normal(0, 10)
    for seen in inside:
        about_x, about_y = np.deg2rad(tilt + rng.normal(0, 8)), np.deg2rad(rng.normal(0, 4))
        normal = np.array([np.cos(about_x) * np.cos(about_y), np.sin(about_x), np.sin(about_y)], dtype=np.float32)
        height = np.tensordot(normal, away, 1)
        seen[:] = (height >= -rng.uniform(50, 110)) & (height <= rng.uniform(55, 110))
    return inside


def brain_sample(rng: np.random.Generator, study: RenderedStudy, spacing_mm: float) -> Sample:
    """The whole head, or the stripped brain for a third of the samples; the region is brain."""
    valid = np.ones(study.images.shape, dtype=bool)
    if rng.random() < 0.35:
        valid &= imperfect_mask(rng, study.regions[0], spacing_mm)
    elif rng.random() < 0.75:
        valid = _field_of_view(rng, study.images.shape, study.regions[0], spacing_mm)
    images = normalise_head(np.where(valid, study.images, 0), valid)
    return Sample(images.astype(np.float16), (study.regions[:1] & valid.any(axis=0)).astype(np.uint8))


def draw_sample(
    rng: np.random.Generator, head: Head, whole: bool, shares: Mapping[TumourKind, float] | None = None
) -> Sample:
    """Render a study of a head and prepare it for the brain network (whole) or the tumour network.

    ``shares`` are those of some kinds of tumour, as for :func:`~pipeline.training.synthesis.tumour.draw_kind`.
    """
    if whole:
        return brain_sample(rng, draw_study(rng, head, placement=WHOLE_HEAD, shares=shares), head.spacing_mm)
    return tumour_sample(rng, draw_study(rng, head, shares=shares), head.spacing_mm)


def augment(rng: np.random.Generator, sample: Sample, multiple: int, crop: bool) -> tuple[Array, Array]:
    """Vary a stored sample cheaply: flip, crop, gain, missing sequences.

    Parameters
    ----------
    rng
        Source of randomness.
    sample
        From the pool.
    multiple
        Sizes stay multiples of it.
    crop
        Whether to cut a random box out of it.

    Returns
    -------
    (images, regions), float32, shapes (4, z, y, x) and (outputs, z, y, x).
    """
    images, regions = sample.images, sample.regions
    if crop:
        less = multiple if rng.random() < 0.75 else 0
        box = []
        for size, most in zip(images.shape[1:], LARGEST, strict=True):
            kept = min(size - less, most)
            start = int(rng.integers(0, size - kept + 1)) if kept < size else 0
            box.append(slice(start, start + kept))
        images, regions = images[:, box[0], box[1], box[2]], regions[:, box[0], box[1], box[2]]
    if rng.random() < 0.5:
        images, regions = images[..., ::-1], regions[..., ::-1]
    varied = images.astype(np.float32)
    gain = np.exp(rng.normal(0, 0.08, (4, 1, 1, 1))).astype(np.float32)
    shift = rng.normal(0, 0.08, (4, 1, 1, 1)).astype(np.float32)
    varied = np.where(varied != 0, varied * gain + shift, 0).astype(np.float32)
    drop = rng.random()
    if drop < 0.10:
        varied[int(rng.integers(4))] = 0
    elif drop < 0.20:
        varied[[0, 2]] = 0
    return varied, np.ascontiguousarray(regions, dtype=np.float32)
