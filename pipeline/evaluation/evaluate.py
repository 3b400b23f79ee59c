"""A network measured on BraTS-layout cases, through the same inference as a clinical study."""

import time
from collections.abc import Callable, Collection
from collections.abc import Sequence as Listing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.console import Progress, silent
from pipeline.errors import GlioLoopError, Kind
from pipeline.evaluation.cases import Case, LabelScheme, find_cases
from pipeline.evaluation.metrics import RegionScore, bootstrap_interval, score_region
from pipeline.evaluation.pictures import draw_case
from pipeline.evaluation.report import write_report
from pipeline.inference import delineate
from pipeline.names import TUMOUR_REGIONS, Region, Sequence
from pipeline.registry import InstalledModel
from pipeline.restore import cleaning, restore
from pipeline.volume.records import SourceVolume

Masks = dict[Region, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Refused:
    """A case that the network's stages refused.

    Attributes
    ----------
    name
        Of the case.
    reason
        Code, message and detail.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class CaseResult:
    """One case's scores.

    Attributes
    ----------
    name
        Of the case.
    scores
        Per tumour region.
    missing
        Sequences that the case lacks.
    seconds
        Of inference and restoration.
    uncertainty, brain_ml
        As inference gave them.
    """

    name: str
    scores: dict[Region, RegionScore]
    missing: tuple[Sequence, ...]
    seconds: float
    uncertainty: float
    brain_ml: float


def as_source(image: sitk.Image, name: str) -> SourceVolume:
    """A NIfTI volume as the record that inference reads; it has no DICOM slices."""
    return SourceVolume(sitk.Cast(image, sitk.sitkFloat32), (), name, name, name)


def identity_alignment() -> Alignment:
    """Of volumes that lie in the same space."""
    return Alignment(sitk.Transform(3, sitk.sitkIdentity), 0.0, 1.0, 0.0, 0.0, ())


def segment_case(images: dict[Sequence, sitk.Image], model: InstalledModel) -> tuple[Masks, float, float]:
    """Segment co-registered volumes.

    Returns
    -------
    (masks on the grid of the first volume, uncertainty, brain volume in ml)
    """
    volumes = {s: as_source(image, s.value) for s, image in images.items()}
    reference = Sequence.T1C if Sequence.T1C in volumes else next(iter(volumes))
    found = delineate(volumes, dict.fromkeys(volumes, identity_alignment()), reference, model)
    restored = restore(found.probabilities, volumes[reference], cleaning(model.card))
    masks = {r: sitk.GetArrayFromImage(mask).astype(bool) for r, mask in restored.masks.items()}
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
        Meaning of the labels; guessed when None.
    picture
        PNG to write.

    Raises
    ------
    GlioLoopError
        FILE_UNREADABLE, BRAIN_NOT_FOUND, MODEL_DAMAGED.
    """
    images, labels = case.read_images(), case.read_labels()
    start = time.monotonic()
    masks, uncertainty, brain_ml = segment_case(images, model)
    seconds = time.monotonic() - start
    truth_values = (scheme or LabelScheme.of(labels)).regions(sitk.GetArrayFromImage(labels))
    truth = dict(zip(TUMOUR_REGIONS, truth_values, strict=True))
    spacing = labels.GetSpacing()[::-1]
    scores = {r: score_region(masks[r], truth[r], (spacing[0], spacing[1], spacing[2])) for r in TUMOUR_REGIONS}
    if picture is not None:
        draw_case({s: sitk.GetArrayFromImage(i) for s, i in images.items()}, masks, truth, picture, case.name)
    missing = tuple(s for s in Sequence if s not in images)
    return CaseResult(case.name, scores, missing, seconds, uncertainty, brain_ml)


def evaluate(
    cases: Path,
    model: InstalledModel,
    out: Path | None = None,
    scheme: LabelScheme | None = None,
    say: Callable[[str], None] = lambda text: None,
    progress: Progress = silent,
    without: Collection[Sequence] = (),
) -> dict[str, object]:
    """Measure a network on a folder of cases.

    Parameters
    ----------
    cases
        Folder of BraTS-layout cases.
    model
        The network.
    out
        Folder for ``report.md``, ``evaluation.json`` and a PNG per case; None for none.
    scheme
        Meaning of the labels; guessed per case when None.
    say
        Takes a line a case.
    progress
        Told the case at work, and how many are done.
    without
        Sequences left out of every case.

    Returns
    -------
    ``{"model", "n", "mean": {region: {"dice", "hd95_mm", "surface_dice", "volume_error_ml", "ci95"}}, "cases": [...],
    "refused": [{"id", "reason"}]}``; refused cases take no part in the means.
    """
    results: list[CaseResult] = []
    refused: list[Refused] = []
    found = [left for case in find_cases(cases) if (left := case.without(without)).files]
    for number, case in enumerate(found):
        progress(f"{len(found)} cases", number / len(found))
        if case.segmentation is None:
            say(f"{case.name}: no segmentation, left out")
            continue
        picture = out / f"{case.name}.png" if out else None
        try:
            results.append(evaluate_case(case, model, scheme, picture))
        except GlioLoopError as error:
            if error.reason.kind is not Kind.REFUSAL:
                raise
            refused.append(Refused(case.name, str(error)))
            say(f"{case.name}: refused, {error}")
            continue
        say(f"{case.name}: " + ", ".join(f"{r.value} {s.dice:.3f}" for r, s in results[-1].scores.items()))
    summary = summarise(model.card.identity, results, refused)
    if out is not None:
        write_report(summary, out)
    return summary


def summarise(identity: str, results: list[CaseResult], refused: Listing[Refused] = ()) -> dict[str, object]:
    """Means with bootstrap intervals, and every case, as one JSON-serialisable document."""
    mean: dict[str, object] = {}
    for region in TUMOUR_REGIONS if results else ():
        scores = [result.scores[region] for result in results]
        low, high = bootstrap_interval([s.dice for s in scores])
        mean[region.value] = {
            "dice": round(float(np.mean([s.dice for s in scores])), 4),
            "hd95_mm": round(float(np.mean([s.hd95_mm for s in scores])), 2),
            "surface_dice": round(float(np.mean([s.surface_dice for s in scores])), 4),
            "volume_error_ml": round(float(np.mean([s.volume_error_ml for s in scores])), 2),
            "ci95": [round(low, 4), round(high, 4)],
            "lesions": sum(s.lesions for s in scores),
            "lesions_found": sum(s.lesions_found for s in scores),
            "false_lesions": sum(s.false_lesions for s in scores),
        }
    rows = [
        {
            "id": result.name,
            **{r.value: {k: round(v, 4) for k, v in asdict(s).items()} for r, s in result.scores.items()},
            "missing": [s.value for s in result.missing],
            "seconds": round(result.seconds, 2),
            "uncertainty": round(result.uncertainty, 4),
            "brain_ml": round(result.brain_ml, 1),
        }
        for result in results
    ]
    return {
        "model": identity,
        "n": len(results),
        "mean": mean,
        "cases": rows,
        "refused": [{"id": one.name, "reason": one.reason} for one in refused],
    }
