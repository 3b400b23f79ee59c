"""What a tumour gains moves what is around it by its volume over the surface of the sphere."""

import numpy as np
import pytest

from pipeline.course.mass_effect import gained
from tests.unit.course.shapes import balls, grid


@pytest.mark.parametrize("radii", [(8, 16), (16, 8)])
def test_what_is_gained_or_lost_moves_what_is_around_it_the_less_the_farther(radii: tuple[float, float]) -> None:
    image = grid()
    centre = (10.0, -6.0, 4.0)
    before, after = (balls(image, (centre, radius)) for radius in radii)
    away = np.array([[20.0, 0, 0], [0, 40.0, 0], [0, 0, -30.0], [0, 0, 0]])
    moved = gained(before, after, image).moved(np.array(centre) + away)
    ml = 4 / 3 * np.pi * (16**3 - 8**3)
    assert moved[:3] == pytest.approx(ml / (4 * np.pi * np.array([20, 40, 30]) ** 2), rel=0.1)
    assert moved[3] < 1  # pushed from all sides


def test_what_has_not_changed_moves_nothing() -> None:
    image = grid()
    same = balls(image, ((10, 0, 0), 12))
    assert gained(same, same, image).moved(np.array([[0.0, 0, 0]])).tolist() == [0.0]
