"""Probabilities from the network's grid to the reference series' own slices, and their clean-up.

Probabilities are resampled, not labels, and once: a label resampled twice loses half a voxel at every
border and small regions altogether.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from pipeline.align import Alignment
from pipeline.errors import Flag
from pipeline.names import DELINEATED_REGIONS, TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import ModelCard
from pipeline.restore.sharpen import Signal, least, sharpen, signals
from pipeline.volume.boxes import Box, first_of, placed
from pipeline.volume.records import SourceVolume

_ML_PER_MM3 = 1e-3
#: Percentile of a part's probabilities that is its certainty.
_CERTAIN = 95
#: Voxels between the tumour and the border of what is restored.
_MARGIN = 2


@dataclass(frozen=True)
class Cleaning:
    """How a network's probabilities become regions; the model card gives the values.

    Attributes
    ----------
    thresholds
        Probability at and above which a voxel belongs to the region.
    minimum_component_ml
        Connected parts smaller than this are dropped.
    least_certainty
        Connected parts are dropped of whose probabilities the 95th percentile is below this.
    fill_holes
        Whether holes that do not reach the outside are filled, slice by slice, in WT and TC.
    only_largest
        Whether of WT only the largest part is kept; parts that meet at a corner are one.
    """

    thresholds: dict[Region, float]
    minimum_component_ml: dict[Region, float]
    fill_holes: bool
    least_certainty: dict[Region, float] = field(default_factory=dict)
    only_largest: bool = False


def cleaning(card: ModelCard) -> Cleaning:
    """Return the clean-up rules of a model card."""
    return Cleaning(
        thresholds={one.region: one.threshold for one in card.outputs if one.region in DELINEATED_REGIONS},
        minimum_component_ml=card.postprocessing.minimum_component_ml,
        fill_holes=card.postprocessing.fill_holes,
        least_certainty=card.postprocessing.least_certainty,
        only_largest=card.postprocessing.only_largest,
    )


@dataclass(frozen=True)
class Restored:
    """The result on the reference series' own slices.

    Its images cover the box of the reference grid that holds tumour and cavity, all the same
    (:func:`pipeline.volume.boxes.whole` fills them up).

    Attributes
    ----------
    probabilities
        float32 per tumour region, and of a resection cavity where one was found; the region is where it reaches
        the threshold.
        Nested, and below the threshold wherever a part was dropped, so that iso-contours of it are the
        borders of ``masks``.
    masks
        uint8 per region, 0 or 1; no tumour region holds a voxel of the cavity.
    volumes_ml
        Volume of each mask.
    flags
        NO_TUMOUR_FOUND, TUMOUR_AT_EDGE, DOUBTFUL_PART_LEFT_OUT, AFTER_SURGERY.
    """

    probabilities: dict[Region, sitk.Image]
    masks: dict[Region, sitk.Image]
    volumes_ml: dict[Region, float]
    flags: tuple[Flag, ...]


def restore_case(
    probabilities: dict[Region, sitk.Image],
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    reference: MRSequence,
    card: ModelCard,
) -> Restored:
    """Restore what a network found as its card says; of the volumes, the reference and those that sharpen."""
    return restore(probabilities, volumes[reference], cleaning(card), signals(card, volumes, alignments))


def restore(
    probabilities: dict[Region, sitk.Image],
    reference: SourceVolume,
    rules: Cleaning,
    signals: Mapping[Region, Signal] | None = None,
) -> Restored:
    """Bring the probabilities of tumour and resection cavity onto the reference series' slices.

    Parameters
    ----------
    probabilities
        float32 per region on the network's grid, in the reference series' physical space (LPS, mm).
    reference
        The series that will carry the contours.
    rules
        Thresholds and clean-up rules; a cavity is looked for where they have its threshold.
    signals
        Series that the borders of regions follow; see :mod:`pipeline.restore.sharpen`.

    Returns
    -------
    Restored
        Nested, cleaned regions on a box of ``reference.image``'s grid.
    """
    grid = reference.image
    box = _box_of_found(probabilities, rules, grid, signals or {})
    voxel_ml = float(np.prod(grid.GetSpacing())) * _ML_PER_MM3
    images: dict[Region, sitk.Image] = {}
    masks: dict[Region, sitk.Image] = {}
    volumes: dict[Region, float] = {}
    doubtful: list[_Dropped] = []
    outer: NDArray[np.float32] | None = None
    outer_threshold = 0.0
    around: sitk.Image | None = None
    cavity = _cavity(probabilities, rules, grid, box, signals or {})
    for region in TUMOUR_REGIONS:
        threshold = rules.thresholds[region]
        image = _onto(probabilities[region], grid, box)
        native = sitk.GetArrayFromImage(image)
        if signals and region in signals:
            native = sharpen(image, probabilities[region], around, signals[region])
        around = probabilities[region]
        if outer is not None:
            # Scaled, so that both thresholds fall on the same border where the regions coincide.
            native = np.minimum(native, outer * (threshold / outer_threshold))
        if cavity is not None:
            native = cavity.cut_out_of(native, threshold)
        native, dropped = _clean(native, threshold, rules, region, voxel_ml, None if cavity is None else cavity.mask)
        doubtful += [replace(one, slice_number=one.slice_number + box[0].start) for one in dropped]
        outer, outer_threshold = native, threshold
        mask = native >= threshold
        images[region] = placed(native, grid, box)
        masks[region] = placed(mask.astype(np.uint8), grid, box)
        volumes[region] = float(mask.sum()) * voxel_ml
    flags = _flags(sitk.GetArrayViewFromImage(masks[Region.WT]).astype(bool), box, grid)
    if doubtful:
        flags = (*flags, Flag("DOUBTFUL_PART_LEFT_OUT", "; ".join(map(str, doubtful))))
    if cavity is not None:
        images[Region.CAVITY] = placed(cavity.native, grid, box)
        masks[Region.CAVITY] = placed(cavity.mask.astype(np.uint8), grid, box)
        volumes[Region.CAVITY] = float(cavity.mask.sum()) * voxel_ml
        flags = (*flags, Flag("AFTER_SURGERY", f"{volumes[Region.CAVITY]:.1f} ml"))
    return Restored(images, masks, volumes, flags)


@dataclass(frozen=True)
class _Cavity:
    """A resection cavity in the box: its probability, axes (slice, row, column), where it is, and a voxel around."""

    native: NDArray[np.float32]
    threshold: float
    mask: NDArray[np.bool_]
    near: NDArray[np.bool_]

    def cut_out_of(self, native: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
        """Bring a tumour's probability below its threshold in the cavity, and to it where the cavity's border is."""
        native = native.copy()
        left = (1 - self.native[self.near]) * np.float32(threshold / (1 - self.threshold))
        native[self.near] = np.minimum(native[self.near], left)
        native[self.mask] = np.minimum(native[self.mask], np.nextafter(np.float32(threshold), np.float32(0)))
        return native


def _cavity(
    probabilities: Mapping[Region, sitk.Image],
    rules: Cleaning,
    grid: sitk.Image,
    box: Box,
    signals: Mapping[Region, Signal],
) -> _Cavity | None:
    """Restore the resection cavity; None where the network knows none or none is left of it."""
    if not _has_cavity(probabilities, rules):
        return None
    threshold = rules.thresholds[Region.CAVITY]
    image = _onto(probabilities[Region.CAVITY], grid, box)
    if Region.CAVITY in signals:
        native = sharpen(image, probabilities[Region.CAVITY], None, signals[Region.CAVITY])
    else:
        native = sitk.GetArrayFromImage(image)
    native, _ = _clean(native, threshold, rules, Region.CAVITY, float(np.prod(grid.GetSpacing())) * _ML_PER_MM3)
    mask = native >= threshold
    return _Cavity(native, threshold, mask, ndimage.binary_dilation(mask, np.ones((3, 3, 3)))) if mask.any() else None


def _has_cavity(probabilities: Mapping[Region, sitk.Image], rules: Cleaning) -> bool:
    return Region.CAVITY in probabilities and Region.CAVITY in rules.thresholds


def _box_of_found(
    probabilities: Mapping[Region, sitk.Image], rules: Cleaning, grid: sitk.Image, signals: Mapping[Region, Signal]
) -> Box:
    """Return the box of a grid outside of which tumour and cavity, interpolated linearly, stay below their thresholds.

    It is wider than that by some voxels, so that nothing at its border meets a contour; of one voxel where there is
    neither.
    """
    probability = probabilities[Region.WT]
    reached = np.zeros(probability.GetSize()[::-1], dtype=bool)
    for region in (Region.WT, Region.CAVITY) if _has_cavity(probabilities, rules) else (Region.WT,):
        threshold = rules.thresholds[region]
        if region in signals:
            threshold = least(threshold, signals[region].rule)
        reached |= sitk.GetArrayViewFromImage(probabilities[region]) >= threshold
    found = np.argwhere(reached)
    if not len(found):
        return slice(0, 1), slice(0, 1), slice(0, 1)
    # Beyond the neighbours of what reaches the threshold nothing does.
    sides = zip(found.min(axis=0)[::-1] - 1.0, found.max(axis=0)[::-1] + 1.0, strict=True)
    points = [probability.TransformContinuousIndexToPhysicalPoint(corner) for corner in itertools.product(*sides)]
    corners = np.array([grid.TransformPhysicalPointToContinuousIndex(point) for point in points])
    size = np.array(grid.GetSize())
    low = np.clip(np.floor(corners.min(axis=0)).astype(int) - _MARGIN, 0, size - 1)
    high = np.clip(np.ceil(corners.max(axis=0)).astype(int) + _MARGIN + 1, low + 1, size)
    i, j, k = (slice(int(one), int(other)) for one, other in zip(low, high, strict=True))
    return k, j, i


def _onto(image: sitk.Image, grid: sitk.Image, box: Box) -> sitk.Image:
    size = [one.stop - one.start for one in box[::-1]]
    return sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkLinear, first_of(grid, box), grid.GetSpacing(), grid.GetDirection(),
        0.0, sitk.sitkFloat32,
    )  # fmt: skip


@dataclass(frozen=True)
class _Dropped:
    """A part left out because it is nowhere certain; slices are counted from 1 along the normal."""

    region: Region
    volume_ml: float
    slice_number: int

    def __str__(self) -> str:
        return f"{self.region.value} {self.volume_ml:.1f} ml about slice {self.slice_number}"


def _clean(
    native: NDArray[np.float32],
    threshold: float,
    rules: Cleaning,
    region: Region,
    voxel_ml: float,
    cavity: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float32], list[_Dropped]]:
    """Drop small and doubtful parts and fill holes, in the probabilities themselves; axes (slice, row, column).

    A cavity in the tumour is no hole, and what lies in a cavity's hole is not cavity.
    """
    native = native.copy()
    mask = native >= threshold
    largest = rules.only_largest and region is Region.WT
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)) if largest else None)
    doubtful: list[_Dropped] = []
    if count:
        sizes = np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml
        gone = {int(k) for k in np.flatnonzero(sizes < rules.minimum_component_ml.get(region, 0.0))} - {0}
        if largest:
            gone |= set(range(1, count + 1)) - {1 + int(np.argmax(sizes[1:]))}
        for part, box in enumerate(ndimage.find_objects(labels), 1):
            inside = native[box][labels[box] == part]
            if part in gone or np.percentile(inside, _CERTAIN) >= rules.least_certainty.get(region, 0.0):
                continue
            gone.add(part)
            doubtful.append(_Dropped(region, float(sizes[part]), (box[0].start + box[0].stop) // 2 + 1))
        dropped = np.isin(labels, sorted(gone))
        # The halo below the threshold goes with its part, or contours would feel it.
        near = ndimage.binary_dilation(dropped, iterations=1) & ~(mask & ~dropped)
        below = np.float32(threshold * 0.5)
        native[near] = np.minimum(native[near], below)
        mask &= ~dropped
    if rules.fill_holes and region in (Region.WT, Region.TC):
        holes = np.stack([ndimage.binary_fill_holes(one) for one in mask]) & ~mask
        if cavity is not None:
            holes &= ~cavity
        native[holes] = np.float32(threshold + (1 - threshold) * 0.5)
    return native, doubtful


def _flags(mask: NDArray[np.bool_], box: Box, grid: sitk.Image) -> tuple[Flag, ...]:
    if not mask.any():
        return (Flag("NO_TUMOUR_FOUND"),)
    columns, rows, slices = grid.GetSize()
    borders = (
        ("first slice", box[0].start == 0, mask[0]),
        ("last slice", box[0].stop == slices, mask[-1]),
        ("image border", box[1].start == 0, mask[:, 0]),
        ("image border", box[1].stop == rows, mask[:, -1]),
        ("image border", box[2].start == 0, mask[:, :, 0]),
        ("image border", box[2].stop == columns, mask[:, :, -1]),
    )
    touched = dict.fromkeys(name for name, at_border, edge in borders if at_border and edge.any())
    return (Flag("TUMOUR_AT_EDGE", ", ".join(touched)),) if touched else ()
