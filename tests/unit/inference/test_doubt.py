"""The doubt about a mask, from the probabilities it was cut from."""

import numpy as np
import pytest

from pipeline.inference.doubt import doubt

VOXEL_ML = 0.008


def _ball(inside: float, around: float) -> np.ndarray:
    z, y, x = np.ogrid[-20:20, -20:20, -20:20]
    distance = np.sqrt(z**2 + y**2 + x**2)
    return np.where(distance < 10, inside, np.where(distance < 14, around, 0)).astype(np.float32)


def test_a_sure_tumour_raises_none() -> None:
    assert doubt(_ball(1, 0), 0.5, VOXEL_ML) == pytest.approx(0, abs=1e-6)


def test_it_is_what_dice_is_missing_when_truths_are_drawn_from_the_probabilities() -> None:
    probability = _ball(0.8, 0.3)
    rng = np.random.default_rng(1)
    mask = probability >= 0.5
    truths = [rng.random(probability.shape) < probability for _ in range(20)]
    dice = np.mean([2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for truth in truths])
    assert doubt(probability, 0.5, VOXEL_ML) == pytest.approx(1 - dice, abs=0.02)


def test_more_of_it_where_less_is_certain() -> None:
    found = [doubt(_ball(inside, 0.2), 0.5, VOXEL_ML) for inside in (0.95, 0.8, 0.6)]
    assert found == sorted(found)
    assert found[0] < 0.2
    assert found[-1] > 0.3


def test_a_healthy_brain_and_a_speck_in_it_raise_hardly_any() -> None:
    assert doubt(np.zeros((4, 4, 4), np.float32), 0.5, VOXEL_ML) == 0
    speck = np.zeros((9, 9, 9), np.float32)
    speck[3:6, 3:6, 3:6] = 0.4
    assert doubt(speck, 0.5, VOXEL_ML) < 0.1


def test_a_likely_tumour_that_was_not_drawn_raises_much() -> None:
    assert doubt(_ball(0.45, 0.45), 0.5, VOXEL_ML) > 0.8
