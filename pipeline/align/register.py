"""Rigid registration by mutual information from several starts."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align.mutual import MutualInformation, Vector
from pipeline.align.prepare import Point, Prepared

COARSE, FINE = 0, 1  # levels of Prepared


@dataclass(frozen=True)
class _Search:
    """How one optimisation goes: level of ``Prepared``, bins of the metric, samples (None: all), steps in mm."""

    level: int
    bins: int
    samples: int | None
    first_step: float
    last_step: float


#: Few samples fill few bins; at the fine level more bins are more exact.
_AT_6_MM = _Search(COARSE, 32, None, 6.0, 0.05)
#: Most of the way from there, at a quarter of the cost.
_NEAR = _Search(FINE, 64, 30_000, 1.0, 0.1)
#: Twice as many samples move the result by under 0.1 mm, fewer by 0.2 mm and more.
_EXACT = _Search(FINE, 64, 120_000, 0.25, 0.01)

_MOST_STEPS = 40
_SHORTER = 0.5
_LEVEL = 1e-4  # nats per mm

SINGLE_TURN_DEG = 20.0  # about one axis
MIXED_TURN_DEG = 14.0  # about each of the three
OPTIMISED_STARTS = 4  # at most; no more once two of them
AGREED_MM = 1.0  # end this near each other: a sixth of the coarse level's voxels

MIRRORED_WORTH = 0.95  # a mirrored volume with this share of the metric at the coarse level is looked at finely

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
    return_mm
        Mean distance over the head between this way and the way back, registered as well; 0 where it was not.
    rival_mm
        Mean distance over the head to another position that fits almost as well, 0 where there is none.
    rival_metric
        Its metric.
    mirrored
        Metric of the moving volume mirrored left to right, wherever it then fits best, as a share of ``metric``; 0
        where it is far from fitting.
    """

    transform: sitk.Euler3DTransform
    metric: float
    return_mm: float = 0.0
    rival_mm: float = 0.0
    rival_metric: float = 0.0
    mirrored: float = 0.0


def candidates(fixed: Prepared, moving: Prepared, same_frame: bool) -> list[sitk.Euler3DTransform]:
    """Find the positions that one volume may have in another, at 6 mm.

    Turns about the centre of the head, with the heads' centres brought together and (where the series share
    a frame of reference) with the patient lying still, are weighed; the best few are optimised.

    Parameters
    ----------
    fixed, moving
        Prepared volumes.
    same_frame
        The two share a frame of reference, so that lying still is a start.

    Returns
    -------
    list
        Maps from the fixed to the moving space, at least one.
    """
    starts = list(_starts(fixed, moving, same_frame))
    metric = _metric(fixed, moving, _AT_6_MM)
    graded = sorted(range(len(starts)), key=lambda index: (-metric(starts[index], sloped=False).metric, index))
    found: list[sitk.Euler3DTransform] = []
    for index in graded[:OPTIMISED_STARTS]:
        found.append(_climb(metric, fixed, starts[index], _AT_6_MM).transform)
        if any(_apart(fixed, found[-1], earlier) < AGREED_MM for earlier in found[:-1]):
            break
    return found


def settle(
    fixed: Prepared, moving: Prepared, there: list[sitk.Euler3DTransform], back: list[sitk.Euler3DTransform]
) -> Registered:
    """Register two volumes to each other, both ways, from where each may lie in the other.

    The way there and the way back cut off different parts of the head. The winner over both ways, and any rival that
    fits almost as well elsewhere, at 2 mm.

    Parameters
    ----------
    fixed, moving
        Prepared volumes.
    there, back
        What :func:`candidates` finds of the moving volume in the fixed one, and the other way round.

    Returns
    -------
    Registered
        Halfway between the way there and the way back.
    """
    found = [*there, *(_inverse(one, fixed) for one in back)]
    ways = _metric(fixed, moving, _AT_6_MM), _metric(moving, fixed, _AT_6_MM)
    weighed = [(_both_ways(ways, one, _inverse(one, moving)), index) for index, one in enumerate(found)]
    (top, first), *others = sorted(weighed, key=lambda one: (-one[0], one[1]))
    best = _fine(fixed, moving, found[first])
    for metric, index in others:
        if metric >= RIVAL_METRIC * top and _apart(fixed, found[first], found[index]) > RIVAL_MM:
            return _against(fixed, best, _fine(fixed, moving, found[index]))
    return best


def register(fixed: Prepared, moving: Prepared, same_frame: bool) -> Registered:
    """Register two volumes to each other: :func:`candidates` both ways, then :func:`settle`."""
    return settle(fixed, moving, candidates(fixed, moving, same_frame), candidates(moving, fixed, same_frame))


def look_mirrored(fixed: Prepared, moving: Prepared, found: Registered) -> Registered:
    """Tell how well the moving volume fits when it is mirrored.

    Heads are nearly symmetric: pixels that lie mirrored in their geometry can be brought into place, with the sides of
    all that is seen exchanged. Between a head and its mirror image the metric is lower by a sixth and more.
    """
    other = moving.mirrored()
    coarse = _metric(fixed, other, _AT_6_MM)
    fits = [(coarse(one, sloped=False).metric, one) for one in candidates(fixed, other, same_frame=False)]
    best, start = max(fits, key=lambda one: one[0])
    if best < MIRRORED_WORTH * _metric(fixed, moving, _AT_6_MM)(found.transform, sloped=False).metric:
        return found
    fit = _metric(fixed, moving, _NEAR)(found.transform, sloped=False).metric
    return replace(found, mirrored=_optimise(fixed, other, start, _NEAR).metric / fit)


