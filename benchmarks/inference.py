"""Time and memory of inference on one study, on one and all cores, as it ships and quantised to eight bits.

Usage: python -m benchmarks.inference [--model NAME@VERSION] [--runs N] [--json]

The study is the shipped synthetic one, read and aligned once; every variant infers it N times in a process of its
own. Its first run, which loads the networks, is given apart. Dice is that of its regions to the unquantised ones.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.environment import ROOT, installed_model
from pipeline.align import Alignment, align
from pipeline.database.engine import database_in
from pipeline.evaluation.metrics import dice
from pipeline.identify import headers_from_files, identify
from pipeline.inference import delineate
from pipeline.inference.session import Network
from pipeline.names import TUMOUR_REGIONS, MRSequence, Provider
from pipeline.registry import InstalledModel, NetworkFile, Registry
from pipeline.volume import read_chosen
from pipeline.volume.records import SourceVolume

VARIANTS = ("all cores", "one core", "int8")


def read_study() -> tuple[dict[MRSequence, SourceVolume], dict[MRSequence, Alignment]]:
    headers, files = headers_from_files(sorted((ROOT / "samples" / "synthetic-study").rglob("*.dcm")))
    volumes = read_chosen(identify(headers), files)
    return volumes, align(volumes, MRSequence.T1C)


class _Seen(CalibrationDataReader):
    """What a network was given while the study was inferred."""

    def __init__(self, inputs: list[np.ndarray]) -> None:
        self._inputs: Iterator[np.ndarray] = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(({"images": one} for one in self._inputs), None)


@dataclass(frozen=True)
class _Recorder:
    """A network that keeps what it is given."""

    network: Network
    kept: list[np.ndarray]

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.kept.append(images)
        return self.network(images)

    @property
    def provider(self) -> Provider:
        return self.network.provider


@contextmanager
def recorded(seen: dict[str, list[np.ndarray]]) -> Iterator[None]:
    """Keep, by file name, what every network is given meanwhile."""
    module = sys.modules["pipeline.inference.delineate"]
    load = module.load_network

    def recording(model: InstalledModel, file: NetworkFile, provider: Provider) -> _Recorder:
        return _Recorder(load(model, file, provider), seen.setdefault(file.name, []))

    module.load_network = recording
    try:
        yield
    finally:
        module.load_network = load


def quantise(model: InstalledModel, seen: dict[str, list[np.ndarray]], folder: Path) -> None:
    """Write the model with 8-bit weights and activations, calibrated on what its networks were given."""
    card = model.card.model_dump_json()
    target = folder / model.card.name / model.card.version
    target.mkdir(parents=True)
    for file in model.card.files:
        source, prepared, out = model.folder / file.name, target / f"prepared-{file.name}", target / file.name
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(out),
            _Seen(seen[file.name]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv"],
        )
        prepared.unlink()
        card = card.replace(file.sha256, NetworkFile.of(out).sha256)
    (target / "model.json").write_text(card)


def child(work: Path, models: Path, identity: str, runs: int, cores: int) -> None:
    """Infer the study in this process and print times and the peak of memory."""
    os.sched_setaffinity(0, set(list(os.sched_getaffinity(0))[:cores]))
    volumes, alignments = read_study_from(work)
    model = Registry(models, work / "state", database_in(work / "state")).get(identity)
    seconds = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        found = delineate(volumes, alignments, MRSequence.T1C, model)
        seconds.append(time.perf_counter() - start)
    masks = {
        r.value: np.packbits(sitk.GetArrayFromImage(found.probabilities[r]) >= model.card.threshold(r)).tolist()
        for r in TUMOUR_REGIONS
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"first_s": seconds[0], "median_s": statistics.median(seconds[1:]), "peak_gib": peak} | masks))


def read_study_from(work: Path) -> tuple[dict[MRSequence, SourceVolume], dict[MRSequence, Alignment]]:
    """Read the study with the alignments that the parent has written beside it."""
    stored = json.loads((work / "alignments.json").read_text())
    headers, files = headers_from_files(sorted((ROOT / "samples" / "synthetic-study").rglob("*.dcm")))
    volumes = read_chosen(identify(headers), files)
    return volumes, {sequence: Alignment.from_json(one) for sequence, one in stored.items()}


def run_variant(variant: str, work: Path, models: Path, identity: str, runs: int) -> dict[str, object]:
    cores = 1 if variant == "one core" else len(os.sched_getaffinity(0))
    command = [sys.executable, "-m", "benchmarks.inference", "--child", str(work), str(models), identity]
    done = subprocess.run([*command, str(runs), str(cores)], cwd=ROOT, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def measure(identity: str | None, runs: int) -> dict[str, object]:
    model = installed_model(identity)
    volumes, alignments = read_study()
    seen: dict[str, list[np.ndarray]] = {}
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "alignments.json").write_text(json.dumps({s: a.as_json() for s, a in alignments.items()}))
        with recorded(seen):
            delineate(volumes, alignments, MRSequence.T1C, model)
        quantise(model, seen, work / "int8")
        for variant in VARIANTS:
            models = work / "int8" if variant == "int8" else model.folder.parent.parent
            results[variant] = run_variant(variant, work, models, model.card.identity, runs)
            print(f"{variant}: {results[variant]['median_s']:.2f} s", file=sys.stderr, flush=True)
    return {"model": model.card.identity, "variants": _with_dice(results)}


def _with_dice(results: dict[str, dict[str, object]]) -> dict[str, object]:
    masks = {
        variant: {r.value: np.unpackbits(np.array(row.pop(r.value), np.uint8)) > 0 for r in TUMOUR_REGIONS}
        for variant, row in results.items()
    }
    for variant, row in results.items():
        for name in ("first_s", "median_s", "peak_gib"):
            row[name] = round(float(str(row[name])), 2)
        row["dice"] = {r: round(dice(mask, masks[VARIANTS[0]][r]), 4) for r, mask in masks[variant].items()}
    return dict(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        work, models, identity, runs, cores = options.child
        child(Path(work), Path(models), identity, int(runs), int(cores))
        return
    result = measure(options.model, options.runs)
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for variant, row in dict(result["variants"]).items():  # type: ignore[call-overload]
        print(f"{variant:10} {row}")


if __name__ == "__main__":
    main()
