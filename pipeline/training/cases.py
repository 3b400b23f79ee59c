"""Real BraTS-layout cases as training samples (for sites that hold such data under a fitting licence)."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pipeline.evaluation.cases import Case, LabelScheme, find_cases
from pipeline.names import Sequence
from pipeline.training.samples import Sample, tumour_sample
from pipeline.training.synthesis.heads import CANVAS_MM
from pipeline.training.synthesis.render import RenderedStudy

SPACING_MM = 2.0


def _resample(image: sitk.Image, grid: sitk.Image, labels: bool) -> np.ndarray:
    method = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    source = image if labels else sitk.DiscreteGaussian(sitk.Cast(image, sitk.sitkFloat32), [0.5] * 3)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(source, grid, sitk.Transform(), method, 0.0)))


class CaseSource:
    """Cases of a folder, read once and kept at 2 mm.

    Parameters
    ----------
    folder
        Skull-stripped, co-registered cases in the BraTS layout, each with a segmentation.
    scheme
        How labels make regions.
    """

    def __init__(self, folder: Path, scheme: LabelScheme | None = None) -> None:
        self.studies = [self._load(case, scheme) for case in find_cases(folder)]

    def _load(self, case: Case, scheme: LabelScheme | None) -> RenderedStudy:
        images = case.read_images()
        labels = case.read_labels()
        scheme = scheme or LabelScheme.of(labels)
        grid = sitk.Image(*(int(mm / SPACING_MM) for mm in reversed(CANVAS_MM)), sitk.sitkUInt8)
        grid.SetSpacing((SPACING_MM,) * 3)
        some = next(iter(images.values()))
        middle = some.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in some.GetSize()])
        grid.SetOrigin([m - SPACING_MM * (n - 1) / 2 for m, n in zip(middle, grid.GetSize(), strict=True)])
        empty = np.zeros(tuple(reversed(grid.GetSize())), np.float32)
        stack = np.stack([_resample(images[s], grid, False) if s in images else empty for s in Sequence])
        regions = scheme.regions(_resample(labels, grid, True))
        brain = (stack > stack.min((1, 2, 3), keepdims=True)).any(0)
        return RenderedStudy(stack.astype(np.float32), np.concatenate([brain[None], regions]))

    def get(self, rng: np.random.Generator) -> Sample:
        """A random case, masked and normalised afresh."""
        return tumour_sample(rng, self.studies[int(rng.integers(len(self.studies)))], SPACING_MM)
