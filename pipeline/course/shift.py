"""Whether the brain has moved within the head between two studies: what a rigid alignment cannot follow."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import cdist
from skimage.feature import match_template

from pipeline.align.prepare import prepare
from pipeline.course.scans import Scan
from pipeline.volume.boxes import to_mm
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
#: Of the movement of any place: the grid it is told on, how far around it blocks count (standard deviation), and what
#: holds it where it is, against the weight of one block at the place itself.
_FIELD_MM, _AROUND_MM, _STILL = 6.0, 10.0, 0.1


@dataclass(frozen=True, eq=False)
class BrainShift:
    """How the brain has moved in the head.

    Attributes
    ----------
    mm
        How far the parts that have moved did so: median; 0 where hardly any has.
    centres
        Of the parts that are known again, in the newer study's space, LPS mm, shape (n, 3).
    steps
        From there to where each was in the other study, once both heads lie alike; LPS mm, shape (n, 3).
    """

    mm: float
    centres: NDArray[np.float64]
    steps: NDArray[np.float64]

    def local(self, image: sitk.Image) -> sitk.Transform | None:
        """The movement as a transform of the newer study's space; None where there is none.

        A place moves as the parts around it do, which are weighed by their distance; where none is near, not at all.

        Parameters
        ----------
        image
            The newer study's, for its extent.
        """
        if not self.mm:
            return None
        size = [
            int(np.ceil(count * mm / _FIELD_MM)) + 1
            for count, mm in zip(image.GetSize(), image.GetSpacing(), strict=True)
        ]
        field = sitk.Image(size, sitk.sitkVectorFloat64, 3)
        field.SetSpacing([_FIELD_MM] * 3)
        field.SetOrigin(image.GetOrigin())
        field.SetDirection(image.GetDirection())
        index = np.moveaxis(np.indices(size[::-1]), 0, -1).reshape(-1, 3)[:, ::-1]
        places = index @ to_mm(field).T + np.array(field.GetOrigin())
        weights = np.exp(-cdist(places, self.centres, "sqeuclidean") / (2 * _AROUND_MM**2))
        moved = weights @ self.steps / (weights.sum(axis=1, keepdims=True) + _STILL)
        filled = sitk.GetImageFromArray(moved.reshape(*size[::-1], 3), isVector=True)
        filled.CopyInformation(field)
        return sitk.DisplacementFieldTransform(filled)


def brain_shift(now: Scan, before: Scan, transform: sitk.Transform) -> BrainShift:
    """Find how far the parts of the brain have moved that did.

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
    # Across thick slices a shift is not seen.
    seen = np.array([mm <= MOVED_MM / 2 for mm in now.volume.image.GetSpacing()[::-1]])
    known = [
        (centre, step * seen) for centre in _centres(usable) if (step := _moved(present, former, centre)) is not None
    ]
    far = np.array([np.linalg.norm(step) for _, step in known])
    moved_mm = far[far >= MOVED_MM]
    enough = len(moved_mm) >= max(_LEAST, _SHARE * len(known))
    steps_mm = to_mm(grid)
    centres = np.array([centre for centre, _ in known], dtype=np.float64).reshape(-1, 3)
    steps = np.array([step for _, step in known], dtype=np.float64).reshape(-1, 3)
    return BrainShift(
        round(float(np.median(moved_mm)), 1) if enough else 0.0,
        centres[:, ::-1] @ steps_mm.T + np.array(grid.GetOrigin()),
        steps[:, ::-1] / _GRID_MM @ steps_mm.T,
    )


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
