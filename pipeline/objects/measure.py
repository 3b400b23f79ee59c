"""Volumes and diameters of delineated regions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.rtstruct.region import volume_ml
from pipeline.objects.source import ReferenceSeries


@dataclass(frozen=True)
class RegionSize:
    """How large a region is.

    Attributes
    ----------
    volume_ml
        Area within the contours times the distance of slices, ml.
    diameter_mm
        Longest distance between two points of the region in space, mm.
    long_axis_mm
        Longest diameter within one slice, mm.
    short_axis_mm
        Width across the long axis in the same slice, mm.
    slice_index
        The slice of the two axes; None for an empty region.
    """

    volume_ml: float = 0.0
    diameter_mm: float = 0.0
    long_axis_mm: float = 0.0
    short_axis_mm: float = 0.0
    slice_index: int | None = None


def region_size(contours: Contours, series: ReferenceSeries) -> RegionSize:
    """Measure a region by its contours.

    Parameters
    ----------
    contours
        Contours in pixels, outer borders and holes.
    series
        The reference series.

    Returns
    -------
    RegionSize
        Zeros for an empty region. The two axes are those of a bidirectional measurement as in RANO (Wen et al.,
        J Clin Oncol 28(11), 2010), taken around all parts of the region in a slice together.
    """
    if not len(contours.starts):
        return RegionSize()
    owner = np.repeat(contours.slices, contours.lengths)
    best: tuple[float, float, int] = (-1.0, 0.0, 0)
    outline = []
    for index in np.unique(contours.slices):
        flat = hull(contours.points[owner == index] * np.array(series.planes[index].spacing))
        outline.append(series.planes[index].to_patient(flat / np.array(series.planes[index].spacing)))
        long_axis, short_axis = axes(flat)
        best = max(best, (long_axis, short_axis, int(index)))
    return RegionSize(
        volume_ml=volume_ml(contours, series),
        diameter_mm=float(pdist(hull(np.concatenate(outline))).max()),
        long_axis_mm=best[0],
        short_axis_mm=best[1],
        slice_index=best[2],
    )


def hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the corners of the convex hull of points (n, 2 or 3); all points where they are degenerate."""
    try:
        return np.asarray(points[ConvexHull(points).vertices])
    except QhullError:
        return points


def axes(points: NDArray[np.float64]) -> tuple[float, float]:
    """Return the longest distance between points (n, 2), and their width across it."""
    distances = squareform(pdist(points))
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    along = points[second] - points[first]
    length = float(np.hypot(along[0], along[1]))
    across = points @ np.array([-along[1], along[0]]) / length
    return length, float(np.ptp(across))
