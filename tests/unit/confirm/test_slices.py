"""Slices that are no images of their own: projections and averages over slabs, copies, gaps."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from pipeline.confirm import look_at_slices
from pipeline.errors import GlioLoopError
from pipeline.volume import SourceVolume, read_volume

Values = NDArray[np.float64]
Slab = Callable[..., Values]


def head(seed: int = 1, slices: int = 36) -> Values:
    """Structures of a few voxels, noise, and air around; whole numbers, axes (slice, row, column)."""
    rng = np.random.default_rng(seed)
    tissue = 400 + 900 * gaussian_filter(rng.normal(size=(slices, 96, 96)), (0.7, 1.5, 1.5))
    row, column = np.mgrid[-1:1:96j, -1:1:96j]
    tissue *= row**2 + column**2 < 0.7
    return np.round(np.abs(tissue + rng.normal(0, 12, tissue.shape)))


def volume(values: Values, spacing: float = 4.0, thickness: float | None = 3.5) -> SourceVolume:
    """As it would be read."""
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((1.0, 1.0, spacing))
    return SourceVolume(image, (), "1.2", "1.2.3", "1.2.4", thickness)


def slabs(values: Values, count: int, project: Slab) -> Values:
    """Over so many slices each, one slice on from one to the next."""
    return np.array([project(values[k : k + count], axis=0) for k in range(len(values) - count + 1)])


def codes(series: SourceVolume) -> list[str]:
    """Of the flags."""
    return [flag.code for flag in look_at_slices(series)]


@pytest.mark.parametrize("spacing", [1.0, 5.5, 7.8])
def test_slices_of_their_own_raise_nothing(spacing: float) -> None:
    assert codes(volume(head(), spacing, spacing / 1.3)) == []
    assert codes(volume(head(), spacing, None)) == []


@pytest.mark.parametrize("count", [2, 3, 8])
@pytest.mark.parametrize("project", [np.max, np.min, np.median])
def test_projections_over_overlapping_slabs_are_refused(project: Slab, count: int) -> None:
    shown = slabs(head(), count + (project is np.median), project)
    with pytest.raises(GlioLoopError, match="as projections over slabs do") as refused:
        look_at_slices(volume(shown))
    assert refused.value.code == "PIXELS_INVALID"


@pytest.mark.parametrize(
    "altered",
    [
        pytest.param(lambda shown: np.round(shown / 16), id="of 8 bits"),
        pytest.param(lambda shown: np.round(shown * 2.441 + 100), id="of another scale"),
        pytest.param(lambda shown: zoom(shown, (1, 1.3, 1.3), order=1), id="of another matrix"),
        pytest.param(lambda shown: np.round(shown + np.random.default_rng(2).normal(0, 2, shown.shape)), id="lossy"),
    ],
)
def test_projections_are_told_however_they_were_stored(altered: Callable[[Values], Values]) -> None:
    assert codes(volume(altered(head()))) == []
    with pytest.raises(GlioLoopError, match="as projections over slabs do"):
        look_at_slices(volume(altered(slabs(head(), 4, np.max))))


@pytest.mark.parametrize("count", [2, 3, 8])
def test_averages_over_thick_slabs_are_flagged(count: int) -> None:
    (flag,) = look_at_slices(volume(slabs(head(), count, np.mean)))
    assert flag.code == "COARSE_SLICES"
    assert f"each over about {4 * count} mm" in flag.detail
    assert codes(volume(slabs(head(), count, np.mean), 0.8)) == []


def test_interpolated_thick_slices_are_flagged() -> None:
    assert codes(volume(zoom(head(), (8, 1, 1), order=1, mode="nearest"), 1.25, 1.25)) == ["COARSE_SLICES"]


@pytest.mark.parametrize(("spacing", "thickness"), [(8.8, 4.4), (8.8, None), (2.0, 1.0), (6.0, 3.0), (5.0, 3.0)])
def test_every_second_slice_missing_is_flagged(spacing: float, thickness: float | None) -> None:
    assert codes(volume(head()[::2], spacing, thickness)) == ["COARSE_SLICES"]


def test_most_slices_missing_is_refused() -> None:
    with pytest.raises(GlioLoopError) as refused:
        look_at_slices(volume(head()[::3], 13.2))
    assert refused.value.code == "GEOMETRY_INCOMPLETE"


def test_a_picture_stored_again_is_flagged_with_its_place() -> None:
    values = head()
    values[20] = values[19]
    (flag,) = look_at_slices(volume(values))
    assert flag.code == "SLICES_REPEATED"
    assert "slices 21 show" in flag.detail


@pytest.mark.parametrize("stored", [head()[np.arange(36) // 2], head()[np.minimum(np.arange(36), 12)]])
def test_one_picture_at_most_places_is_refused(stored: Values) -> None:
    with pytest.raises(GlioLoopError, match="show the picture of the one before") as refused:
        look_at_slices(volume(stored))
    assert refused.value.code == "PIXELS_INVALID"


@pytest.mark.parametrize("values", [np.zeros((20, 64, 64)), np.indices((20, 64, 64))[1] // 16 * 50.0])
def test_drawings_say_nothing(values: Values) -> None:
    assert codes(volume(values)) == []


def test_real_series_raise_nothing(real_study: Path, shared_data: Path) -> None:
    for folder in [*real_study.iterdir(), *(shared_data / "upenn-gbm-00463").iterdir()]:
        assert codes(read_volume(sorted(folder.glob("*.dcm")))) == [], folder


def anatomy(seed: int = 3) -> Values:
    """As :func:`head`, but alike from slice to slice, as anatomy is."""
    rng = np.random.default_rng(seed)
    tissue = 600 + 9000 * gaussian_filter(rng.normal(size=(36, 96, 96)), (3, 5, 5))
    row, column = np.mgrid[-1:1:96j, -1:1:96j]
    tissue *= row**2 + column**2 < 0.7
    return np.round(np.abs(tissue + rng.normal(0, 12, tissue.shape)))


@pytest.mark.parametrize(
    ("places", "change"),
    [
        pytest.param([10, 22], lambda shown: shown[[22, 10]], id="exchanged"),
        pytest.param([14, 15], lambda shown: shown[[15, 14]], id="neighbours exchanged"),
        pytest.param([14, 16], lambda shown: shown[[16, 14]], id="two apart exchanged"),
        pytest.param([14, 17], lambda shown: shown[[17, 14]], id="three apart exchanged"),
        pytest.param(range(14, 18), lambda shown: shown[17:13:-1], id="a run in the opposite order"),
        pytest.param(range(14, 17), lambda shown: shown[[15, 16, 14]], id="moved two on"),
        pytest.param([20], lambda shown: 0.4 * shown[[20]], id="dark"),
        pytest.param([20], lambda shown: 2 * shown[[20]], id="bright"),
        pytest.param(range(1, 36, 2), lambda shown: 0.6 * shown[1::2], id="every second one dark"),
    ],
)
def test_slices_unlike_those_around_are_told(places: list[int], change: Callable[[Values], Values]) -> None:
    shown = anatomy()
    assert codes(volume(shown)) == []
    shown[places] = np.round(change(shown))
    (flag,) = [one for one in look_at_slices(volume(shown)) if one.code == "SLICES_ODD"]
    assert any(str(place + 1) in flag.detail for place in range(min(places) - 1, max(places) + 2))


def test_the_ends_of_a_head_are_not_odd() -> None:
    shown = anatomy()
    for place in range(6):
        shown[place] *= np.linspace(0.02, 0.9, 6)[place] * (np.arange(96) < 20 + 10 * place)
    assert codes(volume(shown)) == []
