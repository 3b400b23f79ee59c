"""From aligned sequences to probabilities: the brain first, then the tumour inside it."""

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.align import Alignment
from pipeline.errors import Flag, GlioLoopError
from pipeline.inference.channels import channels_of, normalised, raw_outputs, regions_of
from pipeline.inference.core import trust_unenhanced_core
from pipeline.inference.coverage import FLAGGED, Gap, gaps, gaps_of_tumour, to_leave_out, without_rim
from pipeline.inference.coverage import flags as coverage_flags
from pipeline.inference.doubt import doubt
from pipeline.inference.fluid import LeftOut, leave_out_fluid
from pipeline.inference.grids import Box, Sampled, corners_of, extent_of, like, make_grid, sample_all
from pipeline.inference.session import Average, Network, activate, load_network
from pipeline.inference.suspicion import Look, look_of
from pipeline.names import TUMOUR_REGIONS, MRSequence, Provider, Region
from pipeline.registry import BrainStage, InstalledModel, ModelCard
from pipeline.volume.records import SourceVolume

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Progress = Callable[[float], None]

#: Adult brains with their sulci and ventricles; wider than any, since coverage may be partial.
PLAUSIBLE_BRAIN_ML = (600.0, 2200.0)
_ML_PER_MM3 = 1e-3
#: Probability from which the coarse network is sure of a voxel being brain.
_SURE = 0.8
#: Half the thickness, in voxels of the coarse grid, of what is cut off as not being brain.
_NECK_VOXELS = 3
#: So much of the brain at the edge of the reference's field of view is more than a brainstem that leaves it.
_CUT_ML = 8.0


@dataclass(frozen=True)
class Delineation:
    """What a network found.

    Attributes
    ----------
    probabilities
        float32 image per region (WT, TC, ET, nested, and brain and cavity where the network gives them) on the
        network's grid, in the reference series' physical space (LPS, mm).
    brain_ml
        Volume of the brain found.
    uncertainty
        Of the whole tumour, 0 to 1: see :func:`pipeline.inference.doubt.doubt`.
    flags
        MODEL_UNCERTAIN, SEQUENCE_INCOMPLETE_COVERAGE, DOUBTFUL_PART_LEFT_OUT.
    provider
        What the tumour network ran on.
    look
        What to look at for signal that looks like tumour, whatever the network says. None where no brain is known.
    """

    probabilities: dict[Region, sitk.Image]
    brain_ml: float
    uncertainty: float
    flags: tuple[Flag, ...]
    provider: Provider
    look: Look | None = None


@dataclass(frozen=True)
class _Brain:
    """The brain on the grid it was looked for on; ``sure`` is 1 where it is brain beyond doubt.

    ``beyond`` is the part of it that the reference series did not image, ``edge_ml`` what of it lies at the edge
    of the reference series' field of view.
    """

    probability: sitk.Image
    sure: sitk.Image
    box: Box
    volume_ml: float
    beyond: float
    edge_ml: float


