"""Tumour-free rendered heads with skull: how much false tumour the network draws, and how well it finds the brain.

Usage: python -m benchmarks.healthy_heads [--model NAME@VERSION] [--count N] [--json]

Heads of the label maps that are held out of every training, each rendered anew (anatomy, contrast, scanner) by a
fixed seed, go through the same inference as a clinical study: brain first, then tumour.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.environment import installed_model, shared_data
from pipeline.errors import GlioLoopError
from pipeline.evaluation.evaluate import as_source, delineate_and_restore, identity_alignment
from pipeline.evaluation.metrics import dice
from pipeline.names import MRSequence, Region
from pipeline.registry import InstalledModel
from pipeline.training.synthesis.heads import head_paths, load_head
from pipeline.training.synthesis.render import Placement, RenderedStudy, draw_study
from pipeline.training.synthesis.tumour import TumourKind
from pipeline.volume.records import SourceVolume

SEED = 20_261
SPACING_MM = 2
LIMIT_ML = 1.0


def _image(array: NDArray[np.float32]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((SPACING_MM,) * 3)
    return image


def render(number: int, paths: list[Path], kind: TumourKind, cache: Path) -> RenderedStudy:
    """Render a head with its skull, turned and moved, by its number."""
    head = load_head(paths[number % len(paths)], SPACING_MM, True, cache)
    rng = np.random.default_rng([SEED, number])
    return draw_study(rng, head, kind, Placement(degrees=6, scale=0.05, shift_mm=5))


def volumes_of(study: RenderedStudy) -> dict[MRSequence, SourceVolume]:
    """Return a rendered study as inference reads it."""
    return {s: as_source(_image(image), s.value) for s, image in zip(MRSequence, study.images, strict=True)}


def measure_head(number: int, paths: list[Path], model: InstalledModel, cache: Path) -> dict[str, object]:
    study = render(number, paths, TumourKind.NONE, cache)
    volumes = volumes_of(study)
    row: dict[str, object] = {"head": paths[number % len(paths)].name, "number": number}
    try:
        alignments = dict.fromkeys(volumes, identity_alignment())
        found, restored = delineate_and_restore(volumes, alignments, MRSequence.T1C, model)
    except GlioLoopError as error:
        return row | {"refused": error.code}
    reference = volumes[MRSequence.T1C]
    brain = sitk.Resample(
        found.probabilities[Region.BRAIN], reference.image, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    return row | {
        "false_ml": round(restored.volumes_ml[Region.WT], 2),
        "brain_dice": round(
            dice(sitk.GetArrayFromImage(brain) >= model.card.threshold(Region.BRAIN), study.regions[0]), 3
        ),
        "brain_ml": round(found.brain_ml),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    _, held_out = head_paths(shared_data("head-label-maps"))
    model = installed_model(options.model)
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.count):
            rows.append(measure_head(number, held_out, model, Path(cache)))
            print(" ".join(f"{k}={v}" for k, v in rows[-1].items()), file=sys.stderr, flush=True)
    seen = [row for row in rows if "false_ml" in row]
    dices = [float(str(row["brain_dice"])) for row in seen]
    result = {
        "model": model.card.identity,
        "heads": len(rows),
        "refused": len(rows) - len(seen),
        "without_false_tumour": sum(float(str(row["false_ml"])) <= LIMIT_ML for row in seen),
        "limit_ml": LIMIT_ML,
        "brain_dice_mean": round(float(np.mean(dices)), 4),
        "brain_dice_worst": min(dices),
    }
    print(json.dumps(result | {"rows": rows} if options.json else result, indent=1))


if __name__ == "__main__":
    main()
