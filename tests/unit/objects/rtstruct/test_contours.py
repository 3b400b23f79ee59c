"""Contours against shapes whose answers are known, and masks through contours and back."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.objects.rtstruct.isocontour import Contours, iso_contours
from pipeline.objects.rtstruct.keyhole import keyholed
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.objects.rtstruct.rounding import rounds_inside
from pipeline.objects.rtstruct.simplify import crossing_polygons, simplify

TOLERANCE = 0.03


def field_of(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return mask.astype(np.float32) - np.float32(0.5)


def random_mask(generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return a ragged shape with holes and islands, now and then touching the border of its slices."""
    shape = tuple(int(size) for size in generator.integers((2, 12, 12), (8, 60, 60)))
    noise = ndimage.gaussian_filter(generator.normal(size=shape), generator.uniform(0.5, 2.5))
    return np.asarray(noise > np.quantile(noise, generator.uniform(0.4, 0.9)))


@pytest.mark.parametrize("seed", range(40))
def test_mask_to_contours_and_back_is_exact(seed: int) -> None:
    generator = np.random.default_rng(seed)
    mask = random_mask(generator)
    scale = (float(generator.uniform(0.4, 1.5)), float(generator.uniform(0.4, 1.5)))
    contours = simplify(iso_contours(field_of(mask), (0.1, 0.1)), scale, TOLERANCE)
    for written in (contours, keyholed(contours, scale)):
        assert not crossing_polygons(contours).any()
        assert np.array_equal(rasterise(written, mask.shape), mask)


@pytest.mark.parametrize("seed", range(20))
def test_probability_to_contours_keeps_every_pixel_on_its_side(seed: int) -> None:
    generator = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(generator.normal(size=(4, 50, 50)), 1.5)
    field = (noise - np.quantile(noise, 0.8)).astype(np.float32)
    spacing = float(generator.uniform(0.5, 1.2))
    contours = simplify(iso_contours(field, (0.1 / spacing, 0.1 / spacing)), (spacing, spacing), TOLERANCE)
    assert np.array_equal(rasterise(contours, field.shape), field >= 0)
    assert not crossing_polygons(contours).any()


@pytest.mark.parametrize("seed", range(10))
def test_topology_is_kept(seed: int) -> None:
    mask = random_mask(np.random.default_rng(seed + 100))
    contours = simplify(iso_contours(field_of(mask)), (1.0, 1.0), TOLERANCE)
    four, eight = ndimage.generate_binary_structure(2, 1), ndimage.generate_binary_structure(2, 2)
    for index, plane in enumerate(mask):
        areas = contours.signed_areas()[contours.slices == index]
        parts = ndimage.label(plane, four)[1]
        holes = ndimage.label(~np.pad(plane, 1), eight)[1] - 1
        assert (int((areas > 0).sum()), int((areas < 0).sum())) == (parts, holes)


