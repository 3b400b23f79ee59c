"""The regions of a kept correction, read again on the reference series' grid: as drawn, where that is kept."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk

from pipeline.corrections.compare import difference
from pipeline.corrections.contours import CONTOURS
from pipeline.corrections.images import SEGMENTATION
from pipeline.corrections.readers import latest_of_each, reader_of
from pipeline.corrections.record import CaseRecord, ReaderAgreement, ReaderDifference
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.study import Mask, Study
from pipeline.errors import GlioLoopError
from pipeline.evaluation.labels import OWN
from pipeline.names import TUMOUR_REGIONS, Region

#: Ends the name of the file with the regions on the slices that they were drawn on: 0 outside, 1 whole tumour, 2 core,
#: 3 what enhances.
DRAWN: Final = "drawn"


def write_drawn(folder: Path, regions: Mapping[Region, Mask], grid: sitk.Image) -> None:
    """Write the regions, nested, as they lie on the reference series' slices: bool, shape (slices, rows, columns)."""
    depths = sum((regions[region].astype(np.uint8) for region in TUMOUR_REGIONS), np.zeros(1, np.uint8))
    image = sitk.GetImageFromArray(depths)
    image.CopyInformation(grid)
    sitk.WriteImage(image, folder / f"{DRAWN}.nii.gz", useCompression=True, compressionLevel=4)


def corrected_masks(store: CorrectionStore, case: CaseRecord, grid: sitk.Image) -> dict[Region, Mask]:
    """The regions of a correction on the reference series' grid, shape (slices, rows, columns).

    Raises
    ------
    GlioLoopError
        CASE_LOST.
    """
    folder = store.brought(case.id)
    drawn = folder / f"{case.id}_{DRAWN}.nii.gz"
    if drawn.is_file():
        depths = sitk.ReadImage(str(drawn))
        if _same_grid(depths, grid):
            array = sitk.GetArrayViewFromImage(depths)
            return {region: np.asarray(array >= depth) for depth, region in enumerate(TUMOUR_REGIONS, 1)}
    return _resampled(folder / f"{case.id}_{SEGMENTATION}.nii.gz", case, grid)


def _same_grid(one: sitk.Image, other: sitk.Image) -> bool:
    """Whether two images have the same voxels, as exactly as NIfTI keeps where they lie."""
    return one.GetSize() == other.GetSize() and all(
        np.allclose(getattr(one, name)(), getattr(other, name)(), rtol=1e-4, atol=1e-3)
        for name in ("GetOrigin", "GetSpacing", "GetDirection")
    )


def _resampled(path: Path, case: CaseRecord, grid: sitk.Image) -> dict[Region, Mask]:
    if not path.is_file():
        raise GlioLoopError("CASE_LOST", f"the files of correction {case.id}")
    labels = sitk.ReadImage(str(path))
    masks = {}
    for region, inside in zip(TUMOUR_REGIONS, OWN.regions(sitk.GetArrayFromImage(labels)), strict=True):
        image = sitk.GetImageFromArray(inside.astype(np.float32))
        image.CopyInformation(labels)
        moved = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
        masks[region] = np.asarray(sitk.GetArrayFromImage(moved) >= 0.5)
    return masks


def said_of(case: CaseRecord) -> frozenset[Region]:
    """Regions that a reader drew, left as they were or deleted; of the others nothing was said."""
    return frozenset(region for region in TUMOUR_REGIONS if region in case.regions and case.regions[region].drawn)


def on_slices(store: CorrectionStore, case: CaseRecord, slices: tuple[str, ...]) -> bool:
    """Whether a correction lies on these slices, by their SOP Instance UIDs."""
    path = store.brought(case.id) / f"{case.id}_{CONTOURS}.json"
    return path.is_file() and tuple(json.loads(path.read_bytes())["slices"]) == slices


def slices_of(study: Study) -> tuple[str, ...]:
    """SOP Instance UIDs of a study's reference series."""
    return tuple(one.sop_instance_uid for one in study.volumes[study.reference].slices)


def beside_others(
    reader: str,
    regions: Mapping[Region, Mask],
    said: frozenset[Region],
    cases: list[CaseRecord],
    study: Study,
    store: CorrectionStore,
) -> tuple[ReaderAgreement, ...]:
    """Compare a reader's regions with the latest of each other reader, as far as they lie on the same slices.

    Parameters
    ----------
    reader
        Whose regions they are.
    regions, said
        On the reference grid, shape (slices, rows, columns); those that the reader drew.
    cases
        The study's corrections, newest first.
    study
        The study that they were drawn on.
    store
        Where the others are kept; one that is damaged or gone there is left out.
    """  # fmt: skip
    slices, found = slices_of(study), []
    for case in latest_of_each(cases):
        if reader_of(case) == reader or not on_slices(store, case, slices):
            continue
        try:
            others = corrected_masks(store, case, study.grid)
        except GlioLoopError:  # another host has just dropped it
            continue
        shared = [region for region in TUMOUR_REGIONS if region in said & said_of(case)]
        found.append(
            ReaderAgreement(
                other=case.id,
                regions={one.value: _difference(regions[one], others[one], study.grid) for one in shared},
            )
        )
    return tuple(found)


def _difference(own: Mask, other: Mask, grid: sitk.Image) -> ReaderDifference:
    found = difference(own, other, grid, drawn=True)
    return ReaderDifference(
        dice=found.dice, hd95_mm=found.hd95_mm, own_ml=found.automatic_ml, other_ml=found.corrected_ml
    )
