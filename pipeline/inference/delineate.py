"""From aligned sequences to probabilities: the brain first, then the tumour inside it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.align import Alignment
from pipeline.errors import Flag, GlioLoopError
from pipeline.inference.grids import Box, Sampled, extent_of, like, make_grid, sample_all
from pipeline.inference.normalise import normalise_brain, normalise_head
from pipeline.inference.session import Average, activate, load_network
from pipeline.inference.windows import predict
from pipeline.names import TUMOUR_REGIONS, Region, Sequence
from pipeline.registry import BrainStage, InputGrid, InstalledModel, ModelCard
from pipeline.volume.records import SourceVolume

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Progress = Callable[[float], None]

#: Adult brains with their sulci and ventricles; wider than any, since coverage may be partial.
PLAUSIBLE_BRAIN_ML = (600.0, 2200.0)
_ML_PER_MM3 = 1e-3
#: Voxels whose probability of tumour is above this take part in the uncertainty figure.
_DOUBT_FROM = 0.1
#: Probability from which the coarse network is sure of a voxel being brain.
_SURE = 0.8
#: Half the thickness, in voxels of the coarse grid, of what is cut off as not being brain.
_NECK_VOXELS = 3


@dataclass(frozen=True)
class Delineation:
    """What a network found.

    Attributes
    ----------
    probabilities
        float32 image per region (WT, TC, ET, nested, and brain) on the network's grid, in the
        reference series' physical space (LPS, mm).
    brain_ml
        Volume of the brain found.
    uncertainty
        Mean of 4p(1-p) over voxels where the whole tumour is at all likely: 0 certain, 1 a coin toss.
    flags
        MODEL_UNCERTAIN.
    provider
        onnxruntime's execution provider.
    """

    probabilities: dict[Region, sitk.Image]
    brain_ml: float
    uncertainty: float
    flags: tuple[Flag, ...]
    provider: str


@dataclass(frozen=True)
class _Brain:
    """The brain on the grid it was looked for on; ``sure`` is 1 where it is brain beyond doubt."""

    probability: sitk.Image
    sure: sitk.Image
    box: Box
    volume_ml: float


def delineate(
    volumes: Mapping[Sequence, SourceVolume],
    alignments: Mapping[Sequence, Alignment],
    reference: Sequence,
    model: InstalledModel,
    progress: Progress = lambda fraction: None,
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

    Raises
    ------
    GlioLoopError
        BRAIN_NOT_FOUND, MODEL_DAMAGED.
    """
    card = model.card
    field = extent_of(volumes[reference].image)
    progress(0.0)
    brain = None if card.brain is None else _find_brain(volumes, alignments, field, model, card.brain)
    progress(0.2)
    grid = make_grid(field if brain is None else brain.box, card.grid)
    seen = sample_all(volumes, alignments, card.grid, grid)
    mask = np.asarray(seen.valid.any(axis=0))
    if brain is not None and card.brain is not None:
        mask &= _near(brain, grid, card.brain)
    network = Average(*(load_network(model, file) for file in card.tumour_files))
    regions = _regions(_channels(_normalise(seen, mask, card.grid), network, card, progress), mask, card)
    if brain is not None:
        regions = _drop_outside(regions, brain, grid, card)
    brain_ml = _brain_volume(brain, regions, mask, grid, card)
    doubt = _uncertainty(regions[Region.WT])
    flags = (Flag("MODEL_UNCERTAIN", f"{doubt:.2f}"),) if doubt > card.uncertainty_limit else ()
    found = {region: like(array, grid) for region, array in regions.items()}
    return Delineation(found, brain_ml, doubt, flags, network.provider)


def _channels(images: Array, network: Average, card: ModelCard, progress: Progress) -> Array:
    """Probabilities of every output channel, where the card asks for it averaged with the mirrored picture's."""
    left_right = -1 - next(k for k, letter in enumerate(card.grid.orientation) if letter in "LR")
    passes = (False, True) if card.mirror else (False,)
    total = np.zeros((), dtype=np.float32)
    for number, mirrored in enumerate(passes):
        seen = np.ascontiguousarray(np.flip(images, left_right)) if mirrored else images

        def report(fraction: float, done: int = number) -> None:
            progress(0.2 + 0.8 * (done + fraction) / len(passes))

        found = activate(predict(seen, card.grid.window, card.grid.overlap, network, report), card.activation)
        total = total + (np.flip(found, left_right) if mirrored else found)
    return np.asarray(total / len(passes), dtype=np.float32)


def _find_brain(
    volumes: Mapping[Sequence, SourceVolume],
    alignments: Mapping[Sequence, Alignment],
    field: Box,
    model: InstalledModel,
    stage: BrainStage,
) -> _Brain:
    grid = make_grid(field, stage.grid, least=stage.grid.window)
    seen = sample_all(volumes, alignments, stage.grid, grid)
    network = load_network(model, stage.file)
    mask = np.asarray(seen.valid.any(axis=0))
    raw = predict(_normalise(seen, mask, stage.grid), stage.grid.window, stage.grid.overlap, network)
    probability = activate(raw, "sigmoid")[0]
    mask, sure = brain_mask(probability, stage.threshold)
    volume_ml = float(mask.sum()) * float(np.prod(grid.GetSpacing())) * _ML_PER_MM3
    _check_brain(volume_ml)
    # Parts apart from the brain (an eye, a muscle) must not come back through their probability.
    kept = np.where(mask, np.maximum(probability, stage.threshold), np.minimum(probability, stage.threshold / 2))
    image = like(np.where(ndimage.binary_dilation(mask), kept, 0).astype(np.float32), grid)
    margin = stage.margin_mm + max(stage.grid.spacing_mm)
    return _Brain(image, like(sure.astype(np.float32), grid), _box_of(mask, grid, margin), volume_ml)


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


def _near(brain: _Brain, grid: sitk.Image, stage: BrainStage) -> Mask:
    """The brain and a margin around it, on the tumour network's grid."""
    moved = sitk.Resample(brain.probability, grid, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32)
    mask = sitk.GetArrayFromImage(moved) >= stage.threshold
    distance = ndimage.distance_transform_edt(~mask, sampling=grid.GetSpacing()[::-1])
    return np.asarray(distance <= stage.margin_mm)


def _normalise(seen: Sampled, mask: Mask, grid: InputGrid) -> Array:
    match grid.normalisation:
        case "brain" | "nonzero":
            return normalise_brain(seen.images, mask, seen.valid)
        case "head":
            return normalise_head(seen.images, seen.valid)
        case _:
            return seen.raw


def _regions(probabilities: Array, mask: Mask, card: ModelCard) -> dict[Region, Array]:
    """Regions from channels; the tumour only where the mask is, and each region inside the one around it."""
    regions = {
        output.region: np.sum(probabilities[list(output.channels)], axis=0, dtype=np.float32) * mask
        for output in card.outputs
    }
    for outer, inner in pairwise(TUMOUR_REGIONS):
        regions[inner] = np.minimum(regions[inner], regions[outer])
    return regions


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
    return {region: array if region is Region.BRAIN else array * kept for region, array in regions.items()}


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


def _uncertainty(tumour: Array) -> float:
    doubtful = tumour[tumour > _DOUBT_FROM]
    return float(np.mean(4 * doubtful * (1 - doubtful))) if doubtful.size else 0.0
