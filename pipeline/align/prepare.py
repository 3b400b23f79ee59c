"""Small copies of a volume for registration, and its head."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.volume.validity import darkest

Point = NDArray[np.float64]
MARGIN_MM = 11.0
#: The outermost plane imaged cuts a body off where it holds more than this part of what the fullest plane holds.
CUT_OFF = 0.25
#: Fewer planes are no volume to cut anything off.
LEAST_PLANES = 4


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

    def mirrored(self) -> "Prepared":
        """What was left of the head's centre is right of it; grey values stay where they are in their arrays."""
        return replace(
            self,
            levels=(_mirrored(self.levels[0], self.centre[0]), _mirrored(self.levels[1], self.centre[0])),
            head=_mirrored(self.head, self.centre[0]),
            region=_mirrored(self.region, self.centre[0]),
        )


def _mirrored(image: sitk.Image, middle: float) -> sitk.Image:
    """The same image in space mirrored at the sagittal plane ``x = middle``, LPS mm."""
    turned = sitk.Image(image)
    x, y, z = image.GetOrigin()
    turned.SetOrigin((2 * middle - x, y, z))
    columns = image.GetDirection()
    turned.SetDirection((*(-one for one in columns[:3]), *columns[3:]))
    return turned


def prepare(image: sitk.Image, valid: sitk.Image | None = None) -> Prepared:
    """Clamp, average down to two levels, find the head.

    Averaging whole voxels (no interpolation) leaves grid and grey values exact and needs no extra smoothing.

    Parameters
    ----------
    image
        float32, 3D, LPS mm, any orientation.
    valid
        uint8, 1 where imaged; None where all was. Where it cuts the head off, so is the field of view.
    """
    if valid is None:
        low = float(sitk.GetArrayViewFromImage(image).min())
    else:
        # What was not imaged is as dark as air: the metric sees the outline of what was, and no padding.
        low = darkest(image, valid)
        image = _imaged_planes(sitk.Mask(image, valid, low), valid)
    clamped = sitk.Clamp(image, sitk.sitkFloat32, *_range(image, low))
    head = _head(_shrunk(clamped, 4.0))
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(head)
    centre = shape.GetCentroid(1) if shape.HasLabel(1) else _middle(image)
    levels = _shrunk(clamped, 6.0), _shrunk(clamped, 2.0)
    return Prepared(levels, head, _widened(head), np.array(centre), _turn_scale(shape, image))


def _imaged_planes(image: sitk.Image, valid: sitk.Image) -> sitk.Image:
    """Without the outer planes of which nothing was imaged where these cut a body off, rather than lie in air."""
    imaged = np.asarray(sitk.GetArrayViewFromImage(valid)) > 0
    lower, upper = [0, 0, 0], [0, 0, 0]
    for axis in range(3):
        counts = imaged.sum(axis=tuple(other for other in range(3) if other != 2 - axis))
        inside = np.flatnonzero(counts)
        if inside.size < LEAST_PLANES:
            continue
        first, last, most = int(inside[0]), int(inside[-1]), counts.max()
        lower[axis] = first if counts[first] > CUT_OFF * most else 0
        upper[axis] = len(counts) - 1 - last if counts[last] > CUT_OFF * most else 0
    cropped: sitk.Image = sitk.Crop(image, lower, upper)
    return cropped


def _range(image: sitk.Image, low: float) -> tuple[float, float]:
    """Range without the brightest half percent of the foreground: fat, vessels and spikes hold no anatomy."""
    values = sitk.GetArrayViewFromImage(image)
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
