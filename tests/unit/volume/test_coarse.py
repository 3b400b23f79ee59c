"""Volumes finer than networks see are averaged down; where things lie stays."""

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.volume.coarse import coarse
from pipeline.volume.records import SourceVolume


def volume_of(array: np.ndarray, spacing: tuple[float, float, float], valid: np.ndarray | None = None) -> SourceVolume:
    """A volume on an oblique grid."""
    turned = sitk.Euler3DTransform()
    turned.SetRotation(0.3, -0.2, 0.5)

    def placed(values: np.ndarray) -> sitk.Image:
        image = sitk.GetImageFromArray(values)
        image.SetSpacing(spacing)
        image.SetOrigin((11.0, -7.0, 3.0))
        image.SetDirection(turned.GetMatrix())
        return image

    return SourceVolume(placed(array), (), "1", "2", "3", valid=None if valid is None else placed(valid))


@pytest.mark.parametrize("spacing", [(0.2, 0.2, 0.9), (0.35, 0.5, 0.66), (0.05, 1.0, 5.0)])
def test_the_matrix_does_not_matter(spacing: tuple[float, float, float]) -> None:
    """However fine the series, what is computed on is about 1 mm, over the same place."""
    size = [round(60 / one) for one in spacing]
    z, y, x = np.meshgrid(*[np.arange(n) * s for n, s in zip(size[::-1], spacing[::-1], strict=True)], indexing="ij")
    blob = np.exp(-((x - 25) ** 2 + (y - 30) ** 2 + (z - 35) ** 2) / 100).astype(np.float32)
    found = coarse(volume_of(blob, spacing)).image
    assert min(found.GetSpacing()) > 2 / 3
    assert max(found.GetSpacing()) < max(4 / 3, max(spacing) + 1e-6)
    for image in (volume_of(blob, spacing).image, found):
        values = sitk.GetArrayFromImage(image).astype(float)
        index = [float((values * one).sum() / values.sum()) for one in np.indices(values.shape)[::-1]]
        place = image.TransformContinuousIndexToPhysicalPoint(index)
        same = volume_of(blob, spacing).image.TransformContinuousIndexToPhysicalPoint(
            [25 / spacing[0], 30 / spacing[1], 35 / spacing[2]]
        )
        assert np.linalg.norm(np.subtract(place, same)) < 0.5


def test_what_was_not_imaged_stays_so() -> None:
    array = np.full((30, 60, 60), 100, dtype=np.float32)
    array[:, :, 40:] = 0
    valid = (array > 0).astype(np.uint8)
    found = coarse(volume_of(array, (0.5, 0.5, 1.0), valid))
    assert found.valid is not None and found.valid.GetSize() == found.image.GetSize() == (30, 30, 30)
    assert (sitk.GetArrayFromImage(found.valid) == (sitk.GetArrayFromImage(found.image) > 50)).all()


def test_a_usual_series_is_left_alone() -> None:
    volume = volume_of(np.ones((8, 20, 20), dtype=np.float32), (0.9, 0.9, 5.0))
    assert coarse(volume) is volume