@pytest.mark.parametrize("radius", [10.0, 15.0, 25.0])
@pytest.mark.parametrize("hole", [0.0, 0.5])
def test_volume_of_spheres_and_shells(radius: float, hole: float) -> None:
    size = int(2 * radius + 9)
    grid = np.stack(np.meshgrid(*3 * [np.arange(size)], indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid - (size - 1) / 2 - [0.21, 0.37, -0.3], axis=-1)
    inside = np.minimum(radius - distance, distance - hole * radius)
    field = np.clip(inside / 4, -0.5, 0.5).astype(np.float32)
    contours = simplify(iso_contours(field, (0.1, 0.1)), (1.0, 1.0), TOLERANCE)
    exact = 4 / 3 * np.pi * radius**3 * (1 - hole**3)
    assert contours.signed_areas().sum() == pytest.approx(exact, rel=0.005)


def test_simplified_contour_stays_within_the_tolerance() -> None:
    y, x = np.mgrid[:64, :64].astype(np.float32)
    field = (20 - np.hypot(x - 31.3, (y - 30.8) * 1.3))[None].astype(np.float32)
    full = iso_contours(field)
    few = simplify(full, (0.8, 1.1), TOLERANCE)
    assert len(few.points) < 0.6 * len(full.points)
    corners = few.points * [0.8, 1.1]
    ends = np.roll(corners, -1, axis=0)
    points = (full.points * [0.8, 1.1])[:, None]
    chord = ends - corners
    along = np.clip(((points - corners) * chord).sum(-1) / (chord**2).sum(-1), 0, 1)
    distance = np.linalg.norm(points - corners - along[..., None] * chord, axis=-1).min(axis=1)
    assert distance.max() <= TOLERANCE


def test_points_that_round_to_a_pixel_inside_are_preferred() -> None:
    y, x = np.mgrid[:64, :64].astype(np.float32)
    field = (20 - np.hypot(x - 31.3, y - 30.8))[None].astype(np.float32)
    full = iso_contours(field)
    few, chosen = (
        simplify(full, (1.0, 1.0), TOLERANCE, preferred) for preferred in (None, rounds_inside(full, field >= 0))
    )
    before, after = (float(rounds_inside(one, field >= 0).mean()) for one in (few, chosen))
    assert after > before + 0.1
    assert chosen.signed_areas() == pytest.approx(few.signed_areas(), rel=5e-4)
    outside = full.points + np.array([100.0, 0.0])
    assert not rounds_inside(Contours(outside, full.starts, full.slices), field >= 0).any()


def test_contour_runs_between_pixel_centres_not_through_them() -> None:
    mask = np.zeros((1, 9, 9), dtype=bool)
    mask[0, 2:6, 3:7] = True
    points = iso_contours(field_of(mask)).points
    assert (points.min(axis=0) == [2.5, 1.5]).all()
    assert (points.max(axis=0) == [6.5, 5.5]).all()


def test_margins_are_kept_along_columns_and_rows() -> None:
    """A level that runs almost through the centres of a square's pixels."""
    field = np.full((1, 5, 5), -1, dtype=np.float32)
    field[0, 2, 2] = 1e-6
    points = iso_contours(field, (0.1, 0.3)).points
    assert points.min(axis=0) == pytest.approx([1.9, 1.7])
    assert points.max(axis=0) == pytest.approx([2.1, 2.3])


def test_shape_at_the_border_is_closed_half_a_pixel_outside() -> None:
    contours = iso_contours(field_of(np.ones((1, 5, 7), dtype=bool)))
    assert len(contours.starts) == 1
    assert (contours.points.min(axis=0) == [-0.5, -0.5]).all()
    assert (contours.points.max(axis=0) == [6.5, 4.5]).all()


def test_islands_in_holes_and_touching_parts() -> None:
    mask = np.zeros((1, 30, 30), dtype=bool)
    mask[0, 2:25, 2:25] = True
    mask[0, 6:20, 6:20] = False
    mask[0, 10:14, 10:14] = True
    mask[0, 25:28, 25:28] = True  # touches by a corner only
    contours = simplify(iso_contours(field_of(mask)), (1.0, 1.0), TOLERANCE)
    assert sorted(np.sign(contours.signed_areas())) == [-1, 1, 1, 1]
    joined = keyholed(contours, (1.0, 1.0))
    assert len(joined.starts) == 3
    assert joined.signed_areas().sum() == pytest.approx(contours.signed_areas().sum())
    assert np.array_equal(rasterise(joined, mask.shape), mask)


def test_channels_that_branch_survive_rounding() -> None:
    """Equal points are moved alike, as the digits of a file do; no pixel, on whose centres channels lie, may flip."""
    generator = np.random.default_rng(7)
    mask = ndimage.binary_closing(generator.random((4, 60, 60)) > 0.25, np.ones((1, 1, 2)))
    joined = keyholed(iso_contours(field_of(mask)), (1.0, 0.6))
    _, same = np.unique(joined.points, axis=0, return_inverse=True)
    for _ in range(5):
        noise = generator.uniform(-1e-5, 1e-5, (same.max() + 1, 2))[same.ravel()]
        assert np.array_equal(
            rasterise(Contours(joined.points + noise, joined.starts, joined.slices), mask.shape), mask
        )


def test_nothing_inside_gives_no_contour() -> None:
    assert len(iso_contours(np.full((3, 4, 5), -1, np.float32)).starts) == 0


def test_crossing_polygons_are_found() -> None:
    bow = np.array([[0, 0], [2, 2], [2, 0], [0, 2]], dtype=float)
    square = np.array([[5, 0], [7, 0], [7, 2], [5, 2]], dtype=float)
    other = square + np.array([1, 1])
    starts, slices = np.array([0, 4, 8]), np.array([0, 0, 0])
    assert crossing_polygons(Contours(np.concatenate([bow, square, other]), starts, slices)).tolist() == [True] * 3
    apart = Contours(np.concatenate([bow, square, other]), starts, np.array([0, 0, 1]))
    assert crossing_polygons(apart).tolist() == [True, False, False]


def test_rasterise_cuts_off_what_lies_outside_the_image() -> None:
    polygon = np.array([[-1e9, -1e9], [1e9, -1e9], [1e9, 1e9], [-1e9, 1e9]])
    assert rasterise(Contours(polygon, np.array([0]), np.array([1])), (2, 3, 4)).sum(axis=(1, 2)).tolist() == [0, 12]
    assert rasterise(Contours(polygon, np.array([0]), np.array([7])), (2, 3, 4)).sum() == 0
    beside = np.array([[10.0, -1.0], [40.0, -1.0], [40.0, 9.0], [10.0, 9.0]])
    assert rasterise(Contours(beside, np.array([0]), np.array([1])), (2, 3, 4)).sum() == 0
