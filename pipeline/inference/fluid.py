"""Parts found in the brain's fluid: choroid plexus that enhances, ventricles that FLAIR leaves bright.

A network that learnt from few brains without a tumour takes these for one. The images tell: fluid is around such a
part, and at its mirrored place on the other side, too. Of what is around a tumour beside a ventricle most is tissue.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.inference.grids import Array, Sampled
from pipeline.inference.mirror import Mirror, find_mirror, moved, standard
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import InFluid, ModelCard
from pipeline.volume.validity import Mask

#: Probability of brain that fluid in it has at least: the network is less sure of fluid than of tissue.
_BRAIN = 0.5
#: Fluid is nearer to this percentile of the brain's T1 than to the median; on T2 to that as far from the bright end.
_FLUID = 2.0
#: Taken off the brain's surface, where fluid is no ventricle.
_RIM_MM = 10.0
#: How far around a part is looked.
_AROUND_MM = 3.0
_SMOOTH_MM = 3.0
_HALF = 0.5
_ML_PER_MM3 = 1e-3


@dataclass(frozen=True)
class LeftOut:
    """A part of the whole tumour that lies in fluid: its volume, and its middle, LPS, mm."""

    volume_ml: float
    centre: tuple[float, float, float]


@dataclass(frozen=True)
class _Fluid:
    """Bool, shape (z, y, x): deep fluid, and what has fluid at its mirrored place; the mirror itself."""

    deep: Mask
    mirrored: Mask
    mirror: Mirror


def leave_out_fluid(
    regions: Mapping[Region, Array], seen: Sampled, grid: sitk.Image, card: ModelCard
) -> tuple[dict[Region, Array], tuple[LeftOut, ...]]:
    """Drop connected parts that lie in fluid, where the card says so.

    Parameters
    ----------
    regions
        Probability of each region, 0..1, axes (z, y, x); nothing is dropped where there is no brain among them.
    seen
        The sequences on the same grid; T1 and T2 tell fluid from tissue, and nothing is dropped without one of them.
    grid
        Its first axis runs from left to right or back.
    card
        Its ``postprocessing.in_fluid`` says which parts.

    Returns
    -------
    (regions, what was dropped of them)
    """
    rule = card.postprocessing.in_fluid
    whole = regions[Region.WT]
    found = whole >= card.threshold(Region.WT)
    if rule is None or Region.BRAIN not in regions or not found.any():
        return dict(regions), ()
    brain = np.asarray(ndimage.binary_fill_holes(regions[Region.BRAIN] >= _BRAIN)) | found
    tissue = brain & (whole < card.threshold(Region.WT) / 2)
    spacing = np.array(grid.GetSpacing()[::-1])
    fluid = _fluid(seen, card, brain, tissue, spacing)
    if fluid is None:
        return dict(regions), ()
    labels, _ = ndimage.label(found)
    voxel_ml = float(np.prod(spacing)) * _ML_PER_MM3
    least = card.postprocessing.minimum_component_ml.get(Region.WT, 0.0) / voxel_ml
    gone = list(_in_fluid(labels, fluid, rule, least, spacing))
    if not gone:
        return dict(regions), ()
    told = []
    for part in gone:
        where = np.argwhere(labels == part)
        centre = grid.TransformContinuousIndexToPhysicalPoint(where.mean(axis=0)[::-1].tolist())
        told.append(LeftOut(len(where) * voxel_ml, (centre[0], centre[1], centre[2])))
    # What is below the threshold goes with the part that it is nearest to.
    nearest = ndimage.distance_transform_edt(labels == 0, sampling=spacing, return_distances=False, return_indices=True)
    kept = ~np.isin(labels[tuple(nearest)], gone)
    return {one: array * kept if one in TUMOUR_REGIONS else array for one, array in regions.items()}, tuple(told)


def _fluid(
    seen: Sampled, card: ModelCard, brain: Mask, tissue: Mask, spacing: npt.NDArray[np.float64]
) -> _Fluid | None:
    """Find fluid by T1 and T2; None without one of them, or where there is no brain beside the tumour."""
    order = card.grid.order
    if MRSequence.T1 not in order or MRSequence.T2 not in order:
        return None
    first, second = order.index(MRSequence.T1), order.index(MRSequence.T2)
    both = seen.valid[first] & seen.valid[second]
    if not (tissue & both).any():
        return None
    t1, t2 = seen.images[first], seen.images[second]
    darker = np.percentile(t1[tissue & both], (_FLUID, 50)).mean()
    brighter = np.percentile(t2[tissue & both], (50, 100 - _FLUID)).mean()
    fluid = brain & both & (t1 < darker) & (t2 > brighter)
    mirror = find_mirror(
        brain & both, standard(ndimage.gaussian_filter(t2, _SMOOTH_MM / spacing), brain & both), spacing
    )
    inside = ndimage.binary_erosion(brain, iterations=max(1, round(_RIM_MM / float(spacing.mean()))))
    return _Fluid(fluid & inside, moved(fluid, mirror) > _HALF, mirror)


def _in_fluid(
    labels: npt.NDArray[np.int32], fluid: _Fluid, rule: InFluid, least: float, spacing: npt.NDArray[np.float64]
) -> Iterator[int]:
    """Yield the labels of parts of at least so many voxels that lie in fluid as the rule has it."""
    other = moved(labels > 0, fluid.mirror) > _HALF
    steps = max(1, round(_AROUND_MM / float(spacing.mean())))
    for part, box in enumerate(ndimage.find_objects(labels), 1):
        wide = tuple(slice(max(0, one.start - steps), one.stop + steps) for one in box)
        inside = labels[wide] == part
        around = ndimage.binary_dilation(inside, iterations=steps) & (labels[wide] == 0)
        apart = inside & ~other[wide]  # a tumour of both sides is its own mirror
        if inside.sum() < least or not around.any() or not apart.any():
            continue
        shares = fluid.deep[wide][around].mean(), fluid.mirrored[wide][apart].mean()
        if shares[0] >= rule.surroundings and shares[1] >= rule.mirrored:
            yield part
