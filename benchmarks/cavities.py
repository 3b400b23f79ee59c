"""Resection cavities: found in rendered heads after surgery, and none drawn in patients before surgery.

Usage: python -m benchmarks.cavities [--model NAME@VERSION] [--heads N] [--json]

Heads of the label maps that are held out of every training are rendered with their skull and a cavity by a fixed seed.
The real cases are the shared data's for tuning, all before surgery, and the clinical study, a craniotomy without a
cavity.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks.clinical_study import read_study
from benchmarks.environment import installed_model, shared_data
from benchmarks.healthy_heads import render, volumes_of
from pipeline.align import Alignment, align
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import as_source, delineate_and_restore, identity_alignment
from pipeline.evaluation.metrics import dice
from pipeline.names import MRSequence, Region
from pipeline.registry import InstalledModel
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.tumour import TumourKind
from pipeline.volume.boxes import whole
from pipeline.volume.records import SourceVolume

#: Away from the numbers of the heads without a tumour.
FIRST = 300


def measure_rendered(number: int, paths: list[Path], model: InstalledModel, cache: Path) -> dict[str, object]:
    study = render(FIRST + number, paths, TumourKind.CAVITY, cache)
    volumes = volumes_of(study)
    unmoved = dict.fromkeys(volumes, identity_alignment())
    _, restored = delineate_and_restore(volumes, unmoved, MRSequence.T1C, model)
    truth = study.cavity if study.cavity is not None else np.zeros(study.regions.shape[1:], dtype=bool)
    found = np.zeros_like(truth)
    if Region.CAVITY in restored.masks:
        mask = whole(restored.masks[Region.CAVITY], volumes[MRSequence.T1C].image)
        found = sitk.GetArrayFromImage(mask).astype(bool)
    millilitres = float(np.prod(volumes[MRSequence.T1C].image.GetSpacing())) / 1000
    return {
        "case": f"rendered-{FIRST + number}",
        "truth_ml": round(float(truth.sum()) * millilitres, 2),
        "cavity_ml": round(float(found.sum()) * millilitres, 2),
        "dice": round(dice(found, truth), 3),
    }


def measure_real(
    name: str,
    volumes: Mapping[MRSequence, SourceVolume],
    alignments: Mapping[MRSequence, Alignment],
    model: InstalledModel,
) -> dict[str, object]:
    try:
        _, restored = delineate_and_restore(volumes, alignments, MRSequence.T1C, model)
    except GlioLoopError as error:
        return {"case": name, "refused": error.code}
    return {"case": name, "truth_ml": 0.0, "cavity_ml": round(restored.volumes_ml.get(Region.CAVITY, 0.0), 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--heads", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = installed_model(options.model)
    _, held_out = head_paths(shared_data("head-label-maps"))
    rows: list[dict[str, object]] = []

    def tell(row: dict[str, object]) -> None:
        rows.append(row)
        print(" ".join(f"{key}={value}" for key, value in row.items()), file=sys.stderr, flush=True)

    clinical = read_study(shared_data("tcga-fg-6692", "dicom"))
    tell(measure_real("tcga-fg-6692", clinical, align(clinical, MRSequence.T1C), model))
    for case in find_cases(shared_data("brats-cases", "tuning")):
        volumes = {s: as_source(image, s.value) for s, image in case.read_images().items()}
        tell(measure_real(case.name, volumes, dict.fromkeys(volumes, identity_alignment()), model))
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.heads):
            tell(measure_rendered(number, held_out, model, Path(cache)))
    rendered = [row for row in rows if "dice" in row]
    real = [row for row in rows if "cavity_ml" in row and "dice" not in row]
    dices = [float(str(row["dice"])) for row in rendered]
    result = {
        "model": model.card.identity,
        "rendered": len(rendered),
        "found": sum(float(str(row["cavity_ml"])) > 0 for row in rendered),
        "dice_mean": round(float(np.mean(dices)), 3),
        "dice_worst": min(dices),
        "before_surgery": len(real),
        "false": sum(float(str(row["cavity_ml"])) > 0 for row in real),
    }
    print(json.dumps(result | {"rows": rows} if options.json else result, indent=1))


if __name__ == "__main__":
    main()
