"""Surfaces say what the voxels say: as much, as many parts, and on the same side."""

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.dashboard import surfaces
from pipeline.dashboard.surfaces import Surface, around_of, encoded, head_of, surface_of
from pipeline.names import Region
from pipeline.objects.regions import REGION_STYLES
from tests.surfaces import decoded
from tests.unit.course.shapes import balls, grid

UPRIGHT = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
#: Columns run from left to right: a left-handed grid.
MIRRORED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
#: 20 degrees about the head's long axis.
OBLIQUE = (0.9396926, -0.3420201, 0.0, 0.3420201, 0.9396926, 0.0, 0.0, 0.0, 1.0)


def _image(mask: np.ndarray, like: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.CopyInformation(like)
    return image


def _parts(surface: Surface) -> int:
    edges = np.concatenate([surface.triangles[:, pair] for pair in ([0, 1], [1, 2])])
    n = len(surface.points)
    return int(connected_components(coo_array((np.ones(len(edges)), edges.T), shape=(n, n)))[0])


def _mask_ml(mask: sitk.Image) -> float:
    return float(sitk.GetArrayFromImage(mask).sum() * np.prod(mask.GetSpacing()) / 1000)


@pytest.mark.parametrize(
    "spacing", [(1.0, 1.0, 1.0), (0.43, 0.43, 1.0), (0.9, 0.9, 5.0), (0.5, 0.5, 0.5)], ids=lambda one: str(one[2])
)
def test_a_surface_holds_what_its_voxels_hold(spacing: tuple[float, float, float]) -> None:
    like = grid(tuple(round(44 / one) for one in spacing), spacing)
    small = 0.15 if spacing[2] > 2 else 0.04  # two or three slices are all that it lies on
    for radius, share in ((6.0, small), (17.0, 0.03)):
        mask = _image(balls(like, ((3.0, -2.0, 1.0), radius)), like)
        surface = surface_of(mask)
        assert surface is not None
        assert surface.volume_ml() == pytest.approx(_mask_ml(mask), rel=share)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.4, 0.4, 0.8), (0.3, 0.3, 3.0)], ids=str)
def test_a_focus_of_one_voxel_has_a_surface(spacing: tuple[float, float, float]) -> None:
    """Also beside a large one, and where several voxels are put together."""
    like = grid(tuple(round(44 / one) for one in spacing), spacing)
    filled = balls(like, ((-8.0, 0.0, 0.0), 9.0))
    place = [round(n * 0.85) for n in filled.shape]
    filled[tuple(place)] = True
    surface = surface_of(_image(filled, like))
    assert surface is not None and _parts(surface) == 2
    where = np.array(like.TransformIndexToPhysicalPoint(place[::-1]))
    away = np.linalg.norm(surface.points - where, axis=1)
    assert away.min() < 1.2 and (away < 2).sum() >= 6
    alone = np.zeros_like(filled)
    alone[tuple(place)] = True
    single = surface_of(_image(alone, like))
    assert single is not None and single.volume_ml() > 0
    assert surface_of(_image(np.zeros_like(filled), like)) is None


def test_no_part_is_lost_or_joined() -> None:
    """Sparks of one to some voxels on a fine grid: as many parts of the surface as of the mask, or blocks that meet."""
    like = grid((120, 120, 40), (0.5, 0.5, 1.0))
    rng = np.random.default_rng(5)
    filled = np.zeros((40, 120, 120), bool)
    for k, j, i in rng.integers(4, (36, 116, 116), (40, 3)):
        filled[k : k + rng.integers(1, 3), j : j + rng.integers(1, 4), i] = True
    surface = surface_of(_image(filled, like))
    assert surface is not None
    for found in ndimage.find_objects(ndimage.label(filled, np.ones((3, 3, 3)))[0]):
        middle = [(one.start + one.stop - 1) / 2 for one in found][::-1]
        where = like.TransformContinuousIndexToPhysicalPoint(middle)
        assert np.linalg.norm(surface.points - where, axis=1).min() < 1.6


@pytest.mark.parametrize("direction", [UPRIGHT, CORONAL, MIRRORED, OBLIQUE])
def test_left_is_left(direction: tuple[float, ...]) -> None:
    """A tumour on the patient's left, in front and above has its surface there, whichever way the slices lie."""
    like = grid((60, 60, 60), (1.0, 1.0, 1.0))
    like.SetDirection(direction)
    turned = np.array(direction).reshape(3, 3)
    like.SetOrigin((turned @ np.full(3, -29.5)).tolist())
    centre = (14.0, -9.0, 12.0)  # LPS
    mask = _image(balls(like, (centre, 8.0)), like)
    surface = surface_of(mask)
    assert surface is not None
    assert surface.points.mean(axis=0) == pytest.approx(centre, abs=0.3)
    assert np.linalg.norm(surface.points - centre, axis=1) == pytest.approx(8.0, abs=0.9)
    assert surface.volume_ml() > 0, "inside out"


def test_too_many_triangles_are_drawn_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    like = grid((60, 60, 60), (1.0, 1.0, 1.0))
    mask = _image(balls(like, ((0.0, 0.0, 0.0), 22.0)), like)
    fine = surface_of(mask)
    monkeypatch.setattr(surfaces, "_MOST_TRIANGLES", 6000)
    coarse = surface_of(mask)
    assert fine is not None and coarse is not None
    assert len(coarse.triangles) <= 6000 < len(fine.triangles)
    assert coarse.volume_ml() == pytest.approx(fine.volume_ml(), rel=0.04)


def test_around_is_the_largest_part_and_has_no_holes() -> None:
    like = grid((80, 90, 40), (2.0, 2.0, 4.0))
    head = balls(like, ((0.0, 0.0, 0.0), 60.0)) & ~balls(like, ((0.0, 0.0, 0.0), 15.0))
    signal = np.where(head | balls(like, ((72.0, 80.0, 70.0), 5.0)), 400.0, 12.0).astype(np.float32)
    image = sitk.GetImageFromArray(signal)
    image.CopyInformation(like)
    for surface in (head_of(image), around_of(image, 200.0)):
        assert surface is not None and _parts(surface) == 1
        assert surface.volume_ml() == pytest.approx(4 / 3 * np.pi * 6**3, rel=0.05)


def test_what_is_written_is_read_again() -> None:
    like = grid((60, 60, 30), (1.0, 1.0, 2.0))
    whole, core = (surface_of(_image(balls(like, ((5.0, 0.0, 0.0), radius)), like)) for radius in (14.0, 6.0))
    assert whole is not None and core is not None
    found, colours = decoded(encoded({Region.WT: whole, Region.TC: core, Region.ET: None, Region.BRAIN: whole}))
    assert list(found) == ["WT", "TC", "brain"]
    assert colours == {
        "WT": list(REGION_STYLES[Region.WT].colour), "TC": list(REGION_STYLES[Region.TC].colour), "brain": None
    }  # fmt: skip
    for name, surface in (("WT", whole), ("TC", core)):
        assert np.abs(found[name].points - surface.points).max() < 0.005
        assert (found[name].triangles == surface.triangles).all()
    assert decoded(encoded({})) == ({}, {})
