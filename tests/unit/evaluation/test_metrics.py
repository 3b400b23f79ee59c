"""Metrics against values worked out by hand."""

import numpy as np
import pytest

from pipeline.evaluation.metrics import EMPTY_HD95_MM, bootstrap_interval, dice, score_region


def _cube(start: int, stop: int, size: int = 20) -> np.ndarray:
    mask = np.zeros((size, size, size), dtype=bool)
    mask[start:stop, 5:15, 5:15] = True
    return mask


def test_dice_of_cubes_shifted_by_two_of_ten_slices() -> None:
    assert dice(_cube(4, 14), _cube(6, 16)) == pytest.approx(0.8)


def test_identical_masks_score_perfectly() -> None:
    score = score_region(_cube(4, 14), _cube(4, 14), (1.0, 1.0, 1.0))
    assert (score.dice, score.hd95_mm, score.surface_dice, score.volume_error_ml) == (1.0, 0.0, 1.0, 0.0)


def test_shift_shows_in_the_surface_distance_with_spacing() -> None:
    # The uncovered faces, a sixth of the surface each, lie two slices of 3 mm away from the other mask's.
    score = score_region(_cube(4, 14), _cube(6, 16), (3.0, 1.0, 1.0))
    assert score.hd95_mm == pytest.approx(6.0)
    assert score_region(_cube(4, 14), _cube(6, 16), (1.0, 1.0, 1.0)).hd95_mm == pytest.approx(2.0)


def test_hd95_is_the_larger_of_both_directions() -> None:
    spot = np.zeros((20, 20, 40), dtype=bool)
    spot[10, 10, 10] = True
    line = np.zeros_like(spot)
    line[10, 10, 0:40] = True
    one, other = (score_region(a, b, (1.0, 1.0, 1.0)).hd95_mm for a, b in ((spot, line), (line, spot)))
    # From the spot's side the distance is 0; from the line's far end it is 29 voxels, less its last twentieth.
    assert one == other == pytest.approx(28, abs=1)


def test_surface_dice_counts_what_lies_within_a_millimetre() -> None:
    one = np.zeros((30, 30, 30), dtype=bool)
    one[14:16, 2:28, 2:28] = True
    near, far = np.roll(one, 1, axis=0), np.roll(one, 4, axis=0)
    assert score_region(one, near, (1.0, 1.0, 1.0)).surface_dice == 1.0
    assert score_region(one, far, (1.0, 1.0, 1.0)).surface_dice < 0.15  # only faces at the rim
    assert score_region(one, near, (1.5, 1.0, 1.0)).surface_dice < 0.25


def test_a_mask_at_the_border_of_its_array_has_a_whole_surface() -> None:
    inside = np.zeros((12, 12, 12), dtype=bool)
    inside[2:8, 2:8, 2:8] = True
    corner = inside[2:, 2:, 2:]
    moved = np.roll(inside, 1, axis=0)
    middle = score_region(inside, moved, (1.0, 1.0, 1.0), tolerance_mm=0.5)
    edge = score_region(corner, np.roll(corner, 1, axis=0), (1.0, 1.0, 1.0), tolerance_mm=0.5)
    assert edge.surface_dice == pytest.approx(middle.surface_dice)


@pytest.mark.parametrize(("found", "truth"), [(True, False), (False, True)])
def test_one_side_empty_takes_the_penalty(found: bool, truth: bool) -> None:
    full, empty = _cube(4, 14), np.zeros((20, 20, 20), dtype=bool)
    score = score_region(full if found else empty, full if truth else empty, (1.0, 1.0, 1.0))
    assert score.dice == 0.0
    assert score.hd95_mm == EMPTY_HD95_MM
    assert score.surface_dice == 0.0


def test_nothing_found_where_nothing_is_is_right() -> None:
    empty = np.zeros((8, 8, 8), dtype=bool)
    score = score_region(empty, empty, (1.0, 1.0, 1.0))
    assert (score.dice, score.hd95_mm, score.surface_dice, score.lesions) == (1.0, 0.0, 1.0, 0)


def test_lesions_are_counted_apart() -> None:
    truth = np.zeros((20, 20, 20), dtype=bool)
    truth[2:5, 2:5, 2:5] = truth[12:15, 12:15, 12:15] = True
    found = np.zeros_like(truth)
    found[3:6, 3:6, 3:6] = found[2:5, 15:18, 2:5] = True
    score = score_region(found, truth, (2.0, 2.0, 2.0))
    assert (score.lesions, score.lesions_found, score.false_lesions) == (2, 1, 1)
    assert score.volume_ml == pytest.approx(0.432)


def test_bootstrap_interval_holds_the_mean_and_is_a_point_for_one_case() -> None:
    low, high = bootstrap_interval([0.7, 0.8, 0.9, 0.6])
    assert 0.6 <= low < 0.75 < high <= 0.9
    assert bootstrap_interval([0.5]) == (0.5, 0.5)
