"""Anatomy of one study: a head, deformed, with the normal structures that the label map leaves out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from pipeline.training.synthesis.heads import Head
from pipeline.training.synthesis.noise import Array, fractal_noise, smooth_noise
from pipeline.training.synthesis.tissues import BRAIN_TISSUES, Tissue


@dataclass(frozen=True)
class Push:
    """Mass effect: tissue displaced radially away from a tumour.

    Attributes
    ----------
    centre
        (z, y, x), voxels.
    radius_mm, shift_mm
        Displacement is shift_mm at radius_mm and decays outwards over 25 mm.
    """

    centre: tuple[float, float, float]
    radius_mm: float
    shift_mm: float


def coordinates(shape: tuple[int, ...]) -> Array:
    """Voxel indices as float32, shape (3, z, y, x)."""
    return np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in shape), indexing="ij"))


def _rotation(angles: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def random_affine(
    rng: np.random.Generator, shape: tuple[int, ...], degrees: float, scale: float, shift_voxels: float, flip: bool
) -> tuple[Array, Array]:
    """Draw a rotation, anisotropic scaling, shift and, half the time, a left-right flip about the centre.

    Returns
    -------
    (matrix, offset)
        Input index = matrix @ output index + offset, both (z, y, x) in voxels.
    """
    angles = np.deg2rad(rng.normal(0, degrees, 3))
    matrix = _rotation(angles) @ np.diag(np.exp(rng.normal(0, scale, 3) + rng.normal(0, scale)))
    if flip and rng.random() < 0.5:
        matrix[:, 2] *= -1
    centre = (np.array(shape) - 1) / 2
    offset = centre - matrix @ centre + rng.normal(0, shift_voxels, 3)
    return matrix.astype(np.float32), offset.astype(np.float32)


def apply_affine(grid: Array, matrix: Array, offset: Array) -> Array:
    """Map indices of shape (3, z, y, x) through ``matrix @ index + offset``."""
    return np.asarray(np.tensordot(matrix, grid, 1) + offset[:, None, None, None], dtype=np.float32)


def sample(channels: Array, grid: Array) -> Array:
    """Linear interpolation of (c, z, y, x) at indices of shape (3, z, y, x); zero outside."""
    sizes = np.array(channels.shape[1:], dtype=np.float32)
    unit = grid[::-1] * (2 / (sizes[::-1, None, None, None] - 1)) - 1
    points = torch.from_numpy(np.ascontiguousarray(np.moveaxis(unit, 0, -1)))[None]
    values = torch.from_numpy(np.ascontiguousarray(channels))[None]
    taken = functional.grid_sample(values, points, align_corners=True, padding_mode="zeros")
    return np.asarray(taken[0].numpy(), dtype=np.float32)


def push_grid(grid: Array, positions: Array, push: Push, spacing_mm: float) -> Array:
    """Add a mass effect to the indices ``grid`` that the voxels ``positions`` read from."""
    away = positions - np.array(push.centre, dtype=np.float32)[:, None, None, None]
    distance = np.sqrt((away**2).sum(0)) * spacing_mm + 1e-3
    outside = push.shift_mm * np.exp(-np.maximum(distance - push.radius_mm, 0) / 25)
    amount = np.where(distance < push.radius_mm, push.shift_mm * distance / push.radius_mm, outside)
    return np.asarray(grid - away / distance * amount, dtype=np.float32)


@dataclass
class Anatomy:
    """Tissue shares of a study, axes (z, y, x).

    Attributes
    ----------
    fractions
        float32, shape (len(Tissue), z, y, x), sums to 1.
    brain
        float32 in 0..1: brain with sulci and ventricles.
    ventricle_mm
        Distance to the lateral ventricles, mm.
    spacing_mm
        Isotropic.
    """

    fractions: Array
    brain: Array
    ventricle_mm: Array
    spacing_mm: float

    def brain_tissue(self) -> Array:
        """Share of grey and white matter."""
        return np.asarray(self.fractions[list(BRAIN_TISSUES)].sum(0))


def deform_head(head: Head, grid: Array) -> Anatomy:
    """Read a head at the given indices, shape (3, z, y, x)."""
    known = head.fractions.shape[0]
    stack = np.concatenate([head.fractions, head.brain[None], (60 - head.ventricle_mm)[None]]).astype(np.float32)
    warped = sample(stack, grid)
    fractions: Array = np.zeros((len(Tissue), *warped.shape[1:]), dtype=np.float32)
    fractions[:known] = warped[:known] / 255
    fractions[Tissue.AIR] += np.maximum(1 - fractions.sum(0), 0)
    brain = np.asarray(warped[known] / 255, dtype=np.float32)
    return Anatomy(fractions, brain, 60 - warped[known + 1], head.spacing_mm)


def _move(fractions: Array, source: Tissue, target: Tissue, share: Array) -> None:
    moved = fractions[source] * share
    fractions[source] -= moved
    fractions[target] += moved


def add_normal_structures(rng: np.random.Generator, anatomy: Anatomy) -> None:
    """Add what is bright without being tumour: cortical veins, choroid plexus, caps and white-matter lesions."""
    fractions, shape, spacing = anatomy.fractions, anatomy.brain.shape, anatomy.spacing_mm
    veins = np.abs(smooth_noise(rng, shape, 9 / spacing)[0]) < rng.uniform(0.02, 0.14)
    veins &= np.abs(smooth_noise(rng, shape, 9 / spacing)[0]) < rng.uniform(0.2, 0.8)
    _move(fractions, Tissue.CSF, Tissue.VEIN, veins * np.float32(rng.uniform(0.3, 1.0)))
    thick = np.abs(smooth_noise(rng, shape, 16 / spacing)[0]) < rng.uniform(0.05, 0.3)
    thick &= fractal_noise(rng, shape, 30 / spacing, 2) > rng.uniform(0.6, 1.8)
    _move(fractions, Tissue.CSF, Tissue.VEIN, thick * np.float32(rng.uniform(0.5, 1.0)))
    dura = rng.uniform(0, 1)
    _move(fractions, Tissue.DURA, Tissue.CSF, np.full(shape, 1 - dura, np.float32))
    plexus = fractal_noise(rng, shape, 10 / spacing, 2) > rng.uniform(1.0, 2.4)
    _move(fractions, Tissue.VENTRICLE, Tissue.CHOROID, plexus * np.float32(rng.uniform(0.4, 1.0)))
    white_load = rng.random()
    if white_load < 0.6:
        caps = np.clip(
            1 - anatomy.ventricle_mm / rng.uniform(2, 9) + 0.5 * fractal_noise(rng, shape, 14 / spacing), 0, 1
        )
        _move(fractions, Tissue.WHITE, Tissue.LESION, caps * np.float32(rng.uniform(0.2, 0.9)))
    if white_load > 0.3:
        spots = fractal_noise(rng, shape, rng.uniform(4, 9) / spacing, 2)
        strength = np.clip((spots - rng.uniform(2.2, 3.6)) * 2, 0, 1)
        _move(fractions, Tissue.WHITE, Tissue.LESION, strength * np.float32(rng.uniform(0.3, 1.0)))