def there_and_back(fixed: Prepared, moving: Prepared, there: Registered) -> Registered:
    """Register the other way round from a result, and meet halfway.

    The way back samples the other volume and interpolates this one: where it starts wrong it leads elsewhere, which
    ``return_mm`` tells. Errors of interpolation have opposite signs on the two ways.
    """
    back = _optimise_finely(moving, fixed, _inverse(there.transform, moving))
    returned = _inverse(back.transform, fixed)
    apart = _apart(fixed, there.transform, returned) if np.isfinite(back.metric) else np.inf
    return replace(there, transform=_halfway(there.transform, returned, fixed.centre), return_mm=apart)


def _both_ways(
    metrics: tuple[MutualInformation, MutualInformation], there: sitk.Euler3DTransform, back: sitk.Euler3DTransform
) -> float:
    """Mean metric of the way there and the way back."""
    return sum(metric(way, sloped=False).metric for metric, way in zip(metrics, (there, back), strict=True)) / 2


def _fine(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform) -> Registered:
    return there_and_back(fixed, moving, _optimise_finely(fixed, moving, start))


def _optimise_finely(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform) -> Registered:
    return _optimise(fixed, moving, _optimise(fixed, moving, start, _NEAR).transform, _EXACT)


def _against(fixed: Prepared, best: Registered, rival: Registered) -> Registered:
    """The better of two; it carries the other as its rival."""
    if rival.metric > best.metric:
        best, rival = rival, best
    return replace(best, rival_mm=_apart(fixed, best.transform, rival.transform), rival_metric=rival.metric)


def _apart(fixed: Prepared, one: sitk.Transform, other: sitk.Transform) -> float:
    """Mean distance between where two transforms bring points around the head, mm."""
    radius = np.sqrt(1.5 * fixed.turn_scale)  # root mean square distance of the head's points from its centre
    points = fixed.centre + radius * np.vstack([np.eye(3), -np.eye(3)])
    pairs = [(one.TransformPoint(p), other.TransformPoint(p)) for p in points.tolist()]
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


def _inverse(transform: sitk.Euler3DTransform, onto: Prepared) -> sitk.Euler3DTransform:
    """The inverse, turning about the centre of the head that it starts from."""
    inverse = sitk.Euler3DTransform(transform.GetInverse())
    shift = np.array(inverse.TransformPoint(onto.centre.tolist())) - onto.centre
    return _turned(np.array(inverse.GetMatrix()).reshape(3, 3), onto.centre, shift)


def _halfway(one: sitk.Euler3DTransform, other: sitk.Euler3DTransform, centre: Point) -> sitk.Euler3DTransform:
    """The mean of two rigid transforms that lie near each other."""
    both = (one, other)
    left, _, right = np.linalg.svd(sum(np.array(way.GetMatrix()).reshape(3, 3) for way in both))
    shift = np.mean([way.TransformPoint(centre.tolist()) for way in both], axis=0) - centre
    return _turned(left @ right, centre, shift)


def _turned(matrix: NDArray[np.float64], centre: Point, shift: Point) -> sitk.Euler3DTransform:
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(matrix.ravel().tolist(), 1e-6)
    transform.SetTranslation(shift.tolist())
    return transform


def _metric(fixed: Prepared, moving: Prepared, search: _Search) -> MutualInformation:
    level = search.level
    return MutualInformation(fixed.levels[level], moving.levels[level], fixed.region, search.bins, search.samples)


def _optimise(fixed: Prepared, moving: Prepared, start: sitk.Euler3DTransform, search: _Search) -> Registered:
    return _climb(_metric(fixed, moving, search), fixed, start, search)


def _climb(metric: MutualInformation, fixed: Prepared, start: sitk.Euler3DTransform, search: _Search) -> Registered:
    """Go uphill in steps of one length, and in shorter ones once the way turns back.

    A turn counts by how far it moves the usual point of the head, so that a step is of as many mm whichever way.
    """
    arm = np.sqrt(fixed.turn_scale)
    transform, fit = start, metric(start)
    step, before = search.first_step, np.zeros(6)
    for _ in range(_MOST_STEPS):
        uphill = fit.slope * ([1.0] * 3 + [1 / arm] * 3)
        steepness = float(np.linalg.norm(uphill))
        if uphill @ before < 0:
            step *= _SHORTER
        if step < search.last_step or steepness < _LEVEL:
            break
        way, before = uphill * step / steepness, uphill
        transform = _moved(transform, way[:3], way[3:] / arm)
        fit = metric(transform)
    return Registered(transform, fit.metric)


def _moved(transform: sitk.Euler3DTransform, shift: Vector, turn: Vector) -> sitk.Euler3DTransform:
    """The transform, turned further by a rotation vector (radians) about its centre, and shifted further (mm)."""
    angle = float(np.linalg.norm(turn))
    more = sitk.VersorTransform((turn / max(angle, 1e-12)).tolist(), angle).GetMatrix()
    matrix = np.array(more).reshape(3, 3) @ np.array(transform.GetMatrix()).reshape(3, 3)
    return _turned(matrix, np.array(transform.GetCenter()), np.array(transform.GetTranslation()) + shift)
