"""Grids, sampling and windows: where things are, and that nothing is lost between windows."""

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.inference.grids import Sampled, extent_of, like, make_grid, sample, sample_all
from pipeline.inference.windows import predict, starts, weights
from pipeline.names import MRSequence
from pipeline.registry import InputGrid
from pipeline.volume.records import SourceVolume


def spec(**changes: object) -> InputGrid:
    values = {"order": tuple(MRSequence), "spacing_mm": (2, 2, 2), "window": (32, 32, 32), "multiple": 16}
    return InputGrid.model_validate(values | changes)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "SLA"])
def test_grid_covers_an_oblique_box(orientation: str) -> None:
    image = sitk.Image(60, 50, 20, sitk.sitkFloat32)
    image.SetSpacing((0.9, 1.1, 5.0))
    image.SetDirection(sitk.VersorTransform((0.2, -0.1, 0.3, 0.9)).GetMatrix())
    image.SetOrigin((10, -40, 70))
    grid = make_grid(extent_of(image), spec(orientation=orientation))
    assert all(n % 16 == 0 for n in grid.GetSize())
    assert sitk.DICOMOrientImageFilter_GetOrientationFromDirectionCosines(grid.GetDirection()) == orientation
    low, high = extent_of(grid)
    inner_low, inner_high = extent_of(image)
    assert (low <= inner_low + 1e-6).all() and (high >= inner_high - 1e-6).all()


def test_sampling_keeps_place_and_mean() -> None:
    fine = sitk.GaussianSource(sitk.sitkFloat32, [120] * 3, [12] * 3, [70, 55, 60], 100.0)
    grid = make_grid(extent_of(fine), spec())
    moved = like(sample(fine, sitk.Transform(), grid), grid)
    for image in (fine, moved):
        array = sitk.GetArrayFromImage(image)
        indices = [float((array * axis).sum() / array.sum()) for axis in np.indices(array.shape)]
        centre = image.TransformContinuousIndexToPhysicalPoint(indices[::-1])
        assert centre == pytest.approx((70, 55, 60), abs=0.1)
        assert float(array.sum()) * np.prod(image.GetSpacing()) == pytest.approx(
            100 * (2 * np.pi) ** 1.5 * 12**3, rel=0.01
        )


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 1.0), (0.9, 0.9, 5.0)])
def test_averaging_first_keeps_what_a_coarse_grid_shows(spacing: tuple[float, float, float]) -> None:
    size = [round(120 / one) for one in spacing]
    fine = sitk.GaussianSource(sitk.sitkFloat32, size, [14, 18, 16], [70, 55, 60], 100.0, spacing=spacing)
    turned = sitk.Euler3DTransform((60, 60, 60), 0.2, -0.1, 0.3)
    grid = make_grid((np.array([12.0] * 3), np.array([105.0] * 3)), spec(spacing_mm=(4, 4, 4)))
    # the kernel alone, on every voxel
    variances = [max(0.0, 4.0**2 - one**2) / 2.3548**2 for one in spacing]
    smooth = sitk.DiscreteGaussian(fine, variances, 32, 0.001, True)
    wanted = sitk.GetArrayFromImage(sitk.Resample(smooth, grid, turned, sitk.sitkLinear, 0.0))
    found = sample(fine, turned, grid)
    inside = (wanted > 1) & (found > 0)
    assert inside.sum() > 5000
    assert np.abs(found - wanted)[inside].max() < 1.5


def test_windows_cover_everything() -> None:
    for length, window in ((100, 32), (33, 32), (32, 32), (20, 32), (97, 48)):
        covered = np.zeros(length, dtype=bool)
        for start in starts(length, window, 0.5):
            assert start + min(window, length) <= length
            covered[start : start + window] = True
        assert covered.all()


def test_windows_join_without_a_seam() -> None:
    images = np.random.default_rng(1).normal(size=(2, 40, 70, 33)).astype(np.float32)
    calls: list[tuple[int, ...]] = []

    def network(one: np.ndarray) -> np.ndarray:
        calls.append(one.shape)
        return one[:, :1] * 2

    done: list[float] = []
    found = predict(images, (32, 32, 32), 0.5, network, done.append)
    assert found.shape == (1, 40, 70, 33)
    np.testing.assert_allclose(found[0], images[0] * 2, rtol=1e-4, atol=1e-5)
    assert len(calls) > 1 and done[-1] == 1.0
    assert predict(images, (64, 80, 64), 0.5, network).shape == (1, 40, 70, 33)


def test_gaussian_is_highest_in_the_middle() -> None:
    weight = weights((8, 16, 4))
    assert weight.shape == (8, 16, 4)
    assert weight.min() > 0
    assert weight[3, 7, 1] == weight.max()


def test_a_series_is_sampled_above_its_darkest_and_where_it_was_imaged() -> None:
    """An offset, a negative background and padding change nothing; outside is outside, whatever its value."""
    grey = np.random.default_rng(0).integers(0, 900, (40, 40, 40)).astype(np.float32)
    grey[:, :20] = 0
    grid = make_grid((np.full(3, -10.0), np.full(3, 49.0)), spec())
    still = dict.fromkeys(MRSequence, Alignment(sitk.Transform(), 0.0, 1.0, 0.0, 0.0))

    def seen(offset: float, padded: bool) -> Sampled:
        values = grey + np.float32(offset)
        valid = np.ones(grey.shape, dtype=np.uint8)
        if padded:
            values[:, :, 35:], valid[:, :, 35:] = -5000, 0
        image = sitk.GetImageFromArray(values)
        volume = SourceVolume(image, (), "1", "2", "3", valid=sitk.GetImageFromArray(valid) if padded else None)
        return sample_all({MRSequence.T2: volume}, still, spec(), grid)

    t2 = list(MRSequence).index(MRSequence.T2)
    plain = seen(0, False)
    for offset in (1000.0, -1024.0):
        moved = seen(offset, False)
        assert np.array_equal(moved.valid, plain.valid)
        np.testing.assert_allclose(moved.images, plain.images, atol=1e-3)
        np.testing.assert_allclose(
            moved.raw[t2][plain.valid[t2]], plain.images[t2][plain.valid[t2]] + offset, atol=1e-3
        )
    assert not plain.valid[0].any() and plain.valid[t2].mean() == pytest.approx(0.2, abs=0.1)
    padded = seen(0, True)
    assert padded.valid.sum() < plain.valid.sum()
    assert not (padded.valid & ~plain.valid).any()
    assert not padded.images[~padded.valid].any()
