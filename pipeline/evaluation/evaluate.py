"""A network measured on BraTS-layout cases, through the same inference as a clinical study."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.errors import GlioLoopError, Kind
from pipeline.evaluation.cases import Case, find_groups
from pipeline.evaluation.labels import LabelScheme, scheme_of
from pipeline.evaluation.metrics import score_region
from pipeline.evaluation.pictures import draw_case, draw_gallery
from pipeline.evaluation.report import write_report
from pipeline.evaluation.summary import CaseResult, Refused, Summary, summarise
from pipeline.evaluation.volumes import draw_volumes
from pipeline.inference import Delineation, delineate
from pipeline.names import REQUIRED_SEQUENCES, TUMOUR_REGIONS, MRSequence, Progress, Region, silent
from pipeline.registry import InstalledModel
from pipeline.restore import Restored, restore_case
from pipeline.volume.boxes import whole
from pipeline.volume.records import SourceVolume
from pipeline.volume.validity import without_background

Masks = dict[Region, npt.NDArray[np.bool_]]


def as_source(image: sitk.Image, name: str) -> SourceVolume:
    """A NIfTI volume as the record that inference reads; it has no DICOM slices."""
    grey = sitk.Cast(image, sitk.sitkFloat32)
    valid = without_background(sitk.GetArrayViewFromImage(grey))
    placed = None if valid is None else sitk.GetImageFromArray(valid)
    if placed is not None:
        placed.CopyInformation(grey)
    return SourceVolume(grey, (), name, name, name, valid=placed)


def identity_alignment() -> Alignment:
    """Of volumes that lie in the same space."""
    return Alignment(sitk.Transform(3, sitk.sitkIdentity), 0.0, 1.0, 0.0, 0.0, ())


def delineate_and_restore(
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    reference: MRSequence,
    model: InstalledModel,
) -> tuple[Delineation, Restored]:
    """What a network finds, and what of it a study gets on the reference series' own voxels.

    Raises
    ------
    GlioLoopError
        As :func:`pipeline.inference.delineate`.
    """
    found = delineate(volumes, alignments, reference, model)
    return found, restore_case(found.probabilities, volumes, alignments, reference, model.card)


def segment_case(images: dict[MRSequence, sitk.Image], model: InstalledModel) -> tuple[Masks, float, float]:
    """Segment co-registered volumes.

    Returns
    -------
    (masks on the grid of the first volume, uncertainty, brain volume in ml)
    """
    volumes = {s: as_source(image, s.value) for s, image in images.items()}
    reference = MRSequence.T1C if MRSequence.T1C in volumes else next(iter(volumes))
    alignments = dict.fromkeys(volumes, identity_alignment())
    found, restored = delineate_and_restore(volumes, alignments, reference, model)
    grid = volumes[reference].image
    masks = {r: sitk.GetArrayFromImage(whole(mask, grid)).astype(bool) for r, mask in restored.masks.items()}
    return masks, found.uncertainty, found.brain_ml


def evaluate_case(
    case: Case, model: InstalledModel, scheme: LabelScheme | None = None, picture: Path | None = None
) -> CaseResult:
    """Segment a case and score it against its own segmentation.

    Parameters
    ----------
    case
        With a segmentation.
    model
        The network.
    scheme
        Meaning of the labels; None finds it out.
    picture
        PNG to write.

    Raises
    ------
    GlioLoopError
        FILE_UNREADABLE, LABELS_AMBIGUOUS, BRAIN_NOT_FOUND, MODEL_DAMAGED.
    """
    images, labels = case.read_images(), case.read_labels()
    start = time.monotonic()
    masks, uncertainty, brain_ml = segment_case(images, model)
    seconds = time.monotonic() - start
    truth_values = (scheme or scheme_of(case)).regions(sitk.GetArrayFromImage(labels))
    truth = dict(zip(TUMOUR_REGIONS, truth_values, strict=True))
    spacing = labels.GetSpacing()[::-1]
    scores = {r: score_region(masks[r], truth[r], (spacing[0], spacing[1], spacing[2])) for r in TUMOUR_REGIONS}
    if picture is not None:
        draw_case({s: sitk.GetArrayFromImage(i) for s, i in images.items()}, masks, truth, picture, case.name)
    missing = tuple(s for s in REQUIRED_SEQUENCES if s not in images)
    return CaseResult(case.name, scores, missing, seconds, uncertainty, brain_ml)


def evaluate(
    cases: Path,
    model: InstalledModel,
    out: Path | None = None,
    scheme: LabelScheme | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = silent,
    without: Collection[MRSequence] = (),
) -> Summary:
    """Measure a network on a folder of cases, or of groups of cases.

    Parameters
    ----------
    cases
        Folder of BraTS-layout cases, or of folders of them.
    model
        The network.
    out
        Folder for ``report.md``, ``evaluation.json``, a PNG per case, and per group a gallery and the volumes; None
        for none.
    scheme
        Meaning of the labels; None finds it out per case.
    say
        Takes a line a case.
    progress
        Told the case at work, and how many are done.
    without
        Sequences left out of every case.
    """
    results: list[CaseResult] = []
    refused: list[Refused] = []
    found = [
        (group, whole_case, left)
        for group, members in find_groups(cases).items()
        for whole_case in members
        if (left := whole_case.without(without)).files
    ]
    for number, (group, whole_case, case) in enumerate(found):
        progress(f"{len(found)} cases", number / len(found))
        if case.segmentation is None:
            say(f"{case.name}: no segmentation, left out")
            continue
        picture = out / f"{case.name}.png" if out else None
        try:
            results.append(replace(evaluate_case(case, model, scheme or scheme_of(whole_case), picture), group=group))
        except GlioLoopError as error:
            if error.reason.kind is not Kind.REFUSAL:
                raise
            refused.append(Refused(case.name, str(error)))
            say(f"{case.name}: refused, {error}")
            continue
        say(f"{case.name}: " + ", ".join(f"{r.value} {s.dice:.3f}" for r, s in results[-1].scores.items()))
    summary = summarise(model.card.identity, results, refused)
    if out is not None:
        write_report(summary, results, out)
        for group in {result.group for result in results}:
            members = sorted((r for r in results if r.group == group), key=lambda r: r.scores[Region.WT].dice)
            draw_gallery([out / f"{r.name}.png" for r in members], out / f"gallery-{group}.png")
            draw_volumes([r.scores for r in members], out / f"volumes-{group}.png", group)
    return summary
