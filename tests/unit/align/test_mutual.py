"""The metric of alignment: ITK's value, and a slope that is its own."""

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.align.mutual import MutualInformation
from pipeline.align.prepare import Prepared, prepare
from pipeline.align.register import rigid
from pipeline.names import MRSequence
from tests.unit.align.test_align import phantom


@pytest.fixture(scope="module")
def heads() -> tuple[Prepared, Prepared]:
    return prepare(phantom(MRSequence.T1C)), prepare(phantom(MRSequence.T2, (5.0, 1.5, 1.5)))


POSITION = rigid(np.zeros(3), np.array([0.05, -0.03, 0.1]), np.array([4.0, -2.0, 3.0]))


def test_the_value_is_itks(heads: tuple[Prepared, Prepared]) -> None:
    fixed, moving = heads
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(fixed.region)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(POSITION)
    theirs = -method.MetricEvaluate(fixed.levels[0], moving.levels[0])
    ours = MutualInformation(fixed.levels[0], moving.levels[0], fixed.region, 32, None)(POSITION).metric
    assert ours == pytest.approx(theirs, abs=5e-3)


def test_the_slope_is_how_the_value_changes(heads: tuple[Prepared, Prepared]) -> None:
    fixed, moving = heads
    metric = MutualInformation(fixed.levels[1], moving.levels[1], fixed.region, 64, 100_000)
    slope = metric(POSITION).slope
    for axis in range(6):
        step = 0.1 if axis < 3 else 0.001
        ways = []
        for sign in (1, -1):
            moved = sitk.Euler3DTransform(POSITION)
            change = np.eye(6)[axis] * sign * step
            moved.SetTranslation((np.array(moved.GetTranslation()) + change[:3]).tolist())
            cross = np.cross(np.eye(3), change[3:])
            turn = (np.eye(3) + cross + cross @ cross / 2) @ np.array(moved.GetMatrix()).reshape(3, 3)
            moved.SetMatrix(turn.ravel().tolist(), 1e-5)
            ways.append(metric(moved, sloped=False).metric)
        found = (ways[0] - ways[1]) / (2 * step)
        assert slope[axis] == pytest.approx(
            found, rel=0.1, abs=0.1 * np.abs(slope[:3] if axis < 3 else slope[3:]).max()
        )


def test_heads_that_do_not_meet_do_not_fit(heads: tuple[Prepared, Prepared]) -> None:
    fixed, moving = heads
    metric = MutualInformation(fixed.levels[0], moving.levels[0], fixed.region, 32, None)
    assert metric(rigid(np.zeros(3), np.zeros(3), np.array([900.0, 0, 0]))).metric == -np.inf


def test_an_image_of_one_value_tells_nothing(heads: tuple[Prepared, Prepared]) -> None:
    fixed, _ = heads
    flat = fixed.levels[0] * 0
    fit = MutualInformation(fixed.levels[0], flat, fixed.region, 32, None)(sitk.Euler3DTransform())
    assert fit.metric == pytest.approx(0, abs=1e-9)
    assert not fit.slope.any()