def delineate(
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    reference: MRSequence,
    model: InstalledModel,
    progress: Progress = lambda fraction: None,
    optional: Collection[MRSequence] = (),
    provider: Provider = Provider.AUTO,
) -> Delineation:
    """Find brain and tumour.

    Parameters
    ----------
    volumes
        The sequences; one that is not there is given to the network as zeros.
    alignments
        For each sequence the map from the reference's space to its own.
    reference
        Sequence in whose space the result lies.
    model
        The network.
    progress
        Called with the fraction done.
    optional
        Sequences of which one may be left out where it shows too little of brain or tumour.
    provider
        What the networks shall run on.

    Raises
    ------
    GlioLoopError
        BRAIN_NOT_FOUND, COVERAGE_INCOMPLETE, MODEL_DAMAGED.
    """
    card = model.card
    field = extent_of(volumes[reference].image)
    progress(0.0)
    brain, incomplete = None, []
    if card.brain is not None:
        finder = load_network(model, card.brain.file, provider)
        brain = _find_brain(volumes, alignments, reference, field, finder, card.brain)
        incomplete = _beyond(brain, volumes, alignments, reference, finder, card.brain)
    progress(0.2)
    grid = make_grid(field if brain is None else brain.box, card.grid)
    seen = sample_all(volumes, alignments, card.grid, grid)
    mask = np.asarray(seen.valid.any(axis=0))
    if brain is not None and card.brain is not None:
        inside = _within(brain, grid, card.brain)
        mask &= _near(inside, grid, card.brain)
        told = {gap.sequence for gap in incomplete}
        missed = gaps(seen, card.grid.order, without_rim(inside), "brain")
        incomplete += [gap for gap in missed if gap.sequence not in told]
    network = Average(*(load_network(model, file, provider) for file in card.tumour_files))

    def found_in(left: Sampled) -> dict[Region, Array]:
        found = regions_of(channels_of(left, mask, network, card, lambda done: progress(0.2 + 0.8 * done)), mask, card)
        return trust_unenhanced_core(found if brain is None else _drop_outside(found, brain, grid, card), card)

    allowed = optional if all(sequence in volumes for sequence in card.grid.order) else ()
    left_out = to_leave_out(incomplete, allowed)
    regions = found_in(seen.without(left_out, card.grid.order))
    incomplete += gaps_of_tumour(seen, regions, grid, card)
    if (also := to_leave_out(incomplete, allowed)) != left_out:
        left_out = also
        regions = found_in(seen.without(left_out, card.grid.order))
    regions, in_fluid = leave_out_fluid(regions, seen.without(left_out, card.grid.order), grid, card)
    brain_ml = _brain_volume(brain, regions, mask, grid, card)
    voxel_ml = float(np.prod(grid.GetSpacing())) * _ML_PER_MM3
    unlikely = doubt(regions[Region.WT], card.threshold(Region.WT), voxel_ml)
    flags = coverage_flags(incomplete, left_out)
    if 1 - unlikely < card.least_expected_dice:
        flags = (*flags, Flag("MODEL_UNCERTAIN", f"{unlikely:.2f}"))
    if in_fluid:
        flags = (*flags, Flag("DOUBTFUL_PART_LEFT_OUT", _told(in_fluid, volumes[reference].image)))
    found = {region: like(array, grid) for region, array in regions.items()}
    return Delineation(found, brain_ml, unlikely, flags, network.provider, look_of(seen, regions, grid, card))


def _told(parts: tuple[LeftOut, ...], reference: sitk.Image) -> str:
    """Volume and slice of each part; slices are counted from 1 along the normal."""
    slices = [round(reference.TransformPhysicalPointToContinuousIndex(one.centre)[2]) + 1 for one in parts]
    told = zip(parts, slices, strict=True)
    return "; ".join(f"WT {one.volume_ml:.1f} ml about slice {number}, in fluid" for one, number in told)


def _beyond(
    brain: _Brain,
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    reference: MRSequence,
    network: Network,
    stage: BrainStage,
) -> list[Gap]:
    """What the reference series does not show of the brain, looked for over all fields of view where it is cut off."""
    share = brain.beyond
    if brain.edge_ml > _CUT_ML:
        corners = [
            alignments[sequence].transform.GetInverse().TransformPoint(corner.tolist())
            for sequence, volume in volumes.items()
            for corner in corners_of(volume.image)
        ]
        field = np.min(corners, axis=0), np.max(corners, axis=0)
        with suppress(GlioLoopError):  # no plausible brain out there: nothing that is cut off
            share = _find_brain(volumes, alignments, reference, field, network, stage).beyond
    return [Gap(reference, "brain", share)] if share > FLAGGED else []


def _find_brain(
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    reference: MRSequence,
    field: Box,
    network: Network,
    stage: BrainStage,
) -> _Brain:
    grid = make_grid(field, stage.grid, least=stage.grid.window)
    seen = sample_all(volumes, alignments, stage.grid, grid)
    mask = np.asarray(seen.valid.any(axis=0))
    raw = raw_outputs(normalised(seen, mask, stage.grid), stage.grid, network)
    probability = activate(raw, "sigmoid")[0]
    mask, sure = brain_mask(probability, stage.threshold)
    voxel_ml = float(np.prod(grid.GetSpacing())) * _ML_PER_MM3
    volume_ml = float(mask.sum()) * voxel_ml
    _check_brain(volume_ml)
    unseen = ~seen.valid[stage.grid.order.index(reference)]
    beyond = float((mask & unseen & seen.valid.any(axis=0)).sum()) / float(mask.sum())
    padded = np.pad(unseen, 1, constant_values=True)
    edge_ml = float((mask & ndimage.binary_dilation(padded)[1:-1, 1:-1, 1:-1] & ~unseen).sum()) * voxel_ml
    # Parts apart from the brain (an eye, a muscle) must not come back through their probability.
    kept = np.where(mask, np.maximum(probability, stage.threshold), np.minimum(probability, stage.threshold / 2))
    image = like(np.where(ndimage.binary_dilation(mask), kept, 0).astype(np.float32), grid)
    margin = stage.margin_mm + max(stage.grid.spacing_mm)
    return _Brain(image, like(sure.astype(np.float32), grid), _box_of(mask, grid, margin), volume_ml, beyond, edge_ml)


