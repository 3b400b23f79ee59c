"""Dice by threshold on tuning cases: what the thresholds of a model card are chosen by.

Usage: python -m benchmarks.thresholds [--model NAME@VERSION] [--cases DIR] [--json]

Without DIR it takes the real cases that are marked for tuning. Each region is cut from its probabilities at every
threshold, without clean-up; the best one by mean Dice over the cases is named.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks.environment import installed_model, shared_data
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import as_source, identity_alignment
from pipeline.evaluation.labels import scheme_of
from pipeline.evaluation.metrics import dice
from pipeline.inference import delineate
from pipeline.names import TUMOUR_REGIONS, MRSequence

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7)

Table = dict[str, dict[float, list[float]]]


def measure(folder: Path, model_name: str | None) -> dict[str, object]:
    model = installed_model(model_name)
    table: Table = {region.value: {t: [] for t in THRESHOLDS} for region in TUMOUR_REGIONS}
    names = []
    for case in find_cases(folder):
        if case.segmentation is None:
            continue
        volumes = {s: as_source(image, s.value) for s, image in case.read_images().items()}
        reference = MRSequence.T1C if MRSequence.T1C in volumes else next(iter(volumes))
        try:
            found = delineate(volumes, dict.fromkeys(volumes, identity_alignment()), reference, model)
        except GlioLoopError as error:
            print(f"{case.name}: refused, {error}", file=sys.stderr)
            continue
        labels = case.read_labels()
        truth = scheme_of(case).regions(sitk.GetArrayFromImage(labels))
        for region, wanted in zip(TUMOUR_REGIONS, truth, strict=True):
            moved = sitk.Resample(found.probabilities[region], labels, sitk.Transform(), sitk.sitkLinear, 0.0)
            probability = sitk.GetArrayFromImage(moved)
            for threshold in THRESHOLDS:
                table[region.value][threshold].append(round(dice(probability >= threshold, wanted), 3))
        names.append(case.name)
        print(case.name, file=sys.stderr, flush=True)
    best = {region: max(rows, key=lambda threshold: float(np.mean(rows[threshold]))) for region, rows in table.items()}
    return {"model": model.card.identity, "cases": names, "best": best, "dice": table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.cases or shared_data("brats-cases", "tuning"), options.model)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(result["model"], *result["cases"])  # type: ignore[misc]
    for region, rows in dict(result["dice"]).items():  # type: ignore[call-overload]
        print(f"{region}: best {dict(result['best'])[region]}")  # type: ignore[call-overload]
        for threshold, values in rows.items():
            print(f"  {threshold:.2f}  {np.mean(values):.3f}  " + " ".join(f"{v:.3f}" for v in values))


if __name__ == "__main__":
    main()
