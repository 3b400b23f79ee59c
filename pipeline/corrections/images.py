"""The images of a case as BraTS tools read them: all on one grid of 1 mm, in the reference series' space."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.corrections.study import Mask, Study
from pipeline.inference.grids import extent_of, make_grid, sample
from pipeline.names import MRSequence, Region
from pipeline.registry import InputGrid

#: Fine enough for any network of this kind, and the grid of the BraTS challenge.
SPACING_MM = (1.0, 1.0, 1.0)
#: File name of each sequence after the case's id and an underscore.
SUFFIXES: dict[MRSequence, str] = {
    MRSequence.T1: "t1",
    MRSequence.T1C: "t1ce",
    MRSequence.T2: "t2",
    MRSequence.FLAIR: "flair",
}
SEGMENTATION = "seg"
AUTOMATIC = "auto"
#: Labels of the BraTS challenge up to 2021.
_OEDEMA, _CORE, _ENHANCING = 2, 1, 4
#: What the brightest tissue becomes: enough steps, and small numbers compress well.
_BRIGHT = 4000.0


def write_images(
    folder: Path, study: Study, corrected: Mapping[Region, Mask], automatic: Mapping[Region, Mask], prefix: str = ""
) -> None:
    """Write ``t1``, ``t1ce``, ``t2``, ``flair``, as far as the study has them, ``seg`` and ``auto`` as ``.nii.gz``.

    Parameters
    ----------
    folder
        Where to; made if need be.
    study
        The series and how they lie against each other.
    corrected, automatic
        Regions on the reference grid, shape (slices, rows, columns).
    prefix
        Put before each file's name.

    Notes
    -----
    Intensities are int16, scaled per sequence (MR intensities have no unit). No file holds an identifier.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spec = InputGrid(order=tuple(MRSequence), spacing_mm=SPACING_MM, window=(16, 16, 16), multiple=1)
    grid = make_grid(extent_of(study.grid), spec)
    for sequence, volume in study.volumes.items():
        values = sample(volume.image, study.alignments[sequence].transform, grid)
        _write(folder / f"{prefix}{SUFFIXES[sequence]}.nii.gz", _as_int16(values), grid)
    for name, regions in ((SEGMENTATION, corrected), (AUTOMATIC, automatic)):
        _write(folder / f"{prefix}{name}.nii.gz", _labels(regions, study.grid, grid), grid)


def _as_int16(values: NDArray[np.float32]) -> NDArray[np.int16]:
    bright = float(np.percentile(values[values > 0], 99.9)) if (values > 0).any() else 1.0
    return np.clip(np.round(values * (_BRIGHT / bright)), -32768, 32767).astype(np.int16)


def _labels(regions: Mapping[Region, Mask], source: sitk.Image, grid: sitk.Image) -> NDArray[np.uint8]:
    """Labels on the grid; the inner region wins, so they are nested whatever interpolation does."""
    labels = np.zeros(grid.GetSize()[::-1], dtype=np.uint8)
    for region, label in ((Region.WT, _OEDEMA), (Region.TC, _CORE), (Region.ET, _ENHANCING)):
        mask = sitk.GetImageFromArray(regions[region].astype(np.float32))
        mask.CopyInformation(source)
        moved = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
        labels[sitk.GetArrayViewFromImage(moved) >= 0.5] = label
    return labels


def _write(path: Path, array: NDArray[np.int16] | NDArray[np.uint8], grid: sitk.Image) -> None:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(grid)
    sitk.WriteImage(image, path, useCompression=True, compressionLevel=4)
