"""The smallest change that counts: volumes of the same head scanned twice, rendered and real, through the whole path.

Usage: python -m benchmarks.repeatability [--heads N] [--cases N] [--groups GROUP …] [--json]

Rendered: one anatomy with one tumour, written as DICOM twice with other noise, another coil and the head lying
otherwise, each segmented by ``segment``; then a third time with slices of another thickness. Real: labelled BraTS
cases as they are, and on a grid that lies otherwise in the head, as after repositioning; then on slices of 3 or 5 mm.
Compared are volumes of regions, sums of products of diameters, and lesions one by one. Of the differences in volume, 95
of 100 are below what is printed: in ml where the region has less than ten, in percent of the larger where it has more.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.displacements import displaced, random_displacement
from benchmarks.environment import installed_model, shared_data
from pipeline.course.folders import segmented
from pipeline.course.lesions import Labelled, lesions_of
from pipeline.course.matching import match
from pipeline.course.symmetry import MidSagittalPlane
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import segment_case
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region, silent
from pipeline.registry import InstalledModel
from pipeline.settings import load_settings
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.series import PLANS, lying
from pipeline.training.synthesis.study import write_study

SEED = 20_262
#: Where a patient lies otherwise at the next scan.
SHIFT_MM, TURN_DEG = (2.0, 12.0), (2.0, 12.0)
#: From here on a difference is told in percent.
SMALL_ML = 10.0
GROUPS = ("validation", "tuning")
#: Slices of real cases that take turns, and the profile's width against the standard deviation of a Gaussian.
THICK_MM, FWHM = (3.0, 5.0), 2.355
#: Slices of rendered heads, mm and gap, in place of 3 + 1.
OTHER_SLICES = ((2.0, 0.0), (4.5, 0.5))
#: Sides do not count here.
_ANY_PLANE = MidSagittalPlane(np.array([1.0, 0.0, 0.0]), 0.0)

Row = dict[str, object]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """What one scan shows: volumes in ml by region, and the lesions."""

    volumes: dict[str, float]
    regions: dict[Region, Labelled]

    def product_mm2(self, region: Region) -> float:
        """Sum of the products of diameters of the measurable lesions."""
        return sum(one.product_mm2 for one in self.regions[region].lesions if one.measurable)


def of_head(number: int, paths: list[Path]) -> list[tuple[str, Seen, Seen, sitk.Transform]]:
    """A rendered head in three scans, the others beside the first."""
    rng = np.random.default_rng([SEED, number])
    centre = (float(rng.uniform(0.5, 0.7)), float(rng.uniform(0.3, 0.6)), float(rng.choice([0.3, 0.7])))
    thickness, gap = OTHER_SLICES[number % len(OTHER_SLICES)]
    other = {name: replace(plan, thickness_mm=thickness, gap_mm=gap) for name, plan in PLANS.items()}
    found, places = [], []
    with tempfile.TemporaryDirectory() as folder:
        for scan, plans in ((1, PLANS), (2, PLANS), (3, other)):
            study = Path(folder, f"study-{scan}")
            write_study(paths[number % len(paths)], study, SEED + number, centre, scan, plans=plans)
            _, _, measured = segmented(study, None, load_settings(), silent)
            voxel_ml = float(np.prod(measured.scan.volume.image.GetSpacing())) / 1000
            volumes = {region.value: float(mask.sum()) * voxel_ml for region, mask in measured.scan.masks.items()}
            found.append(Seen(volumes, dict(measured.regions)))
            places.append(lying(np.random.default_rng([SEED + number, scan])))
    return [
        (name, found[0], found[k], sitk.CompositeTransform([places[0].GetInverse(), places[k]]))
        for k, name in ((1, "position"), (2, "thickness"))
    ]


def of_case(
    images: dict[MRSequence, sitk.Image], number: int, model: InstalledModel
) -> list[tuple[str, Seen, Seen, sitk.Transform]]:
    """A real case as it is, beside itself on another grid and on thicker slices."""
    first = next(iter(images.values()))
    middle = first.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in first.GetSize()])
    rng = np.random.default_rng([SEED, number])
    moved, again = (random_displacement(rng, np.array(middle), SHIFT_MM, TURN_DEG) for _ in range(2))
    thickness = THICK_MM[number % len(THICK_MM)]
    seen = _seen(images, model)
    return [
        ("position", seen, _seen(_otherwise(images, moved), model), sitk.Transform()),
        ("thickness", seen, _seen(_otherwise(images, again, thickness), model), sitk.Transform()),
    ]


def _otherwise(
    images: dict[MRSequence, sitk.Image], moved: sitk.Euler3DTransform, thickness_mm: float | None = None
) -> dict[MRSequence, sitk.Image]:
    return {sequence: _resliced(image, moved, thickness_mm) for sequence, image in images.items()}


def _resliced(image: sitk.Image, moved: sitk.Euler3DTransform, thickness_mm: float | None) -> sitk.Image:
    """The same head on a grid that lies otherwise in it; slices of a thickness have its profile."""
    outside = float(sitk.GetArrayViewFromImage(image).min())
    grid = displaced(image, moved)
    taken: sitk.Image = sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, outside)
    if thickness_mm is None:
        return taken
    x, y, distance = grid.GetSpacing()
    taken = sitk.SmoothingRecursiveGaussian(sitk.Cast(taken, sitk.sitkFloat32), (0.1, 0.1, thickness_mm / FWHM))
    columns, rows, slices = grid.GetSize()
    spacing, size = (x, y, thickness_mm), (columns, rows, int(slices * distance / thickness_mm))
    thick: sitk.Image = sitk.Resample(
        taken, size, sitk.Transform(), sitk.sitkLinear, grid.GetOrigin(), spacing, grid.GetDirection(), outside
    )
    # Outside the brain is exactly nothing, as in the case; smoothing has spread its edge.
    nothing = sitk.Resample(image, thick, sitk.Transform(), sitk.sitkNearestNeighbor, outside) == outside
    return sitk.Mask(thick, sitk.Not(nothing), outside)


def _seen(images: dict[MRSequence, sitk.Image], model: InstalledModel) -> Seen:
    masks, _, _ = segment_case(images, model)
    grid = images.get(MRSequence.T1C) or next(iter(images.values()))
    voxel_ml = float(np.prod(grid.GetSpacing())) / 1000
    tumour = {region: masks[region] for region in TUMOUR_REGIONS}
    volumes = {region.value: float(mask.sum()) * voxel_ml for region, mask in tumour.items()}
    return Seen(volumes, lesions_of(tumour, grid, _ANY_PLANE))


def row_of(name: str, kind: str, first: Seen, second: Seen, transform: sitk.Transform) -> Row:
    """Both beside each other: regions, products, lesions of both, and those that only one of them shows (ml)."""
    lesions: dict[str, list[tuple[float, float]]] = {}
    alone: dict[str, list[float]] = {}
    for region in TUMOUR_REGIONS:
        one, other = first.regions[region], second.regions[region]
        pairs = match(one, other, transform).pairs
        before, after = [pair.before for pair in pairs], [pair.after for pair in pairs]
        lesions[region.value] = [
            (one.lesions[pair.before].volume_ml, other.lesions[pair.after].volume_ml)
            for pair in pairs
            if before.count(pair.before) == after.count(pair.after) == 1
        ]
        alone[region.value] = [
            lesion.volume_ml
            for found, paired in ((one, before), (other, after))
            for place, lesion in enumerate(found.lesions)
            if place not in paired
        ]
    return {
        "name": name,
        "kind": kind,
        "first": {region: round(ml, 3) for region, ml in first.volumes.items()},
        "second": {region: round(ml, 3) for region, ml in second.volumes.items()},
        "products": {one.value: (first.product_mm2(one), second.product_mm2(one)) for one in TUMOUR_REGIONS},
        "lesions": lesions,
        "alone": alone,
    }


def summary(rows: Sequence[Row]) -> dict[str, dict[str, object]]:
    """Per region: differences of its volume where it is small (ml) and large (percent), of products, of lesions."""
    found: dict[str, dict[str, object]] = {}
    for region in TUMOUR_REGIONS:
        pairs = _pairs((row["first"][region.value], row["second"][region.value]) for row in rows)  # type: ignore[index]
        products = _pairs(row["products"][region.value] for row in rows)  # type: ignore[index]
        lesions = _pairs(pair for row in rows for pair in row["lesions"][region.value])  # type: ignore[index]
        alone = [ml for row in rows for ml in row["alone"][region.value]]  # type: ignore[index]
        small = pairs.max(axis=1) < SMALL_ML
        small_lesions = lesions.max(axis=1) < SMALL_ML
        found[region.value] = {
            "percent": _told(_percent(pairs[~small])),
            "small_ml": _told(_ml(pairs[small])),
            "product_percent": _told(_percent(products[products.min(axis=1) > 0])),
            "measurable_once": int(((products.min(axis=1) == 0) & (products.max(axis=1) > 0)).sum()),
            "small_lesion_ml": _told(_ml(lesions[small_lesions])),
            "large_lesion_percent": _told(_percent(lesions[~small_lesions])),
            "alone_ml": _told(np.array(alone)),
        }
    return found


def _pairs(found: Iterable[object]) -> Floats:
    return np.array(list(found), dtype=np.float64).reshape(-1, 2)


def _ml(pairs: Floats) -> Floats:
    return np.asarray(np.abs(pairs[:, 0] - pairs[:, 1]))


def _percent(pairs: Floats) -> Floats:
    return np.asarray(100 * _ml(pairs) / np.maximum(pairs.max(axis=1), 0.01))


def _told(values: Floats) -> dict[str, float]:
    if not values.size:
        return {"n": 0}
    median, most = np.percentile(values, [50, 95]), values.max()
    return {"n": values.size, "median": _rounded(median[0]), "p95": _rounded(median[1]), "most": _rounded(most)}


def _rounded(value: float) -> float:
    return round(float(value), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--groups", nargs="+", default=GROUPS, help="of real cases; train: those that networks learnt")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows: list[Row] = []

    def note(name: str, found: Sequence[tuple[str, Seen, Seen, sitk.Transform]]) -> None:
        for kind, first, second, transform in found:
            rows.append(row_of(name, kind, first, second, transform))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)

    model = installed_model(None)
    cases = (case for group in options.groups for case in find_cases(shared_data("brats-cases", group)))
    for number, case in enumerate(islice(cases, options.cases)):
        try:
            note(case.name, of_case(case.read_images(), number, model))
        except GlioLoopError as error:
            print(f"{case.name}: {error.code}", file=sys.stderr, flush=True)
    _, held_out = head_paths(shared_data("head-label-maps"))
    for number in range(options.heads):
        try:
            note(f"head {number}", of_head(number, held_out))
        except GlioLoopError as error:
            print(f"head {number}: {error.code} {error.detail}", file=sys.stderr, flush=True)
    kinds = {
        f"{who}, other {kind}": chosen
        for who in ("real", "rendered")
        for kind in ("position", "thickness")
        if (chosen := [row for row in rows if row["kind"] == kind and _is_rendered(row) == (who == "rendered")])
    }
    result = {
        "model": model.card.identity,
        "pairs": {kind: len(chosen) for kind, chosen in kinds.items()},
        "differences": {kind: summary(chosen) for kind, chosen in kinds.items()},
    }
    if options.json:
        print(json.dumps({**result, "rows": rows}, indent=1))
        return
    print(f"{model.card.identity}; differences as number of pairs, median / 95 of 100 below / largest")
    for kind, regions in result["differences"].items():  # type: ignore[attr-defined]
        print(f"{kind} ({len(kinds[kind])} pairs)")
        for region, figures in regions.items():
            for what, one in figures.items():
                if isinstance(one, dict) and one["n"]:
                    print(f"  {region} {what}: {one['n']}, {one['median']} / {one['p95']} / {one['most']}")


def _is_rendered(row: Row) -> bool:
    return str(row["name"]).startswith("head ")


if __name__ == "__main__":
    main()
