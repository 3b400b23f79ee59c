"""Head label maps as tissue fractions on the grids that studies are rendered on."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage, sparse

from pipeline.training.synthesis.tissues import ANATOMY, LABELS, Tissue

CANVAS_MM = (168, 192, 168)
"""Extent (z, y, x) of the grid around the brain, for the tumour network."""
HEAD_MM = 256
"""Extent of the cubic grid around the whole head, for the brain network."""
CLOSING_MM = 5

HELD_OUT = ("head_04", "head_09", "head_14", "head_18")
"""Heads never trained on; two with a cropped neck and two whole ones."""


@dataclass(frozen=True)
class Head:
    """One head on one grid, axes (z, y, x) growing to superior, posterior, left (LPS).

    Attributes
    ----------
    name
        Name of the label map.
    fractions
        uint8, shape (16, z, y, x): 255 x the share of each tissue in the voxel, sums to 255.
    brain
        uint8, shape (z, y, x): 255 x the share of brain with its sulci and ventricles.
    ventricle_mm
        uint8, shape (z, y, x): distance to the lateral ventricles in mm, clipped at 60.
    spacing_mm
        Isotropic.
    """

    name: str
    fractions: npt.NDArray[np.uint8]
    brain: npt.NDArray[np.uint8]
    ventricle_mm: npt.NDArray[np.uint8]
    spacing_mm: float


def _tissue_map(labels: npt.NDArray[np.uint16], seed: int) -> npt.NDArray[np.uint8]:
    table = np.zeros(int(labels.max()) + 1, dtype=np.uint8)
    for tissue, members in LABELS.items():
        for label in members:
            if label < table.size:
                table[label] = tissue
    tissues = table[labels]
    soft = tissues == Tissue.MUSCLE
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal(tuple(n // 6 + 1 for n in labels.shape)).astype(np.float32)
    noise = ndimage.zoom(coarse, [n / c for n, c in zip(labels.shape, coarse.shape, strict=True)], order=1)
    skin_mm = ndimage.distance_transform_edt((tissues != Tissue.SKIN) & (tissues != Tissue.AIR))
    eye_mm = ndimage.distance_transform_edt(tissues != Tissue.EYE)
    tissues[soft & ((skin_mm < 6 + noise) | (eye_mm < 14) | (noise > 0.5))] = Tissue.FAT
    bone_mm = ndimage.distance_transform_edt(tissues != Tissue.BONE)
    tissues[(tissues == Tissue.CSF) & (bone_mm < 1.5)] = Tissue.DURA
    return tissues


def _brain_mask(labels: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    inside = (labels > 0) & (labels < 500) & (labels != 24)
    padded = np.pad(inside, CLOSING_MM + 1)
    grown = ndimage.distance_transform_edt(~padded) <= CLOSING_MM
    closed = ndimage.distance_transform_edt(grown) > CLOSING_MM
    closed = closed[(slice(CLOSING_MM + 1, -CLOSING_MM - 1),) * 3] | inside
    return np.asarray(closed & (labels < 500) & (labels > 0))


def _pool(volume: npt.NDArray[np.float32], spacing_mm: float) -> npt.NDArray[np.float32]:
    """Means of the voxels of 1 mm, or of their halves, that a larger voxel holds."""
    for axis in range(3):
        lines = np.moveaxis(volume, axis, 0)
        means = _means(len(lines), spacing_mm) @ lines.reshape(len(lines), -1)
        volume = np.moveaxis(means.reshape(-1, *lines.shape[1:]), 0, axis)
    return np.ascontiguousarray(volume)


def _means(n: int, spacing_mm: float) -> sparse.csr_matrix:
    """Shares of ``n`` voxels of 1 mm in each voxel of a multiple of half a mm that they fill."""
    halves = round(2 * spacing_mm)
    count = 2 * n // halves
    half = np.arange(count * halves)
    shares = np.full(len(half), 1 / halves, dtype=np.float32)
    return sparse.coo_matrix((shares, (half // halves, half // 2)), shape=(count, n)).tocsr()


def _place(volume: npt.NDArray[Any], centre: npt.NDArray[np.intp], extent: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Cut a box of 1 mm voxels around a centre, padded with zeros."""
    out = np.zeros(extent, dtype=volume.dtype)
    source, target = [], []
    for n, c, size in zip(volume.shape, centre, extent, strict=True):
        start = int(c) - size // 2
        low, high = max(start, 0), min(start + size, n)
        source.append(slice(low, high))
        target.append(slice(low - start, high - start))
    out[tuple(target)] = volume[tuple(source)]
    return out


