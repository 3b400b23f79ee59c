"""Real BraTS-layout cases in memory, from which endless samples are drawn."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.evaluation.cases import Case, find_cases
from pipeline.evaluation.labels import scheme_of
from pipeline.inference.grids import sample
from pipeline.names import REQUIRED_SEQUENCES, MRSequence

STORED_MM: Final = 1.5
"""Voxels of a case in memory."""
NETWORK_MM: Final = 1.5
"""Voxels of the tumour network's grid."""
NEAR_MM: Final = 20.0
"""Distances are kept up to here, as nearness: twice this deep inside, this at the surface, 0 far away."""
HEALTHY_MEAN: Final = 4.0
"""Mean of the healthy brain in a stored image; its deviation is 1, and what is outside the brain is 0."""

_BRAIN, _TUMOUR, _CAVITY = 7, 8, 9


@dataclass(frozen=True)
class Patch:
    """A case or a mixture of two on the network's grid.

    Attributes
    ----------
    fields
        float32, shape (10, z, y, x): four images, WT, TC, ET in 0..1, nearness to the brain and to the whole tumour,
        cavity in 0..1.
    """

    fields: npt.NDArray[np.float32]

    @property
    def images(self) -> npt.NDArray[np.float32]:
        """Shape (4, z, y, x), healthy brain at :data:`HEALTHY_MEAN`, 0 outside."""
        return self.fields[:4]

    @property
    def regions(self) -> npt.NDArray[np.float32]:
        """WT, TC, ET, shape (3, z, y, x), the share of each voxel."""
        return self.fields[4:7]

    @property
    def cavity(self) -> npt.NDArray[np.float32]:
        """Where tumour was cut out, shape (1, z, y, x), the share of each voxel."""
        return self.fields[_CAVITY:]

    @property
    def brain_mm(self) -> npt.NDArray[np.float32]:
        """Distance outward from the brain's surface, mm, negative inside, at most :data:`NEAR_MM`."""
        return np.asarray(NEAR_MM - self.fields[_BRAIN], dtype=np.float32)

    @property
    def tumour_mm(self) -> npt.NDArray[np.float32]:
        """Distance outward from the tumour's surface."""
        return np.asarray(NEAR_MM - self.fields[_TUMOUR], dtype=np.float32)


@dataclass(frozen=True)
class RealCase:
    """One case in memory.

    Attributes
    ----------
    name
        Of its folder.
    fields
        As in :class:`Patch`, but float16, on a grid of :data:`STORED_MM`, and without a cavity, which research cases
        before surgery have none of: shape (9, z, y, x); mapped from a file where there is a cache, so that more cases
        than memory holds can be learnt from.
    """

    name: str
    fields: npt.NDArray[np.float16]

    @cached_property
    def centre(self) -> npt.NDArray[np.float64]:
        """Middle of the box around the brain, voxels (z, y, x)."""
        inside = np.argwhere(self.fields[_BRAIN] > NEAR_MM)
        return np.asarray((inside.min(0) + inside.max(0)) / 2)

    @cached_property
    def tumour_voxels(self) -> npt.NDArray[np.int32]:
        """Some voxels of the whole tumour, shape (n, 3), relative to :attr:`centre`; n may be 0."""
        inside = np.argwhere(self.fields[4] > 0.5)
        return np.asarray(inside[:: max(1, len(inside) // 2000)] - self.centre, dtype=np.int32)


def load_cases(folder: Path, cache: Path) -> list[RealCase]:
    """Read the skull-stripped, co-registered cases of a folder, each with a segmentation.

    Parameters
    ----------
    folder
        In the BraTS layout.
    cache
        Where what was made of a case is kept, about 20 MB each.

    Raises
    ------
    GlioLoopError
        STUDY_EMPTY, FILE_UNREADABLE.
    """
    cache.mkdir(parents=True, exist_ok=True)
    return [RealCase(case.name, _cached(case, cache)) for case in find_cases(folder)]


def _cached(case: Case, cache: Path) -> npt.NDArray[np.float16]:
    kept = cache / f"{case.name}.npy"
    if not kept.exists():
        part = kept.with_suffix(".part.npy")
        np.save(part, fields_of(case))
        part.replace(kept)
    fields: npt.NDArray[np.float16] = np.load(kept, mmap_mode="r", allow_pickle=False)
    return fields


def fields_of(case: Case) -> npt.NDArray[np.float16]:
    """Read one case as in :class:`RealCase`; a sequence that lacks is zero."""
    images, labels = case.read_images(), case.read_labels()
    grid = _grid(labels)
    identity = sitk.Transform(3, sitk.sitkIdentity)
    empty = np.zeros(grid.GetSize()[::-1], np.float32)
    stack = [sample(images[s], identity, grid) if s in images else empty for s in REQUIRED_SEQUENCES]
    truth = scheme_of(case).regions(sitk.GetArrayFromImage(labels))
    regions = []
    for region in truth:
        image = sitk.GetImageFromArray(region.astype(np.float32))
        image.CopyInformation(labels)
        regions.append(sample(image, identity, grid))
    inside = _read_brain(images, grid)
    tumour = np.asarray(regions[0] > 0.5)
    stack = [_standardise(image, inside, tumour) for image in stack]
    return np.stack([*stack, *regions, _nearness(inside), _nearness(tumour)]).astype(np.float16)


def _grid(labels: sitk.Image) -> sitk.Image:
    size = [int(np.ceil(n * mm / STORED_MM)) for n, mm in zip(labels.GetSize(), labels.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing((STORED_MM,) * 3)
    grid.SetOrigin(labels.GetOrigin())
    grid.SetDirection(labels.GetDirection())
    return grid


def _read_brain(images: dict[MRSequence, sitk.Image], grid: sitk.Image) -> npt.NDArray[np.bool_]:
    seen = np.any([sitk.GetArrayViewFromImage(image) > 0 for image in images.values()], axis=0)
    mask = sitk.GetImageFromArray(ndimage.binary_fill_holes(seen).astype(np.uint8))
    mask.CopyInformation(next(iter(images.values())))
    moved = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return np.asarray(sitk.GetArrayFromImage(moved) > 0)


def _standardise(
    image: npt.NDArray[np.float32], brain: npt.NDArray[np.bool_], tumour: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    healthy = image[brain & ~tumour & (image > 0)]
    if healthy.size == 0:
        return np.zeros_like(image)
    low, high = np.percentile(healthy, (2, 98))
    core = healthy[(healthy >= low) & (healthy <= high)]
    scaled = (image - core.mean()) / max(float(core.std()), 1e-6) + HEALTHY_MEAN
    return np.where(brain & (image > 0), np.clip(scaled, 0.05, 16), 0).astype(np.float32)


def _nearness(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    inward = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return np.asarray(np.clip(NEAR_MM + inward * STORED_MM, 0, 2 * NEAR_MM), dtype=np.float32)
