"""Small copies of a volume for registration, and its head."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

Point = NDArray[np.float64]
MARGIN_MM = 11.0


@dataclass(frozen=True)
class Prepared:
    """A volume made ready for registration.

    Attributes
    ----------
    levels
        Coarse and fine, float32, intensities clamped; spacing about 6 and 2 mm, through the slices never
        less than the series' own.
    head
        Mask of the head (or of the brain where the skull was stripped) at about 4 mm, uint8.
    region
        The head and a margin around it, so that its outline counts, too; grid of ``head``.
    centre
        Centroid of the head, LPS mm.
    turn_scale
        Mean squared distance by which a turn of one radian moves a point of the head, mm².
    """

    levels: tuple[sitk.Image, sitk.Image]
    head: sitk.Image
    region: sitk.Image
    centre: Point
    turn_scale: float


def prepare(image: sitk.Image) -> Prepared:
    """Clamp, average down to two levels, find the head.

    Averaging whole voxels (no interpolation) leaves grid and grey values exact and needs no extra smoothing.

    Parameters
    ----------
    image
        float32, 3D, LPS mm, any orientation.
    """
    clamped = sitk.Clamp(image, sitk.sitkFloat32, *_range(image))
    head = _head(_shrunk(clamped, 4.0))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(head)
    centre = shape.GetCentroid(1) if shape.HasLabel(1) else _middle(image)
    levels = _shrunk(clamped, 6.0), _shrunk(clamped, 2.0)
    return Prepared(levels, head, _widened(head), np.array(centre), _turn_scale(shape, image))


def _range(image: sitk.Image) -> tuple[float, float]:
    """Range without the brightest half percent of the foreground: fat, vessels and spikes hold no anatomy."""
    values = sitk.GetArrayViewFromImage(image)
    low = float(values.min())
    foreground = values[values > float(values.mean())]
    high = float(np.percentile(foreground, 99.0)) if foreground.size else low
    return low, max(high, low + 1e-6)


def _shrunk(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    factors = [
        max(1, min(round(spacing_mm / spacing), size // 4))
        for spacing, size in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    shrunk: sitk.Image = sitk.BinShrink(image, factors)
    return shrunk


def _head(image: sitk.Image) -> sitk.Image:
    """Foreground by Otsu's threshold, its largest part, closed."""
    smooth = sitk.SmoothingRecursiveGaussian(image, 4.0)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(sitk.OtsuThreshold(smooth, 0, 1, 64)))
    head: sitk.Image = sitk.Cast(sitk.BinaryMorphologicalClosing(parts == 1, [2, 2, 2]), sitk.sitkUInt8)
    return head


def _widened(head: sitk.Image) -> sitk.Image:
    radius = [max(1, round(MARGIN_MM / spacing)) for spacing in head.GetSpacing()]
    region: sitk.Image = sitk.BinaryDilate(head, radius)
    return region


def _middle(image: sitk.Image) -> tuple[float, float, float]:
    middle = image.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in image.GetSize()])
    return (middle[0], middle[1], middle[2])


def _turn_scale(shape: sitk.LabelShapeStatisticsImageFilter, image: sitk.Image) -> float:
    """Two thirds of the mean squared distance from the centre: the mean over the three axes.

    ITK can estimate it, but from random points: results would differ from run to run.
    """
    if shape.HasLabel(1):
        return 2.0 / 3.0 * float(sum(shape.GetPrincipalMoments(1)))
    extent = np.array(image.GetSize()) * np.array(image.GetSpacing())
    return 2.0 / 3.0 * float((extent**2).sum()) / 12.0
