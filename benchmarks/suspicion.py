"""The look apart from the network (SUSPICIOUS_SIGNAL): real tumours it sees, healthy rendered heads it stays quiet on.

Usage: python -m benchmarks.suspicion [--heads N] [--json]

It is asked as if the network had found nothing: real labelled cases by their FLAIR, or their T2 where they have none,
the brain being what a stripped skull leaves; rendered heads without a tumour by their FLAIR and their true brain.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.environment import shared_data
from benchmarks.healthy_heads import SPACING_MM, render
from pipeline.evaluation.cases import Case, find_cases
from pipeline.evaluation.evaluate import as_source
from pipeline.evaluation.labels import scheme_of
from pipeline.inference.grids import extent_of, make_grid, sample
from pipeline.inference.suspicion import largest, suspicious_parts
from pipeline.names import MRSequence
from pipeline.registry import InputGrid
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.tumour import TumourKind

GROUPS = ("train", "tuning", "validation")


def suspicion_ml(image: NDArray[np.float32], brain: NDArray[np.bool_], grid: sitk.Image) -> float:
    """Volume of the largest suspicious part, as it would be told; 0 for none."""
    nothing = sitk.Image(grid.GetSize(), sitk.sitkUInt8)
    nothing.CopyInformation(grid)
    found = largest(suspicious_parts(image, brain, brain, grid), nothing)
    return 0.0 if found is None else round(found.volume_ml, 1)


def of_case(case: Case) -> dict[str, object]:
    images, labels = case.read_images(), case.read_labels()
    sequence = MRSequence.FLAIR if MRSequence.FLAIR in images else MRSequence.T2
    volume = as_source(images[sequence], sequence.value)
    spec = InputGrid(order=(sequence,), spacing_mm=(2.0, 2.0, 2.0), window=(16, 16, 16), multiple=1)
    grid = make_grid(extent_of(volume.image), spec)
    whole = scheme_of(case).regions(sitk.GetArrayFromImage(labels))[0]
    above = volume.image - float(sitk.GetArrayViewFromImage(volume.image).min())
    values = sample(above, sitk.Transform(), grid)
    ml = float(whole.sum()) * float(np.prod(labels.GetSpacing())) / 1000
    return {"case": case.name, "tumour_ml": round(ml, 1), "told_ml": suspicion_ml(values, values > 0, grid)}


def of_head(number: int, paths: list[Path], cache: Path) -> dict[str, object]:
    study = render(number, paths, TumourKind.NONE, cache)
    image = study.images[list(MRSequence).index(MRSequence.FLAIR)].astype(np.float32)
    grid = sitk.Image(image.shape[::-1], sitk.sitkUInt8)
    grid.SetSpacing((float(SPACING_MM),) * 3)
    return {"head": number, "told_ml": suspicion_ml(image - image.min(), study.regions[0] > 0, grid)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for group in GROUPS:
        for case in find_cases(shared_data("brats-cases", group)):
            rows.append(of_case(case))
            print(rows[-1], file=sys.stderr, flush=True)
    _, held_out = head_paths(shared_data("head-label-maps"))
    heads = []
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.heads):
            heads.append(of_head(number, held_out, Path(cache)))
            print(heads[-1], file=sys.stderr, flush=True)
    result = {
        "tumours": len(rows),
        "tumours_told": sum(bool(row["told_ml"]) for row in rows),
        "healthy": len(heads),
        "healthy_told": sum(bool(row["told_ml"]) for row in heads),
    }
    if options.json:
        print(json.dumps({**result, "cases": rows, "heads": heads}, indent=1))
        return
    print("told in {tumours_told} of {tumours} tumours, {healthy_told} of {healthy} healthy heads".format(**result))


if __name__ == "__main__":
    main()
