"""The smallest change that counts: volumes of the same head scanned twice, rendered and real, through the whole path.

Usage: python -m benchmarks.repeatability [--heads N] [--cases N] [--json]

Rendered: one anatomy with one tumour, written as DICOM twice with other noise, another coil and the head lying
otherwise, each segmented by ``segment``. Real: labelled BraTS cases as they are, and on a grid that lies otherwise in
the head, as after repositioning. Of the differences in volume, 95 of 100 are below what is printed: in ml where the
region has less than ten, in percent of the larger volume where it has more.
"""

import argparse
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from benchmarks.displacements import displaced, random_displacement
from benchmarks.environment import installed_model, shared_data
from pipeline.case.segment import segment_folder
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import segment_case
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region, silent
from pipeline.registry import InstalledModel
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.study import write_study

SEED = 20_262
#: Where a patient lies otherwise at the next scan.
SHIFT_MM, TURN_DEG = (2.0, 12.0), (2.0, 12.0)
#: From here on a difference is told in percent.
SMALL_ML = 10.0
GROUPS = ("validation", "tuning")

Volumes = dict[str, float]
Row = dict[str, object]


def of_head(number: int, paths: list[Path]) -> tuple[Volumes, Volumes]:
    """Volumes of a rendered head in two scans, ml by region."""
    rng = np.random.default_rng([SEED, number])
    centre = (float(rng.uniform(0.5, 0.7)), float(rng.uniform(0.3, 0.6)), float(rng.choice([0.3, 0.7])))
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for scan in (1, 2):
            study, out = Path(folder, f"study-{scan}"), Path(folder, f"result-{scan}")
            write_study(paths[number % len(paths)], study, SEED + number, centre, scan)
            result = segment_folder(study, out, None, silent)
            found.append({region.value: result.volumes_ml.get(region, 0.0) for region in TUMOUR_REGIONS})
    return found[0], found[1]


def of_case(images: dict[MRSequence, sitk.Image], number: int, model: InstalledModel) -> tuple[Volumes, Volumes]:
    """Volumes of a real case as it is and on another grid, ml by region."""
    first = next(iter(images.values()))
    middle = first.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in first.GetSize()])
    moved = random_displacement(np.random.default_rng([SEED, number]), np.array(middle), SHIFT_MM, TURN_DEG)
    otherwise = {
        sequence: sitk.Resample(
            image,
            displaced(image, moved),
            sitk.Transform(),
            sitk.sitkLinear,
            float(sitk.GetArrayViewFromImage(image).min()),
        )
        for sequence, image in images.items()
    }
    return _volumes(images, model), _volumes(otherwise, model)


def _volumes(images: dict[MRSequence, sitk.Image], model: InstalledModel) -> Volumes:
    masks, _, _ = segment_case(images, model)
    voxel_ml = float(np.prod(next(iter(images.values())).GetSpacing())) / 1000
    return {region.value: round(float(masks[region].sum()) * voxel_ml, 2) for region in TUMOUR_REGIONS}


def summary(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Below what 95 of 100 differences lie, per region: ml of small volumes, percent of large ones, and how many."""
    found: dict[str, dict[str, float | None]] = {}
    for region in TUMOUR_REGIONS:
        pairs = np.array([[row["first"][region.value], row["second"][region.value]] for row in rows])  # type: ignore[index]
        difference, larger = np.abs(pairs[:, 0] - pairs[:, 1]), pairs.max(axis=1)
        small = larger < SMALL_ML
        found[region.value] = {
            "ml": _limit(difference[small]),
            "percent": _limit(100 * difference[~small] / larger[~small]),
            "most_ml": _limit(difference[small], 100),
            "most_percent": _limit(100 * difference[~small] / larger[~small], 100),
            "small": int(small.sum()),
            "large": int((~small).sum()),
            "median_percent": round(float(np.median(100 * difference / np.maximum(larger, 0.01))), 2),
        }
    return found


def _limit(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]], percentile: float = 95) -> float | None:
    return round(float(np.percentile(values, percentile)), 2) if values.size else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []

    def note(name: str, first: Volumes, second: Volumes) -> None:
        rows.append({"name": name, "first": first, "second": second})
        print(rows[-1], file=sys.stderr, flush=True)

    model = installed_model(None)
    cases = (case for group in GROUPS for case in find_cases(shared_data("brats-cases", group)))
    for number, case in enumerate(islice(cases, options.cases)):
        try:
            note(case.name, *of_case(case.read_images(), number, model))
        except GlioLoopError as error:
            print(f"{case.name}: {error.code}", file=sys.stderr, flush=True)
    _, held_out = head_paths(shared_data("head-label-maps"))
    for number in range(options.heads):
        try:
            note(f"head {number}", *of_head(number, held_out))
        except GlioLoopError as error:
            print(f"head {number}: {error.code} {error.detail}", file=sys.stderr, flush=True)
    result = {"model": model.card.identity, "pairs": len(rows), "regions": summary(rows) if rows else {}, "rows": rows}
    if options.json:
        print(json.dumps(result, indent=1))
        return
    print(f"{len(rows)} pairs, {model.card.identity}: 95 of 100 differences are below")
    for region in Region:
        if region.value in summary(rows):
            one = summary(rows)[region.value]
            print(f"{region}: {one['ml']} ml (n {one['small']}), {one['percent']} % (n {one['large']})")


if __name__ == "__main__":
    main()
