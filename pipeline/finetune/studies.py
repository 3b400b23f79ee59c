"""Cases in the BraTS layout as the network sees them, for learning."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align import align
from pipeline.corrections.images import write_images
from pipeline.corrections.study import Study
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import Case, find_cases
from pipeline.evaluation.evaluate import as_source, identity_alignment
from pipeline.evaluation.labels import OWN
from pipeline.identify import headers_from_files, identify
from pipeline.inference import delineate
from pipeline.inference.grids import sample_all
from pipeline.names import TUMOUR_REGIONS, MRSequence, Provider, Region
from pipeline.registry import InstalledModel
from pipeline.training.samples import Sample, tumour_sample
from pipeline.training.synthesis.render import RenderedStudy
from pipeline.volume import read_chosen

_REFERENCE = MRSequence.T1C


def study_of(case: Case, model: InstalledModel) -> RenderedStudy:
    """Bring a case onto the grid that the network sees, with the brain that the network finds.

    Parameters
    ----------
    case
        With a segmentation; a sequence that lacks is zero, as it was for the network that drew on it.
    model
        The network; its card gives the grid, its first stage the brain.

    Returns
    -------
    RenderedStudy
        Axes (z, y, x); the brain holds every voxel of the tumour.

    Raises
    ------
    GlioLoopError
        MODEL_NOT_TRAINABLE where the network does not give the brain; BRAIN_NOT_FOUND, FILE_UNREADABLE.
    """
    volumes = {sequence: as_source(image, sequence.value) for sequence, image in case.read_images().items()}
    unmoved = dict.fromkeys(volumes, identity_alignment())
    # What is the fastest differs from day to day, and providers in their last bits: the same cases teach the same.
    found = delineate(volumes, unmoved, _REFERENCE, model, provider=Provider.CPU)
    if Region.BRAIN not in found.probabilities:
        raise GlioLoopError("MODEL_NOT_TRAINABLE", f"{model.card.identity} does not give the brain")
    brain = found.probabilities[Region.BRAIN]
    seen = sample_all(volumes, unmoved, model.card.grid, brain)
    tumour = np.stack(_truth(case, brain))
    inside = (sitk.GetArrayViewFromImage(brain) >= 0.5) | tumour[0]
    return RenderedStudy(seen.images, np.concatenate([inside[None], tumour]), valid=seen.valid)


def _truth(case: Case, grid: sitk.Image) -> list[NDArray[np.bool_]]:
    """Regions WT, TC, ET of a case's segmentation on a grid."""
    labels = case.read_labels()
    found = []
    for mask in OWN.regions(sitk.GetArrayViewFromImage(labels)):
        image = sitk.GetImageFromArray(mask.astype(np.float32))
        image.CopyInformation(labels)
        moved = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
        found.append(np.asarray(sitk.GetArrayViewFromImage(moved) >= 0.5))
    return found


def sample_of(study: RenderedStudy, model: InstalledModel, seed: tuple[int, ...]) -> Sample:
    """Make a training sample of a study, as the shipped network's own training does."""
    return tumour_sample(np.random.default_rng(seed), study, model.card.grid.spacing_mm[0])


def sample_case(sample_study: Path, target: Path) -> Case:
    """Return the shipped synthetic study as a BraTS-layout case, read and aligned as a clinical one."""
    if not target.exists():
        headers, files = headers_from_files(path for path in sorted(sample_study.rglob("*.dcm")))
        volumes = read_chosen(identify(headers), files)
        study = Study(volumes, align(volumes, MRSequence.T1C), MRSequence.T1C)
        labels = sitk.ReadImage(sample_study / "truth.nii.gz", sitk.sitkUInt8)
        moved = sitk.Resample(labels, study.grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        values = OWN.regions(sitk.GetArrayFromImage(moved))
        truth: dict[Region, NDArray[np.bool_]] = dict(zip(TUMOUR_REGIONS, values, strict=True))
        part = target.with_name(f".{target.name}.part")
        write_images(part, study, truth, truth, prefix=f"{target.name}_")
        part.rename(target)
    (case,) = find_cases(target)
    return case