def load_head(
    path: Path,
    spacing_mm: float,
    whole: bool,
    cache: Path | None = None,
    extent_mm: tuple[int, int, int] | None = None,
) -> Head:
    """Read a label map and turn it into tissue fractions.

    Parameters
    ----------
    path
        A NIfTI label map of 1 mm with FreeSurfer's labels and 502-530 outside the brain.
    spacing_mm
        Of the grid to make: a multiple of half a mm.
    whole
        True for the whole head (256 mm cube), False for the box around the brain.
    cache
        Folder for the finished arrays; None to compute afresh.
    extent_mm
        Another extent (z, y, x) of the grid, not cached.

    Returns
    -------
    Head
    """
    key = hashlib.sha256(f"{path.name}{path.stat().st_size}{spacing_mm}{whole}v3".encode()).hexdigest()[:16]
    name = path.name.split(".")[0]
    cached = cache / f"{name}-{key}.npz" if cache and extent_mm is None else None
    if cached is not None and cached.exists():
        with np.load(cached) as data:
            return Head(name, data["fractions"], data["brain"], data["ventricle_mm"], float(spacing_mm))
    labels = sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")).astype(np.uint16)
    tissues = _tissue_map(labels, seed=int(key, 16) % 2**32)
    brain = _brain_mask(labels)
    lateral = np.isin(labels, (4, 43))
    near = ndimage.distance_transform_edt(~lateral)
    where = np.argwhere(brain)
    centre = (where.min(0) + where.max(0)) // 2
    if whole:
        head = np.argwhere(tissues > 0)
        middle = (head.min(0) + head.max(0)) // 2
        height = extent_mm[0] if extent_mm else HEAD_MM
        lowest = min(middle[0], head[:, 0].max() - height // 2 + 12)
        # a short box keeps the crown and leaves out the neck
        centre = np.array([lowest if extent_mm is None else head[:, 0].max() - height // 2 + 4, middle[1], middle[2]])
    extent = extent_mm or ((HEAD_MM,) * 3 if whole else CANVAS_MM)
    box = _place(tissues, centre, extent)
    fractions = np.stack([_pool((box == t).astype(np.float32), spacing_mm) for t in range(ANATOMY)])
    made = Head(
        name=name,
        fractions=np.round(fractions * 255).astype(np.uint8),
        brain=np.round(_pool(_place(brain, centre, extent).astype(np.float32), spacing_mm) * 255).astype(np.uint8),
        ventricle_mm=np.clip(
            _pool(60 - _place((60 - np.clip(near, 0, 60)).astype(np.float32), centre, extent), spacing_mm), 0, 60
        ).astype(np.uint8),
        spacing_mm=float(spacing_mm),
    )
    if cached is not None:
        cached.parent.mkdir(parents=True, exist_ok=True)
        partial = cached.with_suffix(".part.npz")
        np.savez(partial, fractions=made.fractions, brain=made.brain, ventricle_mm=made.ventricle_mm)
        partial.replace(cached)
    return made


def head_paths(folder: Path) -> tuple[list[Path], list[Path]]:
    """Label maps to train on and those held out, sorted by name."""
    paths = sorted(folder.glob("*.nii.gz"))
    held = [p for p in paths if p.name.split(".")[0] in HELD_OUT]
    return [p for p in paths if p not in held], held
