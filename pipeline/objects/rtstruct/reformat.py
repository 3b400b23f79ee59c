"""Contours on the slices of a reformatted series: the shape between its planes, sampled on the volume."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.volume.records import SourceVolume

#: Normals of one series' planes differ by no more than this cosine.
_PARALLEL: Final = 0.999
#: How far points may lie off their plane, and planes off regular places, as a part of the planes' distance.
_FLATNESS: Final = 0.25
#: Planes further apart say too little of what lies between them, mm.
_WIDEST_MM: Final = 8.0
_MOST_VOXELS: Final = 512**3


def from_other_planes(polygons: Sequence[NDArray[np.float64]], volume: SourceVolume) -> NDArray[np.uint8] | None:
    """Rasterise contours on their own parallel planes, and sample the result on a volume.

    Parameters
    ----------
    polygons
        Points (n, 3) of each contour, LPS, mm.
    volume
        The volume.

    Returns
    -------
    NDArray[np.uint8] or None
        (slices, rows, columns), 1 inside; None where the contours are not flat, not parallel to each other, or lie
        on planes at irregular or too large distances.
    """
    axes = _axes(polygons)
    if axes is None:
        return None
    local = [points @ axes.T for points in polygons]
    heights = np.array([points[:, 2].mean() for points in local])
    spread = max(float(np.ptp(points[:, 2])) for points in local)
    gaps = np.diff(np.unique(heights.round(2)))
    gaps = gaps[gaps > 0.1]
    pitch = float(gaps.min()) if len(gaps) else 0.0
    if not 0 < pitch <= _WIDEST_MM or spread > _FLATNESS * pitch:
        return None
    index = (heights - heights.min()) / pitch
    if np.abs(index - index.round()).max() > _FLATNESS:
        return None
    return _sampled(local, index.round().astype(np.int64), float(heights.min()), pitch, axes, volume)


def _axes(polygons: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Return (3, 3): two directions within the contours' planes, and their normal; None where they share none."""
    frames = [np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2] for points in polygons]
    normal = np.cross(frames[0][0], frames[0][1])
    if any(abs(float(np.cross(one[0], one[1]) @ normal)) < _PARALLEL for one in frames):
        return None
    return np.stack([frames[0][0], np.cross(normal, frames[0][0]), normal])


def _sampled(
    local: list[NDArray[np.float64]],
    planes: NDArray[np.int64],
    lowest: float,
    pitch: float,
    axes: NDArray[np.float64],
    volume: SourceVolume,
) -> NDArray[np.uint8] | None:
    step = min(volume.image.GetSpacing())
    flat = np.concatenate(local)[:, :2]
    corner = flat.min(axis=0) - 2 * step
    columns, rows = (np.ceil((flat.max(axis=0) - corner) / step) + 3).astype(int).tolist()
    slices = int(planes.max()) + 3  # an empty plane on each side: the shape ends half a distance behind the outermost
    if columns * rows * slices > _MOST_VOXELS:
        return None
    lengths = np.array([len(points) for points in local], dtype=np.int64)
    order = np.argsort(planes, kind="stable")
    points = np.concatenate([(local[k][:, :2] - corner) / step for k in order])
    starts = np.cumsum(lengths[order]) - lengths[order]
    inside = rasterise(Contours(points, starts, planes[order] + 1), (slices, rows, columns)) > 0
    image = sitk.GetImageFromArray(_depth(inside))
    image.SetSpacing((step, step, pitch))
    image.SetOrigin((np.array([*corner, lowest - pitch]) @ axes).tolist())
    image.SetDirection(axes.T.ravel().tolist())
    found = sitk.Resample(image, volume.image, sitk.Transform(), sitk.sitkLinear, -1.0)
    return np.asarray(sitk.GetArrayViewFromImage(found) > 0).astype(np.uint8)


def _depth(inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Depth below the outline within each plane, negative outside: what lies between planes goes from one to the next.

    Shape-based interpolation (Raya and Udupa, IEEE TMI 9(1), 1990). An empty plane is as far outside as its deepest
    neighbour is inside, so that the shape ends half-way to it.
    """
    depth = np.stack([distance_transform_edt(plane) - distance_transform_edt(~plane) for plane in inside])
    filled = inside.any(axis=(1, 2))
    deepest = np.where(filled, depth.max(axis=(1, 2)), 0.0)
    around = np.maximum(np.append(deepest[1:], 0.0), np.append(0.0, deepest[:-1]))
    depth[~filled] = -np.maximum(around[~filled], 1.0)[:, None, None]
    return np.asarray(depth, dtype=np.float32)
