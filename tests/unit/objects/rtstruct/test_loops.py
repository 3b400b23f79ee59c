"""Keyholed polygons are drawn as their borders, without the channel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.objects.rtstruct.isocontour import iso_contours
from pipeline.objects.rtstruct.keyhole import keyholed
from pipeline.objects.rtstruct.loops import loops

Points = NDArray[np.float64]


def _ring(centre: tuple[float, float], radius: float, count: int = 60, turn: int = 1) -> Points:
    angle = turn * np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.array(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _sides(polygons: list[Points]) -> list[float]:
    return [float(np.hypot(*(np.roll(one, -1, axis=0) - one).T).max()) for one in polygons]


def test_holes_and_islands_of_the_node_s_own_polygons_come_apart() -> None:
    """A shell with an island that has a hole, and three holes in a row that hang on each other."""
    row, column = np.mgrid[0:80, 0:126].astype(np.float32)
    field = np.full((1, 80, 126), -1.0, np.float32)
    for x, y, radius, inside in (
        (35, 40, 30, 1), (35, 40, 22, -1), (35, 40, 14, 1), (35, 40, 6, -1),
        (96, 40, 27, 1), (81, 40, 4, -1), (94, 40, 4, -1), (107, 40, 4, -1),
    ):  # fmt: skip
        field[0][np.hypot(column - x, row - y) < radius] = inside
    traced = iso_contours(field)
    joined = keyholed(traced, (1.0, 1.0))
    assert len(joined.starts) == 3 < len(traced.starts) == 8
    apart = [loop for number in range(3) for loop in loops(joined.polygon(number))]
    assert sorted(_areas(apart)) == pytest.approx(sorted(traced.signed_areas()), abs=0.2)
    assert max(_sides(apart)) < 1.5


def _areas(polygons: list[Points]) -> list[float]:
    return [float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2 for x, y in (one.T for one in polygons)]


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("between", [0, 3])
def test_other_writers_channels(turn: int, noise: float, between: int) -> None:
    """Corners on the way, either direction, the two ways a little apart, begun inside of the hole."""
    outer, hole = _ring((50, 50), 30), _ring((50, 50), 10, turn=turn)
    way = np.linspace(outer[0], hole[0], between + 2)
    polygon = np.concatenate([outer, way, hole[1:], hole[:1], way[::-1][1:]])
    polygon = polygon + np.random.default_rng(0).uniform(-noise, noise, polygon.shape)
    for begin in (0, len(outer) + 10):
        found = loops(np.roll(polygon, -begin, axis=0))
        assert len(found) == 2
        assert max(_sides(found)) < 3.5


def test_a_plain_polygon_stays_and_a_line_is_shown_all_the_same() -> None:
    ring = _ring((20, 20), 9)
    assert np.array_equal(loops(ring)[0], ring)
    line = np.array([[0.0, 0.0], [5.0, 0.0], [9.0, 0.0]])
    assert np.array_equal(loops(line)[0], line)
