"""Balls on a grid, for the tests of a patient's course."""

import numpy as np
import SimpleITK as sitk

from pipeline.course.lesions import Labelled, Mask, lesions_of
from pipeline.course.symmetry import MidSagittalPlane
from pipeline.names import Region

PLANE = MidSagittalPlane(np.array([1.0, 0.0, 0.0]), 0.0)
Ball = tuple[tuple[float, float, float], float]


def grid(
    size: tuple[int, int, int] = (110, 120, 60), spacing: tuple[float, float, float] = (1.0, 1.0, 2.0)
) -> sitk.Image:
    """An empty image around the origin, LPS mm."""
    image = sitk.Image(list(size), sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin([-(count - 1) * mm / 2 for count, mm in zip(size, spacing, strict=True)])
    return image


def balls(image: sitk.Image, *found: Ball) -> Mask:
    """Mask, shape (slices, rows, columns), of balls by centre (LPS mm) and radius (mm)."""
    index = np.moveaxis(np.indices(image.GetSize()[::-1]), 0, -1).reshape(-1, 3)[:, ::-1].astype(np.float64)
    to_mm = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    points = index @ to_mm.T + np.array(image.GetOrigin())
    inside = np.zeros(len(points), dtype=bool)
    for centre, radius in found:
        inside |= np.linalg.norm(points - np.array(centre), axis=1) <= radius
    return inside.reshape(image.GetSize()[::-1])


def labelled(*found: Ball, image: sitk.Image | None = None) -> Labelled:
    """The lesions of balls, as an enhancing tumour."""
    image = image or grid()
    return lesions_of({Region.ET: balls(image, *found)}, image, PLANE)[Region.ET]
