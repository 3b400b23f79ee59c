"""Rigid registration by mutual information from several starts."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from pipeline.align.prepare import Point, Prepared
from pipeline.exhaustion import raise_if_exhausted

SAMPLES = 250_000  # of the finest level; twice as many move the result by under 0.1 mm, fewer by 0.2 mm and more
SEED = 1
COARSE, FINE = 0, 1  # levels of Prepared
BINS = {COARSE: 32, FINE: 64}  # few samples fill few bins; at the fine level more bins are more exact

SINGLE_TURN_DEG = 20.0  # about one axis
MIXED_TURN_DEG = 14.0  # about each of the three
OPTIMISED_STARTS = 4

RIVAL_METRIC = 0.9  # a start this near the best metric at the coarse level...
RIVAL_MM = 6.0  # ...and this far from it is followed to the end, too


@dataclass(frozen=True)
class Registered:
    """A rigid transform and its fit.

    Attributes
    ----------
    transform
        Maps points of the fixed space to the moving space.
    metric
        Mattes mutual information over the fixed head, nats, larger is better.
    rival_mm
        Mean distance over the head to another position that fits almost as well, 0 where there is none.
    rival_metric
        Its metric.
    """

    transform: sitk.Euler3DTransform
    metric: float
    rival_mm: float = 0.0
    rival_metric: float = 0.0


def register(fixed: Prepared, moving: Prepared, same_frame: bool) -> Registered:
    """Register one volume to another.

    Turns about the centre of the head, with the heads' centres brought together and (where the series share
    a frame of reference) with the patient lying still, are weighed at 6 mm; the best few are optimised
    there; the winner, and any rival that fits almost as well elsewhere, at 2 mm.

    Parameters
    ----------
    fixed, moving
        Prepared volumes.
    same_frame
        The two share a frame of reference, so that lying still is a start.
    """
    starts = list(_starts(fixed, moving, same_frame))
    graded = sorted(range(len(starts)), key=lambda index: (-_evaluate(fixed, moving, starts[index]), index))
    coarse = [_optimise(fixed, moving, starts[index], COARSE) for index in graded[:OPTIMISED_STARTS]]
    coarse.sort(key=lambda result: -result.metric)
    best = _optimise(fixed, moving, coarse[0].transform, FINE)
    for other in coarse[1:]:
        if other.metric >= RIVAL_METRIC * coarse[0].metric and _apart(fixed, coarse[0], other) > RIVAL_MM:
            return _against(fixed, best, _optimise(fixed, moving, other.transform, FINE))
    return best


def _against(fixed: Prepared, best: Registered, rival: Registered) -> Registered:
    """The better of two; it carries the other as its rival."""
    if rival.metric > best.metric:
        best, rival = rival, best
    return Registered(best.transform, best.metric, _apart(fixed, best, rival), rival.metric)


def _apart(fixed: Prepared, one: Registered, other: Registered) -> float:
    """Mean distance between where two transforms bring points around the head, mm."""
    radius = np.sqrt(1.5 * fixed.turn_scale)  # root mean square distance of the head's points from its centre
    points = fixed.centre + radius * np.vstack([np.eye(3), -np.eye(3)])
    pairs = [(one.transform.TransformPoint(p), other.transform.TransformPoint(p)) for p in points.tolist()]
    return float(np.mean([np.linalg.norm(np.subtract(a, b)) for a, b in pairs]))


def _starts(fixed: Prepared, moving: Prepared, same_frame: bool) -> Iterator[sitk.Euler3DTransform]:
    shifts: list[Point] = [moving.centre - fixed.centre]
    if same_frame:
        shifts.append(np.zeros(3))
    single, mixed = np.radians(SINGLE_TURN_DEG), np.radians(MIXED_TURN_DEG)
    turns = [np.zeros(3), *(single * np.eye(3)), *(-single * np.eye(3))]
    turns += [mixed * np.array(signs) for signs in itertools.product((-1.0, 1.0), repeat=3)]
    for shift, turn in itertools.product(shifts, turns):
        yield rigid(fixed.centre, turn, shift)


def rigid(centre: Point, angles: Point, shift: Point) -> sitk.Euler3DTransform:
    """Turn by Euler angles (radians, about x, y, z) about ``centre``, then shift (mm)."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetRotation(*(float(angle) for angle in angles))
    transform.SetTranslation(shift.tolist())
    return transform


def _method(fixed: Prepared, level: int) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS[level])
    method.SetMetricFixedMask(fixed.region)
    method.SetInterpolator(sitk.sitkLinear)
    return method


def _evaluate(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform) -> float:
    method = _method(fixed, COARSE)
    method.SetInitialTransform(start)
    try:
        return -float(method.MetricEvaluate(fixed.levels[COARSE], moving.levels[COARSE]))
    except RuntimeError as error:  # ITK refuses where too few samples map inside the moving image
        raise_if_exhausted(error, "align")
        return -np.inf


def _optimise(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform, level: int) -> Registered:
    method = _method(fixed, level)
    if level == FINE:
        # samples off the grid: on it, interpolation favours positions where the grids coincide
        method.SetMetricSamplingStrategy(method.REGULAR)
        voxels = int(np.prod(fixed.levels[FINE].GetSize()))
        method.SetMetricSamplingPercentage(min(1.0, SAMPLES / voxels), SEED)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=6.0 if level == COARSE else 2.0,
        minStep=0.05 if level == COARSE else 0.01,
        numberOfIterations=40,
        relaxationFactor=0.5,
    )
    method.SetOptimizerScales([fixed.turn_scale] * 3 + [1.0] * 3)
    transform = sitk.Euler3DTransform(start)
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed.levels[level], moving.levels[level])
    except RuntimeError as error:  # the head left the moving image
        raise_if_exhausted(error, "align")
        return Registered(sitk.Euler3DTransform(start), -np.inf)
    return Registered(transform, -float(method.GetMetricValue()))
