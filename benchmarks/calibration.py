"""Whether probabilities say how often they are right, on tuning cases; and the temperature that would make them so.

Usage: python -m benchmarks.calibration [--model NAME@VERSION] [--cases DIR] [--picture PNG] [--json]

Without DIR it takes the real cases that are marked for tuning. Every voxel of the brain counts. The temperature is the
divisor of raw outputs with the least negative log-likelihood (Guo et al., ICML 2017), for `./glioloop export
--temperature`; ECE is the expected calibration error over ten bins of equal width, of the voxels above 0.01.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from benchmarks.environment import installed_model, shared_data
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import find_cases
from pipeline.evaluation.evaluate import as_source, identity_alignment
from pipeline.evaluation.labels import scheme_of
from pipeline.inference import delineate
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.registry import InstalledModel

BINS = 10
_LEAST = 0.01
_EDGE = 1e-4

Values = NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """Of one region: the best temperature, ECE as it is and with it, and per bin mean probability and frequency."""

    temperature: float
    ece: float
    ece_softened: float
    said: tuple[float, ...]
    true: tuple[float, ...]


def voxels(folder: Path, model: InstalledModel) -> dict[Region, tuple[Values, NDArray[np.bool_]]]:
    """Probability and truth of every voxel of the brain, all cases together, on the cases' own grid, every 8th."""
    said: dict[Region, list[Values]] = {region: [] for region in TUMOUR_REGIONS}
    true: dict[Region, list[NDArray[np.bool_]]] = {region: [] for region in TUMOUR_REGIONS}
    for case in find_cases(folder):
        volumes = {s: as_source(image, s.value) for s, image in case.read_images().items()}
        try:
            found = delineate(volumes, dict.fromkeys(volumes, identity_alignment()), MRSequence.T1C, model)
        except GlioLoopError as error:
            print(f"{case.name}: refused, {error}", file=sys.stderr)
            continue
        labels = case.read_labels()
        truth = scheme_of(case).regions(sitk.GetArrayFromImage(labels))
        brain = sitk.GetArrayViewFromImage(volumes[MRSequence.T1C].image) > 0
        for region, wanted in zip(TUMOUR_REGIONS, truth, strict=True):
            moved = sitk.Resample(found.probabilities[region], labels, sitk.Transform(), sitk.sitkLinear, 0.0)
            said[region].append(sitk.GetArrayFromImage(moved)[brain][::8])
            true[region].append(wanted[brain][::8])
        print(case.name, file=sys.stderr, flush=True)
    return {region: (np.concatenate(said[region]), np.concatenate(true[region])) for region in TUMOUR_REGIONS}


def calibrate(said: Values, true: NDArray[np.bool_]) -> Calibration:
    raw = logit(np.clip(said.astype(np.float64), _EDGE, 1 - _EDGE))

    def loss(temperature: float) -> float:
        return float(np.mean(np.logaddexp(0, np.where(true, -raw, raw) / temperature)))

    best = float(minimize_scalar(loss, bounds=(0.3, 5), method="bounded").x)
    ece, means, shares = _reliability(said, true)
    return Calibration(round(best, 3), ece, _reliability(expit(raw / best), true)[0], means, shares)


def _reliability(
    said: NDArray[np.floating], true: NDArray[np.bool_]
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    told = said > _LEAST
    said, true = said[told], true[told]
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    count = np.maximum(np.bincount(bins, minlength=BINS), 1)
    means = np.bincount(bins, said, BINS) / count
    shares = np.bincount(bins, true, BINS) / count
    ece = float(np.sum(np.abs(means - shares) * count) / count.sum())
    return round(ece, 4), tuple(means.round(3).tolist()), tuple(shares.round(3).tolist())


def draw(regions: dict[str, Calibration], path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - of the training's packages, and only for the picture

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(4.2, 4.2))
    axes.plot([0, 1], [0, 1], color="0.7")
    for name, one in regions.items():
        axes.plot(one.said, one.true, marker="o", label=f"{name}, ECE {one.ece:.3f}")
    axes.set(xlabel="probability", ylabel="share of voxels that are in the region", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--cases", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = installed_model(options.model)
    found = voxels(options.cases or shared_data("brats-cases", "tuning"), model)
    regions = {region.value: calibrate(*values) for region, values in found.items()}
    if options.picture:
        draw(regions, options.picture)
    if options.json:
        print(
            json.dumps({"model": model.card.identity, "regions": {k: asdict(v) for k, v in regions.items()}}, indent=1)
        )
        return
    print(model.card.identity)
    for name, one in regions.items():
        print(f"{name}: temperature {one.temperature}, ECE {one.ece} ({one.ece_softened} with it)")


if __name__ == "__main__":
    main()
