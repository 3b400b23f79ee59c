"""A copy of a volume that is no finer than anything computed on it: alignment and networks see 2 mm and more."""

from dataclasses import replace

import SimpleITK as sitk

from pipeline.volume.records import SourceVolume

#: What voxels are averaged to, along each axis for itself; two thirds of it and finer becomes coarser.
COARSE_MM = 1.0
#: Of the voxels averaged at least this much was imaged, or the mean counts as not imaged.
_HALF = 0.5


def coarse(volume: SourceVolume) -> SourceVolume:
    """Average whole voxels of a volume down to about 1 mm; time and memory then follow the head, not the matrix.

    Returns
    -------
    SourceVolume
        The volume itself where no axis is fine enough. Otherwise its grey values on a grid over the same field of
        view, less than one voxel short of it; ``slices`` are still those of the series, and no longer of the image.
    """
    factors = [max(1, round(COARSE_MM / spacing)) for spacing in volume.image.GetSpacing()]
    factors = [min(factor, size) for factor, size in zip(factors, volume.image.GetSize(), strict=True)]
    if max(factors) == 1:
        return volume
    image = sitk.BinShrink(volume.image, factors)
    if volume.valid is None:
        return replace(volume, image=image)
    share = sitk.BinShrink(sitk.Cast(volume.valid, sitk.sitkFloat32), factors)
    return replace(volume, image=image, valid=share >= _HALF)
