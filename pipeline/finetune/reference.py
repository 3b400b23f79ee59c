"""The fixed reference set: what no fine-tuned network may forget.

Synthetic cases of heads that are never trained on, from a fixed seed, and the shipped synthetic study.
They are made once and stay; every candidate is judged by the same.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.align import align
from pipeline.evaluation.cases import Case, LabelScheme, find_cases
from pipeline.feedback.images import write_images
from pipeline.feedback.masks import Study
from pipeline.identify import headers_from_files, identify
from pipeline.names import TUMOUR_REGIONS, Region, Sequence
from pipeline.training.synthesis.heads import head_paths, load_head
from pipeline.training.synthesis.render import RenderedStudy, draw_study
from pipeline.training.synthesis.tumour import TumourKind
from pipeline.volume import read_volume

_SEED: Final = 1_718
_SPACING_MM: Final = 2
_MARGIN_MM: Final = 6.0
#: Each in turn, so that the set is balanced whatever its size.
_KINDS: Final = (
    TumourKind.RING,
    TumourKind.LOW_GRADE,
    TumourKind.PATCHY,
    TumourKind.SOLID,
    TumourKind.MULTIFOCAL,
    TumourKind.RING,
)
_SUFFIXES: Final = {Sequence.T1: "t1", Sequence.T1C: "t1ce", Sequence.T2: "t2", Sequence.FLAIR: "flair"}


def reference_set(
    folder: Path, heads: Path | None, count: int, sample_study: Path, between: Callable[[float], None]
) -> list[Case]:
    """Return the reference cases, making those that are not there.

    Parameters
    ----------
    folder
        Where they stay.
    heads
        Folder of head label maps; None for the shipped study alone.
    count
        Synthetic cases.
    sample_study
        The shipped study; left out where it is absent.
    between
        Called between two cases; may raise to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if heads is not None:
        _, held_out = head_paths(heads)
        for number in range(count):
            between(0.0)
            target = folder / f"synthetic-{number:02d}"
            if not target.exists():
                head = load_head(held_out[number % len(held_out)], _SPACING_MM, False, folder.parent / "heads")
                kind = _KINDS[number % len(_KINDS)]
                write_study(draw_study(np.random.default_rng([_SEED, number]), head, kind), target)
    if sample_study.is_dir():
        between(0.0)
        sample_case(sample_study, folder / "sample-study")
    return find_cases(folder) if any(folder.iterdir()) else []


def write_study(study: RenderedStudy, target: Path) -> None:
    """Write a rendered study as a BraTS-layout case, its skull stripped as in research data.

    Parameters
    ----------
    study
        On a grid of 2 mm, axes (z, y, x).
    target
        The case's folder; made whole or not at all.
    """
    part = target.with_name(f".{target.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    brain = study.regions[0]
    outside = sitk.GetImageFromArray((~brain).astype(np.uint8))
    outside.SetSpacing((_SPACING_MM,) * 3)
    distance = sitk.SignedMaurerDistanceMap(outside, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    mask = sitk.GetArrayFromImage(distance) <= _MARGIN_MM
    for sequence, image in zip(Sequence, study.images, strict=True):
        scaled = np.clip(image * mask * 1000, 0, 32767).astype(np.int16)
        _write(scaled, part / f"{target.name}_{_SUFFIXES[sequence]}.nii.gz")
    labels = np.zeros(brain.shape, np.uint8)
    for region, label in zip(study.regions[1:], (2, 1, 4), strict=True):
        labels[region] = label
    _write(labels, part / f"{target.name}_seg.nii.gz")
    part.rename(target)


def _write(array: NDArray[np.int16] | NDArray[np.uint8], path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((_SPACING_MM,) * 3)
    sitk.WriteImage(image, path, useCompression=True)


def sample_case(sample_study: Path, target: Path) -> Case:
    """Return the shipped study as a BraTS-layout case, read and aligned as a clinical one."""
    if not target.exists():
        headers, files = headers_from_files(path for path in sorted(sample_study.rglob("*.dcm")))
        chosen = identify(headers).chosen
        volumes = {sequence: read_volume(files[uid]) for sequence, uid in chosen.items()}
        study = Study(volumes, align(volumes, Sequence.T1C), Sequence.T1C)
        labels = sitk.ReadImage(sample_study / "truth.nii.gz", sitk.sitkUInt8)
        moved = sitk.Resample(labels, study.grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        values = LabelScheme.named("brats").regions(sitk.GetArrayFromImage(moved))
        truth: dict[Region, NDArray[np.bool_]] = dict(zip(TUMOUR_REGIONS, values, strict=True))
        part = target.with_name(f".{target.name}.part")
        write_images(part, study, truth, truth, prefix=f"{target.name}_")
        part.rename(target)
    (case,) = find_cases(target)
    return case
