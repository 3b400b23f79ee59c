"""Rigid registration by mutual information from several starts."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from pipeline.align.prepare import Point, Prepared

BINS = 32  # Mattes et al., IEEE TMI 22(1), 2003: results hardly depend on the number of bins
TURNS_DEG = (-20.0, 0.0, 20.0)
KEPT_STARTS = 3


@dataclass(frozen=True)
class Registered:
    """A rigid transform and its mutual information (nats, larger is better)."""

    transform: sitk.Euler3DTransform
    metric: float


def register(fixed: Prepared, moving: Prepared, same_frame: bool) -> list[Registered]:
    """Register one volume to another.

    A grid of turns about the centre of the head, with the heads' centres brought together and (where the
    series share a frame of reference) with the patient lying still, is weighed at 6 mm; the best few are
    optimised at 4 mm; the winner at 2 mm.

    Parameters
    ----------
    fixed, moving
        Prepared volumes.
    same_frame
        The two share a frame of reference, so that lying still is a start.

    Returns
    -------
    list
        The refined winner, then the other optimised starts at 4 mm, best first.
    """
    graded = sorted(
        (
            (_evaluate(fixed, moving, start), index, start)
            for index, start in enumerate(_starts(fixed, moving, same_frame))
        ),
        key=lambda item: (-item[0], item[1]),
    )
    optimised = [_optimise(fixed, moving, start, level=1) for _, _, start in graded[:KEPT_STARTS]]
    optimised.sort(key=lambda result: -result.metric)
    best = _optimise(fixed, moving, optimised[0].transform, level=2)
    return [best, *optimised]


def _starts(fixed: Prepared, moving: Prepared, same_frame: bool) -> Iterator[sitk.Euler3DTransform]:
    shifts: list[Point] = [moving.centre - fixed.centre]
    if same_frame:
        shifts.append(np.zeros(3))
    for shift, turns in itertools.product(shifts, itertools.product(np.radians(TURNS_DEG), repeat=3)):
        yield rigid(fixed.centre, np.array(turns), shift)


def rigid(centre: Point, angles: Point, shift: Point) -> sitk.Euler3DTransform:
    """Turn by Euler angles (radians, about x, y, z) about ``centre``, then shift (mm)."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetRotation(*(float(angle) for angle in angles))
    transform.SetTranslation(shift.tolist())
    return transform


def _method() -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _evaluate(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform) -> float:
    method = _method()
    method.SetInitialTransform(start)
    try:
        return -float(method.MetricEvaluate(fixed.levels[0], moving.levels[0]))
    except RuntimeError:  # ITK refuses where too few samples map inside the moving image
        return -np.inf


def _optimise(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform, level: int) -> Registered:
    method = _method()
    if level == 2:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(0.2, 1)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=4.0 / level**2, minStep=1e-3, numberOfIterations=60, relaxationFactor=0.5
    )
    method.SetOptimizerScales([fixed.turn_scale] * 3 + [1.0] * 3)
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed.levels[level], moving.levels[level])
    except RuntimeError:  # the start left the moving image
        return Registered(sitk.Euler3DTransform(start), -np.inf)
    return Registered(transform, -float(method.GetMetricValue()))
