"""The grid a network sees, and images on it: each image is resampled once from its own slices."""

from collections.abc import Collection, Mapping
from collections.abc import Sequence as Listing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.names import MRSequence
from pipeline.registry import InputGrid
from pipeline.volume.records import SourceVolume
from pipeline.volume.validity import Mask, darkest

Array = npt.NDArray[np.float32]
Box = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

_AXIS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
#: Full width at half maximum of a Gaussian of unit deviation.
_FWHM = 2.3548
#: Of a voxel of the grid at least this much was imaged, or it counts as not imaged.
_HALF = 0.5
#: Sequences that are sampled side by side.
_AT_ONCE = 2


def direction_of(orientation: str) -> npt.NDArray[np.float64]:
    """Return the direction cosines (columns: axes x, y, z of the grid; rows: L, P, S) of a code such as LPS."""
    matrix = np.zeros((3, 3))
    for column, letter in enumerate(orientation):
        row, sign = _AXIS[letter]
        matrix[row, column] = sign
    return matrix


def corners_of(image: sitk.Image) -> npt.NDArray[np.float64]:
    """Return the eight corners of an image's voxels, LPS, mm, shape (8, 3)."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in image.GetSize()])).reshape(3, -1).T
    return np.array([image.TransformContinuousIndexToPhysicalPoint(corner.tolist()) for corner in corners])


def extent_of(image: sitk.Image) -> Box:
    """Return the lowest and highest corner (LPS, mm) of the box around an image's voxels."""
    points = corners_of(image)
    return points.min(axis=0), points.max(axis=0)


def make_grid(box: Box, spec: InputGrid, least: tuple[int, int, int] = (0, 0, 0)) -> sitk.Image:
    """Return an empty image whose voxels a network sees.

    Parameters
    ----------
    box
        What must be covered, LPS, mm.
    spec
        Spacing, orientation, multiple; a ``fixed`` window is a lower bound of the size.
    least
        Lower bound of the size, (z, y, x).

    Returns
    -------
    SimpleITK.Image
        uint8, centred on the box; sizes are multiples of ``spec.multiple``.
    """
    direction = direction_of(spec.orientation)
    spacing = np.array(spec.spacing_mm)
    extent = np.abs(direction.T @ (box[1] - box[0]))
    floor = np.maximum(np.array(least[::-1]), np.array(spec.window[::-1]) if spec.fixed else 0)
    size = np.maximum(np.ceil(extent / spacing), floor)
    size = (np.ceil(size / spec.multiple) * spec.multiple).astype(int)
    grid = sitk.Image([int(n) for n in size], sitk.sitkUInt8)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection(direction.ravel().tolist())
    centre = (box[0] + box[1]) / 2
    grid.SetOrigin((centre - direction @ (spacing * (size - 1) / 2)).tolist())
    return grid


@dataclass(frozen=True)
class Sampled:
    """Sequences on one grid, in a network's order; axes (sequence, z, y, x).

    Attributes
    ----------
    images
        float32 above each series' own darkest value, which is 0, as is what was not imaged.
    valid
        bool, where each was imaged; nowhere for a sequence that is not there.
    darkest
        float32, shape (sequences, 1, 1, 1): what was taken off each.
    """

    images: Array
    valid: Mask
    darkest: Array

    @property
    def raw(self) -> Array:
        """Grey values as in the files, 0 where not imaged."""
        return np.where(self.valid, self.images + self.darkest, np.float32(0))

    def without(self, sequences: Collection[MRSequence], order: Listing[MRSequence]) -> "Sampled":
        """Return the same as if some sequences were not there."""
        kept = np.array([one not in sequences for one in order])[:, None, None, None]
        return self if kept.all() else replace(self, images=self.images * kept, valid=self.valid & kept)


def sample_all(
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    spec: InputGrid,
    grid: sitk.Image,
) -> Sampled:
    """Bring the sequences onto a grid in the reference's space, in the network's order."""
    shape = (len(spec.order), *grid.GetSize()[::-1])
    found = Sampled(
        np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool), np.zeros((len(spec.order), 1, 1, 1), np.float32)
    )

    def fill(k: int) -> None:
        sequence = spec.order[k]
        volume = volumes[sequence]
        found.darkest[k] = darkest(volume.image, volume.valid)
        found.images[k], found.valid[k] = _sampled(
            volume, found.darkest[k].item(), alignments[sequence].transform, grid
        )

    # Half of the work keeps one core busy, so that two sequences are at it together: more would take more memory.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fill, [k for k, sequence in enumerate(spec.order) if sequence in volumes]))
    return found


def _sampled(volume: SourceVolume, base: float, transform: sitk.Transform, grid: sitk.Image) -> tuple[Array, Mask]:
    """Resample one series above its darkest value, and tell where it was imaged.

    Grey values mean nothing by themselves: a scanner's offset, a rescale intercept or an inversion move them all.
    Counted from the darkest they are the same, and what was not imaged is as dark as air.

    Returns
    -------
    (float32, bool), shapes (z, y, x); 0 where not imaged.
    """
    above = sitk.Clamp(volume.image - base, sitk.sitkFloat32, 0.0)
    if volume.valid is not None:
        above = sitk.Mask(above, volume.valid)
    moved = sample(above, transform, grid, outside=np.nan)
    valid = np.isfinite(moved)
    if volume.valid is not None:
        seen = sitk.Cast(volume.valid, sitk.sitkFloat32)
        valid &= sitk.GetArrayFromImage(sitk.Resample(seen, grid, transform, sitk.sitkLinear, 0.0)) >= _HALF
    return np.where(valid, moved, np.float32(0)), valid


def sample(image: sitk.Image, transform: sitk.Transform, grid: sitk.Image, outside: float = 0.0) -> Array:
    """Resample one image, smoothed along the axes on which it is finer than the grid.

    Parameters
    ----------
    image
        float32.
    transform
        Maps points of the grid's space to the image's.
    grid
        Where to.
    outside
        Value beyond the image.

    Returns
    -------
    float32, shape (z, y, x).
    """
    steps = _steps(image, grid)
    # Whole voxels averaged first, down to two a step: a wide kernel over many voxels is what would take the time.
    sides = zip(steps, image.GetSpacing(), image.GetSize(), strict=True)
    image = sitk.BinShrink(image, [max(1, min(int(step / (2 * one)), size)) for step, one, size in sides])
    variances = [max(0.0, step**2 - one**2) / _FWHM**2 for step, one in zip(steps, image.GetSpacing(), strict=True)]
    if any(variances):
        # Without this, fine detail folds into the coarse grid as noise.
        image = sitk.DiscreteGaussian(image, variances, 32, 0.01, True)
    moved = sitk.Resample(image, grid, transform, sitk.sitkLinear, outside, sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(moved), dtype=np.float32)


def _steps(image: sitk.Image, grid: sitk.Image) -> list[float]:
    """How far apart the voxels of a grid lie along each axis of an image, mm."""
    spacing = np.array(grid.GetSpacing())
    if spacing.min() == spacing.max():
        return [float(spacing.max())] * 3
    cosines = np.array(grid.GetDirection()).reshape(3, 3).T @ np.array(image.GetDirection()).reshape(3, 3)
    return [float(np.linalg.norm(spacing * column)) for column in cosines.T]


def like(array: npt.NDArray[np.float32] | npt.NDArray[np.uint8], grid: sitk.Image) -> sitk.Image:
    """Return an array (z, y, x) as an image on a grid."""
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(grid)
    return image
