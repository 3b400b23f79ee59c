"""Whether the brain has moved within the head between two studies: what a rigid alignment cannot follow."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import match_template

from pipeline.align.prepare import prepare
from pipeline.course.scans import Scan
from pipeline.volume.records import SourceVolume

Voxels = NDArray[np.float32]
#: Of the grid on which both are compared.
_GRID_MM: Final = 2.0
#: Half the side of a block, and how far it is looked for: 18 mm, and 10 mm to each side.
_HALF, _REACH = 4, 5
#: Distance of the blocks' centres.
_STEP: Final = 6
#: What lies nearer to the head's outline is skull, scalp and what a fold of the skin moves.
_BELOW_SKIN_MM: Final = 22.0
#: A block is known again from this correlation on, and has moved where that is so much better than at its own place.
_KNOWN, _BETTER = 0.7, 0.05
#: From here on a block has moved, mm, and from this share of the blocks on it is told.
MOVED_MM: Final = 4.0
_SHARE, _LEAST = 0.01, 5


def brain_shift_mm(now: Scan, before: Scan, transform: sitk.Transform) -> float:
    """How far the parts of the brain that have moved did so: median, mm; 0 where hardly any has.

    Blocks of the brain outside of tumour and cavity are looked for around their own place in the other study.

    Parameters
    ----------
    now, before
        The two studies.
    transform
        Maps a point of ``now``'s space to ``before``'s.
    """
    prepared = prepare(now.volume.image, now.volume.valid)
    grid = _grid(now.volume)
    present, former = (
        _resampled(one.volume.image, grid, moved) for one, moved in ((now, sitk.Transform()), (before, transform))
    )
    head = _resampled(prepared.head, grid, sitk.Transform()) > 0
    inside = ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1, 1:-1] * _GRID_MM > _BELOW_SKIN_MM
    changed = np.zeros_like(inside)
    for scan, moved in ((now, sitk.Transform()), (before, transform)):
        changed |= _any(scan, grid, moved)
    usable = inside & ~ndimage.binary_dilation(changed, iterations=2)
    steps = [step for centre in _centres(usable) if (step := _moved(present, former, centre)) is not None]
    # Across thick slices a shift is not seen.
    seen = np.array([mm <= MOVED_MM / 2 for mm in now.volume.image.GetSpacing()[::-1]])
    moved_mm = [far for one in steps if (far := float(np.linalg.norm(one[seen]))) >= MOVED_MM]
    if len(moved_mm) < max(_LEAST, _SHARE * len(steps)):
        return 0.0
    return round(float(np.median(moved_mm)), 1)


def _grid(volume: SourceVolume) -> sitk.Image:
    image = volume.image
    size = [max(1, round(count * mm / _GRID_MM)) for count, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetSpacing([_GRID_MM] * 3)
    grid.SetOrigin(image.GetOrigin())
    grid.SetDirection(image.GetDirection())
    return grid


def _resampled(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform) -> Voxels:
    found = sitk.Resample(image, grid, transform, sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(found), dtype=np.float32)


def _any(scan: Scan, grid: sitk.Image, transform: sitk.Transform) -> NDArray[np.bool_]:
    """Every region of a study on the grid."""
    image = sitk.GetImageFromArray(np.logical_or.reduce(list(scan.masks.values())).astype(np.float32))
    image.CopyInformation(scan.volume.image)
    return np.asarray(_resampled(image, grid, transform) > 0.3)


def _centres(usable: NDArray[np.bool_]) -> Iterable[tuple[int, ...]]:
    """Centres of blocks that lie in what is usable, with room for the search."""
    margin = _HALF + _REACH
    for centre in np.ndindex(*(max(0, (size - 2 * margin) // _STEP + 1) for size in usable.shape)):
        place = tuple(margin + _STEP * one for one in centre)
        if all(one + margin < size for one, size in zip(place, usable.shape, strict=True)):
            block = usable[tuple(slice(one - _HALF, one + _HALF + 1) for one in place)]
            if block.mean() > 0.9:
                yield place


def _moved(present: Voxels, former: Voxels, centre: tuple[int, ...]) -> NDArray[np.float64] | None:
    """How far a block has moved along each axis, mm; None where it is not known again."""
    block = present[tuple(slice(one - _HALF, one + _HALF + 1) for one in centre)]
    around = former[tuple(slice(one - _HALF - _REACH, one + _HALF + _REACH + 1) for one in centre)]
    if block.std() < 0.05 * block.mean():  # nothing to tell a place by
        return None
    fit = match_template(around, block)  # type: ignore[no-untyped-call]
    best = np.unravel_index(int(fit.argmax()), fit.shape)
    if fit[best] < _KNOWN:
        return None
    if fit[best] < fit[_REACH, _REACH, _REACH] + _BETTER:
        return np.zeros(3)
    return np.asarray((np.array(best) - _REACH) * _GRID_MM, dtype=np.float64)
