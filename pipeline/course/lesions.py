"""The lesions of a study: the connected parts of its regions, where they lie and how large they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import find_contours

from pipeline.course.records import Lesion, Side
from pipeline.course.symmetry import MidSagittalPlane
from pipeline.names import Region
from pipeline.objects.measure import axes, hull
from pipeline.volume.boxes import places_of

Mask = NDArray[np.bool_]
Labels = NDArray[np.int32]
#: Parts no further apart than twice this are one lesion: a rim that is broken is not several.
_REACH_MM: Final = 1.0
#: Smaller parts count in the region's volume and are no lesions: 50 mm³, as in the BraTS challenge since 2023.
LEAST_ML: Final = 0.05
#: RANO (Wen et al., J Clin Oncol 28(11), 2010): both diameters, on two slices or more, and twice the distance of thick
#: ones.
MEASURABLE_MM: Final = 10.0
MEASURABLE_SLICES: Final = 2
#: Part of a lesion that lies on one side where it counts as being there.
_ONE_SIDED: Final = 0.9
_TOUCHING: Final = np.ones((3, 3, 3), dtype=bool)
#: Slices whose normal is further from the body's axis than this are no axial ones: cosine of 45°.
_AXIAL: Final = np.sqrt(0.5)


@dataclass(frozen=True, eq=False)
class Labelled:
    """The lesions of one region of a study.

    Attributes
    ----------
    labels
        On the reference series' grid: 0, or 1 and the place of the lesion in ``lesions``; int32.
    lesions
        Largest first.
    """

    labels: sitk.Image
    lesions: tuple[Lesion, ...]

    @property
    def array(self) -> Labels:
        """The labels, shape (slices, rows, columns)."""
        return np.asarray(sitk.GetArrayFromImage(self.labels))


def lesions_of(masks: Mapping[Region, Mask], grid: sitk.Image, plane: MidSagittalPlane) -> dict[Region, Labelled]:
    """Find the lesions of every region.

    Parameters
    ----------
    masks
        Shape (slices, rows, columns) of the grid.
    grid
        The reference series' image.
    plane
        Where left and right part.
    """
    return {region: _labelled(region, mask, grid, plane) for region, mask in masks.items()}


def is_measurable(long_axis_mm: float, short_axis_mm: float, slices: int, slice_distance_mm: float) -> bool:
    """Whether RANO would measure a lesion of this size.

    Examples
    --------
    >>> is_measurable(12.0, 10.0, 3, 1.0), is_measurable(30.0, 9.0, 9, 1.0), is_measurable(11.0, 11.0, 2, 6.0)
    (True, False, False)
    """
    least = max(MEASURABLE_MM, 2 * slice_distance_mm)
    return min(long_axis_mm, short_axis_mm) >= least and slices >= MEASURABLE_SLICES


def _labelled(region: Region, mask: Mask, grid: sitk.Image, plane: MidSagittalPlane) -> Labelled:
    spacing = grid.GetSpacing()
    voxel_ml = np.float64(np.prod(spacing) / 1000)
    labels = np.zeros(mask.shape, dtype=np.int32)
    for box in ndimage.find_objects(mask.astype(np.uint8)):
        wide = tuple(
            slice(max(0, one.start - margin), one.stop + margin)
            for one, margin in zip(box, (int(_REACH_MM // size) + 1 for size in spacing[::-1]), strict=True)
        )
        near = ndimage.distance_transform_edt(~mask[wide], sampling=spacing[::-1]) <= _REACH_MM
        labels[wide] = ndimage.label(near, _TOUCHING)[0] * mask[wide]
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = [one for one in np.argsort(-sizes, kind="stable") if sizes[one] * voxel_ml >= LEAST_ML]
    renamed = np.zeros(len(sizes), dtype=np.int32)
    renamed[kept] = np.arange(1, len(kept) + 1)
    image = sitk.GetImageFromArray(renamed[labels])
    image.CopyInformation(grid)
    return Labelled(image, _described(region, image, (sizes[kept] * voxel_ml).astype(np.float64), plane))


def _described(
    region: Region, labels: sitk.Image, volumes_ml: NDArray[np.float64], plane: MidSagittalPlane
) -> tuple[Lesion, ...]:
    axial = _axial(labels)
    flat, array = np.asarray(sitk.GetArrayViewFromImage(axial)), np.asarray(sitk.GetArrayViewFromImage(labels))
    across = axial.GetSpacing()
    found = []
    for label, (box, axial_box) in enumerate(
        zip(ndimage.find_objects(array), ndimage.find_objects(flat, len(volumes_ml)), strict=True), start=1
    ):
        long_axis, short_axis, place, slices = (
            _diameters(flat[axial_box] == label, across) if axial_box else (0.0, 0.0, 0, 0)
        )
        own = np.pad(array[box] == label, 1)
        corner = np.array([one.start for one in box]) - 1
        depth = ndimage.distance_transform_edt(own, sampling=labels.GetSpacing()[::-1])
        deepest = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) + corner
        points = places_of(np.argwhere(own) + corner, labels)
        x, y, z = places_of(deepest[None], labels)[0]
        found.append(
            Lesion(
                region=region,
                side=_side(plane.to_the_left(points)),
                volume_ml=round(float(volumes_ml[label - 1]), 3),
                long_axis_mm=round(long_axis, 1),
                short_axis_mm=round(short_axis, 1),
                slice_index=box[0].start + place if axial is labels else None,
                slices=slices,
                measurable=is_measurable(long_axis, short_axis, slices, across[2]),
                inside=(round(float(x), 2), round(float(y), 2), round(float(z), 2)),
            )
        )
    return tuple(found)


def _axial(labels: sitk.Image) -> sitk.Image:
    """The labels on axial slices: their own, or reformatted to 1 mm where the series has others."""
    if abs(labels.GetDirection()[8]) >= _AXIAL:
        return labels
    corners = [
        labels.TransformContinuousIndexToPhysicalPoint(
            [place * (size - 1) for place, size in zip(one, labels.GetSize(), strict=True)]
        )
        for one in np.ndindex(2, 2, 2)
    ]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    size = [int(one) + 1 for one in np.ceil(high - low)]
    reformatted: sitk.Image = sitk.Resample(
        labels, size, sitk.Transform(), sitk.sitkNearestNeighbor, low.tolist(), (1.0, 1.0, 1.0)
    )
    return reformatted


def _diameters(lesion: Mask, spacing: tuple[float, ...]) -> tuple[float, float, int, int]:
    """Longest diameter within a slice and the width across it, mm; which slice that is, and in how many any is."""
    best, slices = (0.0, 0.0, 0), 0
    for place, slice_ in enumerate(lesion):
        if not slice_.any():
            continue
        slices += 1
        contours = find_contours(np.pad(slice_, 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
        outline = np.concatenate(contours)
        best = max(best, (*axes(hull(outline[:, ::-1] * np.array(spacing[:2]))), place))
    return (*best, slices)


def _side(to_the_left: NDArray[np.float64]) -> Side:
    left = float(np.mean(to_the_left > 0))
    if left >= _ONE_SIDED:
        return Side.LEFT
    return Side.RIGHT if left <= 1 - _ONE_SIDED else Side.BOTH
