"""What is lost where a study lacks a sequence: each left out in turn, on real cases and on rendered heads.

Usage: python -m benchmarks.missing_sequence [--model NAME@VERSION] [--heads N] [--json]

Real cases are the shared data's for tuning and for validation that have all four sequences, and the clinical study
(not without T1c, whose slices carry the contours). Heads of the label maps that are held out of every training are
rendered with their skull by a fixed seed, N with a tumour and N without; the latter tell the false tumour. What a model
card allows to lack is chosen by the cases for tuning and by the rendered heads.
"""

import argparse
import itertools
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks.clinical_study import Masks, majority_of, peers_on, read_study
from benchmarks.environment import installed_model, shared_data
from benchmarks.healthy_heads import LIMIT_ML, render, volumes_of
from pipeline.align import Alignment, align
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import as_source, delineate_and_restore, identity_alignment
from pipeline.evaluation.labels import scheme_of
from pipeline.evaluation.metrics import dice
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import InstalledModel
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.tumour import TumourKind
from pipeline.volume.boxes import whole
from pipeline.volume.records import SourceVolume

#: Of the rendered tumours, in turn.
KINDS = (TumourKind.RING, TumourKind.LOW_GRADE, TumourKind.PATCHY, TumourKind.SOLID, TumourKind.MULTIFOCAL)
LEFT_OUT = (None, *MRSequence)


@dataclass(frozen=True)
class Study:
    """A study and the truth on the grid of its T1c."""

    name: str
    volumes: Mapping[MRSequence, SourceVolume]
    alignments: Mapping[MRSequence, Alignment]
    truth: Masks
    one_grid: bool


def real_studies() -> Iterator[Study]:
    groups = (find_cases(shared_data("brats-cases", group)) for group in ("tuning", "validation"))
    for case in itertools.chain.from_iterable(groups):
        if case.segmentation is not None and set(case.files) == set(MRSequence):
            labels = case.read_labels()
            truth = scheme_of(case).regions(sitk.GetArrayFromImage(labels))
            volumes = {s: as_source(image, s.value) for s, image in case.read_images().items()}
            yield _unmoved(case.name, volumes, dict(zip(TUMOUR_REGIONS, truth, strict=True)))
    folder = shared_data("tcga-fg-6692")
    volumes = read_study(folder / "dicom")
    peers = peers_on(volumes[MRSequence.T1C].image, folder / "peer-segmentations")
    yield Study(folder.name, volumes, align(volumes, MRSequence.T1C), majority_of(peers), one_grid=False)


def rendered_studies(count: int, tumours: bool, cache: Path) -> Iterator[Study]:
    _, held_out = head_paths(shared_data("head-label-maps"))
    for number in range(count):
        kind = KINDS[number % len(KINDS)] if tumours else TumourKind.NONE
        study = render(number, held_out, kind, cache)
        truth = dict(zip(TUMOUR_REGIONS, study.regions[1:], strict=True))
        yield _unmoved(f"{kind.value}-{number:02d}", volumes_of(study), truth)


def _unmoved(name: str, volumes: Mapping[MRSequence, SourceVolume], truth: Masks) -> Study:
    return Study(name, volumes, dict.fromkeys(volumes, identity_alignment()), truth, one_grid=True)


def found_in(study: Study, left_out: MRSequence | None, model: InstalledModel) -> Masks | None:
    """Return the regions found without a sequence; None where that is refused."""
    volumes = {sequence: volume for sequence, volume in study.volumes.items() if sequence is not left_out}
    reference = MRSequence.T1C if MRSequence.T1C in volumes else MRSequence.T1
    try:
        _, restored = delineate_and_restore(volumes, study.alignments, reference, model)
    except GlioLoopError as error:
        print(f"{study.name} without {left_out}: {error}", file=sys.stderr)
        return None
    grid, masks = volumes[reference].image, restored.masks
    return {region: sitk.GetArrayFromImage(whole(masks[region], grid)).astype(np.bool_) for region in TUMOUR_REGIONS}


def scores_of(study: Study, model: InstalledModel) -> dict[str, dict[str, float]]:
    """Dice per region by the sequence that was left out; nothing found in a refused study."""
    rows = {}
    for left_out in LEFT_OUT:
        if left_out is not MRSequence.T1C or study.one_grid:
            found = found_in(study, left_out, model)
            # Where a rendered tumour has no such region, finding none is right.
            rows[_word(left_out)] = {
                region.value: round(dice(found[region], truth), 3) if found else 0.0
                for region, truth in study.truth.items()
            }
    print(study.name, rows, file=sys.stderr, flush=True)
    return rows


def false_ml(study: Study, model: InstalledModel) -> dict[str, float | None]:
    """Tumour found in a head without one, ml, by the sequence that was left out; None where refused."""
    volumes = {}
    for left_out in LEFT_OUT:
        found = found_in(study, left_out, model)
        voxel_ml = float(np.prod(study.volumes[MRSequence.T1C].image.GetSpacing())) / 1000
        volumes[_word(left_out)] = None if found is None else round(float(found[Region.WT].sum()) * voxel_ml, 2)
    print(study.name, volumes, file=sys.stderr, flush=True)
    return volumes


def _word(left_out: MRSequence | None) -> str:
    return "all four" if left_out is None else f"without {left_out.value}"


def _means(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        word: {region: round(float(np.mean([row[word][region] for row in rows])), 3) for region in rows[0][word]}
        for word in rows[0]
    }


def measure(model: InstalledModel, heads: int) -> dict[str, object]:
    real = {study.name: scores_of(study, model) for study in real_studies()}
    with tempfile.TemporaryDirectory() as cache:
        tumours = [scores_of(study, model) for study in rendered_studies(heads, True, Path(cache))]
        healthy = [false_ml(study, model) for study in rendered_studies(heads, False, Path(cache))]
    return {
        "model": model.card.identity,
        "dice": real | {f"rendered, mean of {heads}": _means(tumours)},
        "rendered": tumours,
        "false_tumour_ml": healthy,
        "without_false_tumour": {
            word: sum(row[word] is not None and row[word] <= LIMIT_ML for row in healthy)  # type: ignore[operator]
            for word in healthy[0]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--heads", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(installed_model(options.model), options.heads)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(result["model"])
    for name, rows in result["dice"].items():  # type: ignore[attr-defined]
        for word, scores in rows.items():
            print(f"{name:24} {word:14}" + "  ".join(f"{region} {one:.3f}" for region, one in scores.items()))
    print(f"of {options.heads} tumour-free heads without false tumour over {LIMIT_ML} ml:")
    for word, count in result["without_false_tumour"].items():  # type: ignore[attr-defined]
        print(f"  {word:14} {count}")


if __name__ == "__main__":
    main()
