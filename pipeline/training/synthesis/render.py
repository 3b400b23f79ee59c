"""One synthetic study on a training grid: anatomy, tumour, four sequences, labels."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.training.synthesis import acquisition, tumour
from pipeline.training.synthesis.anatomy import (
    Anatomy,
    Push,
    add_normal_structures,
    apply_affine,
    coordinates,
    deform_head,
    push_grid,
    random_affine,
)
from pipeline.training.synthesis.heads import Head
from pipeline.training.synthesis.noise import Array, fractal_noise, smooth_noise
from pipeline.training.synthesis.tissues import Tissue


@dataclass(frozen=True)
class RenderedStudy:
    """A study and its truth on one grid, axes (z, y, x).

    Attributes
    ----------
    images
        float32, shape (4, z, y, x), in the order of ``Sequence``, raw intensities with skull and scalp.
    regions
        bool, shape (4, z, y, x), in the order of ``Region``: brain, WT, TC, ET.
    cavity
        bool, shape (z, y, x): where tumour was cut out, which belongs to no region. None where that is not known.
    valid
        bool, the shape of ``images``: where each sequence was imaged; None where all were.
    """

    images: Array
    regions: npt.NDArray[np.bool_]
    cavity: npt.NDArray[np.bool_] | None = None
    valid: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Placement:
    """How far a head is turned, scaled and moved: standard deviations in degrees, log scale and mm."""

    degrees: float = 5
    scale: float = 0.05
    shift_mm: float = 3


def _seed_weights(head: Head, grid: Array) -> Array:
    """Where a tumour may start: mostly white matter, some grey, seldom below the tentorium."""
    index = np.clip(np.round(grid), 0, np.array(head.brain.shape)[:, None, None, None] - 1).astype(np.intp)
    white, cortex, deep = (
        head.fractions[t][index[0], index[1], index[2]] for t in (Tissue.WHITE, Tissue.CORTEX, Tissue.DEEP_GREY)
    )
    weights = (white > 120) * 1.0 + (cortex > 120) * 0.35 + (deep > 120) * 0.5
    low = int(weights.shape[0] * 0.36)
    weights[:low] *= 0.25
    return np.asarray(weights, dtype=np.float32)


def draw_study(
    rng: np.random.Generator,
    head: Head,
    kind: tumour.TumourKind | None = None,
    placement: Placement = Placement(),
    shares: Mapping[tumour.TumourKind, float] | None = None,
) -> RenderedStudy:
    """Draw one study of a head.

    Parameters
    ----------
    rng
        Source of randomness; the same state gives the same study.
    head
        The anatomy to deform.
    kind
        Of the tumour; drawn when None.
    placement
        How far the head is moved.
    shares
        Of some kinds where the kind is drawn, as for :func:`~pipeline.training.synthesis.tumour.draw_kind`.

    Returns
    -------
    RenderedStudy
    """
    shape, spacing = head.brain.shape, head.spacing_mm
    positions = coordinates(shape)
    matrix, offset = random_affine(
        rng, shape, placement.degrees, placement.scale, placement.shift_mm / spacing, flip=True
    )
    grid = apply_affine(positions, matrix, offset)
    grid = grid + smooth_noise(rng, shape, 36 / spacing, 3) * np.float32(rng.uniform(0, 2.2) / spacing)
    kind = kind or tumour.draw_kind(rng, shares)
    cores = tumour.draw_cores(rng, kind, _seed_weights(head, grid), spacing)
    for core in cores:
        shift = core.radius_mm * rng.uniform(0, 0.45)
        grid = push_grid(grid, positions, Push(core.centre, core.radius_mm, shift), spacing)
    anatomy = deform_head(head, grid)
    add_normal_structures(rng, anatomy)
    tumours = _implanted(rng, cores, anatomy)
    signals = acquisition.draw_signals(rng)
    images = acquisition.acquire(rng, acquisition.render(rng, anatomy.fractions, signals, spacing), spacing)
    brain = np.asarray(anatomy.brain > 0.5, dtype=np.bool_)
    cavity = np.asarray(anatomy.fractions[Tissue.CAVITY] > 0.5)
    return RenderedStudy(images, np.concatenate([brain[None], tumours]), cavity)


def _implanted(rng: np.random.Generator, cores: list[tumour.Core], anatomy: Anatomy) -> npt.NDArray[np.bool_]:
    growth = tumour.grow(rng, cores, anatomy)
    uneven = fractal_noise(rng, anatomy.brain.shape, 14 / anatomy.spacing_mm, 2) * rng.uniform(0, 0.2)
    strength = np.clip(rng.uniform(0.5, 1.0) + uneven, 0.35, 1.0).astype(np.float32)
    return tumour.implant(growth, anatomy, strength)
