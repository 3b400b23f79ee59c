"""Images that cover a box of another image's grid: what a tumour needs of a series, instead of all of it."""

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

#: Slices, rows and columns of a grid, as an array is indexed.
Box = tuple[slice, slice, slice]

#: Voxels by which an image may lie beside the grid: rounding of what was written and read.
_ROUNDING = 1e-3


def to_mm(grid: sitk.Image) -> NDArray[np.float64]:
    """Return what takes steps of columns, rows and slices to LPS mm, shape (3, 3)."""
    return np.asarray(np.array(grid.GetDirection()).reshape(3, 3) * np.array(grid.GetSpacing()))


def places_of(index: NDArray[np.integer] | NDArray[np.floating], grid: sitk.Image) -> NDArray[np.float64]:
    """Return where voxels lie, LPS mm, shape (n, 3); they are given as (slice, row, column), shape (n, 3)."""
    return np.asarray(index[:, ::-1] @ to_mm(grid).T + np.array(grid.GetOrigin()))


def placed(array: NDArray[np.float32] | NDArray[np.uint8], grid: sitk.Image, box: Box) -> sitk.Image:
    """Return an array (slice, row, column) as the image that covers a box of a grid."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.GetSpacing())
    image.SetDirection(grid.GetDirection())
    image.SetOrigin(first_of(grid, box))
    return image


def first_of(grid: sitk.Image, box: Box) -> tuple[float, ...]:
    """Return the centre of a box's first voxel, LPS, mm."""
    first: tuple[float, ...] = grid.TransformIndexToPhysicalPoint([one.start for one in box[::-1]])
    return first


def box_of(image: sitk.Image, grid: sitk.Image) -> Box | None:
    """Return which box of a grid an image covers; None where its voxels are not the grid's."""
    first = np.array(grid.TransformPhysicalPointToContinuousIndex(image.GetOrigin()))
    start = np.round(first).astype(int)
    end = start + np.array(image.GetSize())
    aligned = (
        np.allclose(first, start, rtol=0, atol=_ROUNDING)
        and np.allclose(image.GetSpacing(), grid.GetSpacing(), rtol=1e-5)
        and np.allclose(image.GetDirection(), grid.GetDirection(), atol=1e-5)
    )
    if not aligned or (start < 0).any() or (end > np.array(grid.GetSize())).any():
        return None
    i, j, k = (slice(int(a), int(b)) for a, b in zip(start, end, strict=True))
    return k, j, i


def whole(image: sitk.Image, grid: sitk.Image) -> sitk.Image:
    """Return an image over a whole grid, 0 beyond the box that it covers."""
    filled: sitk.Image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0.0)
    return filled