def _check_brain(volume_ml: float) -> None:
    low, high = PLAUSIBLE_BRAIN_ML
    if not low <= volume_ml <= high:
        raise GlioLoopError("BRAIN_NOT_FOUND", f"{volume_ml:.0f} ml")


def brain_mask(probability: Array, threshold: float) -> tuple[Mask, Mask]:
    """Cut the brain free of what hangs on to it: the muscles of the neck, the orbits, the ears.

    What the network is sure of is opened with a ball, which cuts necks thinner than the brainstem; the
    largest part left is the brain, and grows back to its surface by as much as the ball took.

    Parameters
    ----------
    probability
        float32, shape (z, y, x), isotropic voxels of about 4 mm.
    threshold
        Probability at the surface.

    Returns
    -------
    (mask, sure)
        The brain to its surface, and the part of it to which nothing else can hang on; shape (z, y, x).
    """
    ball = ndimage.iterate_structure(ndimage.generate_binary_structure(3, 1), _NECK_VOXELS)
    sure = np.pad(probability >= _SURE, _NECK_VOXELS)
    opened = ndimage.binary_opening(sure, ball)[(slice(_NECK_VOXELS, -_NECK_VOXELS),) * 3]
    core = _largest(opened)
    if not core.any():
        return core, core
    surface = probability >= threshold
    return (
        np.asarray(ndimage.binary_dilation(core, iterations=_NECK_VOXELS, mask=surface)),
        np.asarray(ndimage.binary_dilation(core, iterations=1, mask=surface)),
    )


def _largest(mask: Mask) -> Mask:
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def _box_of(mask: Mask, grid: sitk.Image, margin_mm: float) -> Box:
    """Box around a mask (z, y, x) in the grid's space, LPS, mm."""
    where = np.argwhere(mask)[:, ::-1]
    corners = np.array(np.meshgrid(*zip(where.min(0) - 0.5, where.max(0) + 0.5, strict=True))).reshape(3, -1).T
    points = np.array([grid.TransformContinuousIndexToPhysicalPoint(corner.tolist()) for corner in corners])
    return points.min(axis=0) - margin_mm, points.max(axis=0) + margin_mm


def _within(brain: _Brain, grid: sitk.Image, stage: BrainStage) -> Mask:
    """The brain on the tumour network's grid."""
    moved = sitk.Resample(brain.probability, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    return np.asarray(sitk.GetArrayFromImage(moved) >= stage.threshold)


def _near(inside: Mask, grid: sitk.Image, stage: BrainStage) -> Mask:
    """The brain and a margin around it."""
    distance = ndimage.distance_transform_edt(~inside, sampling=grid.GetSpacing()[::-1])
    return np.asarray(distance <= stage.margin_mm)


def _drop_outside(
    regions: dict[Region, Array], brain: _Brain, grid: sitk.Image, card: ModelCard
) -> dict[Region, Array]:
    """Drop connected tumour that lies mostly where the brain is in doubt: muscle, fat and orbits are not tumour.

    A tumour that reaches the surface of the brain keeps all of itself, since most of it lies within.
    """
    moved = sitk.Resample(brain.sure, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    sure = sitk.GetArrayFromImage(moved) >= 0.5
    # Taken far below the threshold, so that no rim of a dropped part is left.
    labels, count = ndimage.label(regions[Region.WT] >= card.threshold(Region.WT) / 2)
    if count == 0:
        return regions
    size = np.bincount(labels.ravel(), minlength=count + 1)
    inside = np.bincount(labels[sure], minlength=count + 1)
    outside = np.flatnonzero(inside < 0.5 * size)
    kept = ~np.isin(labels, outside[outside > 0])
    return {region: array * kept if region in TUMOUR_REGIONS else array for region, array in regions.items()}


def _brain_volume(
    brain: _Brain | None, regions: Mapping[Region, Array], mask: Mask, grid: sitk.Image, card: ModelCard
) -> float:
    if brain is not None:
        return brain.volume_ml
    found = regions[Region.BRAIN] >= card.threshold(Region.BRAIN) if Region.BRAIN in regions else mask
    volume_ml = float(found.sum()) * float(np.prod(grid.GetSpacing())) * _ML_PER_MM3
    if Region.BRAIN in regions:
        _check_brain(volume_ml)
    return volume_ml
