"""The brain is cut free of what hangs on to it."""

import numpy as np
from scipy import ndimage

from pipeline.inference.delineate import brain_mask


def ball(shape: tuple[int, int, int], centre: tuple[int, int, int], radius: float) -> np.ndarray:
    distance = np.linalg.norm(np.indices(shape).T - np.array(centre), axis=-1).T
    return np.asarray(distance <= radius)


def test_a_neck_is_cut_off_and_the_surface_stays() -> None:
    shape = (64, 64, 64)
    brain = ball(shape, (36, 32, 32), 16)
    stem = np.zeros(shape, dtype=bool)
    stem[12:22, 31:34, 31:34] = True
    muscle = ball(shape, (8, 32, 32), 6)
    probability = ndimage.gaussian_filter((brain | stem | muscle).astype(np.float32), 0.5)
    mask, sure = brain_mask(probability, 0.5)
    surface = (probability >= 0.5) & brain
    assert (mask & brain).sum() > 0.99 * surface.sum()
    assert not (mask & muscle).any()
    assert (sure & ~mask).sum() == 0


def test_no_brain_at_all() -> None:
    mask, sure = brain_mask(np.zeros((32, 32, 32), dtype=np.float32), 0.5)
    assert not mask.any() and not sure.any()
