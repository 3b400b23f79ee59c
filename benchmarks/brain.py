"""The brain that is found, beside deepbet's and HD-BET's: Dice with each, and with the truth where there is one.

Usage: python -m benchmarks.brain [--model NAME@VERSION] [--heads N] [--peer NAME] [--json]

Real studies with skull, and rendered heads of label maps that no network was trained on, whose brain is known. Both
peers are given the T1 before contrast, which is what deepbet is made for; HD-BET runs one of its five networks without
mirroring. Ours sees all four sequences. Masks are compared on the T1's voxels.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.clinical_study import read_study
from benchmarks.environment import ROOT, installed_model, peers_python, shared_data
from benchmarks.healthy_heads import render, volumes_of
from pipeline.align import align
from pipeline.errors import GlioLoopError
from pipeline.evaluation.evaluate import identity_alignment
from pipeline.evaluation.metrics import dice
from pipeline.inference.delineate import delineate
from pipeline.names import MRSequence, Region
from pipeline.registry import InstalledModel
from pipeline.training.synthesis.heads import head_paths
from pipeline.training.synthesis.tumour import TumourKind
from pipeline.volume.records import SourceVolume

PEERS = ("deepbet", "HD-BET")
PEER = Path(__file__).with_name("brain_peer.py")
LOCK = ROOT / "requirements" / "brain.lock"
OURS, TRUTH = "GlioLoop", "truth"
STUDIES = ("tcga-fg-6692/dicom", "upenn-gbm-00463")
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Row:
    """Dice of masks of one study, by the names of both; volumes in ml."""

    study: str
    dice: dict[str, float]
    volume_ml: dict[str, float]


def _ours(volumes: dict[MRSequence, SourceVolume], real: bool, model: InstalledModel) -> Mask:
    alignments = align(volumes, MRSequence.T1C) if real else dict.fromkeys(volumes, identity_alignment())
    found = delineate(volumes, alignments, MRSequence.T1C, model)
    back = alignments[MRSequence.T1].transform.GetInverse()
    brain = sitk.Resample(
        found.probabilities[Region.BRAIN], volumes[MRSequence.T1].image, back, sitk.sitkLinear, 0.0, sitk.sitkFloat32
    )
    return np.asarray(sitk.GetArrayFromImage(brain) >= model.card.threshold(Region.BRAIN))


def _theirs(peer: str, image: sitk.Image, folder: Path) -> Mask | str:
    files = [str(folder / "image.nii.gz"), str(folder / "mask.nii.gz")]
    sitk.WriteImage(sitk.Cast(image, sitk.sitkFloat32), files[0])
    (folder / "jobs.json").write_text(json.dumps([files]))
    done = subprocess.run(
        [peers_python(LOCK, complete=False, borrow=True), "-P", PEER, peer, folder / "jobs.json"],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines or "error" in lines[0]:
        return str(lines[0]["error"]) if lines else done.stderr[-300:]
    # What they write need not lie as what they read.
    mask = sitk.Resample(sitk.ReadImage(files[1], sitk.sitkUInt8), image, sitk.Transform(), sitk.sitkNearestNeighbor)
    return np.asarray(sitk.GetArrayFromImage(mask)) > 0


def _studies(heads: int) -> Iterator[tuple[str, dict[MRSequence, SourceVolume], Mask | None]]:
    for name in STUDIES:
        yield name.partition("/")[0], read_study(shared_data(*name.split("/"))), None
    _, held_out = head_paths(shared_data("head-label-maps"))
    with tempfile.TemporaryDirectory() as cache:
        for number in range(heads):
            study = render(number, held_out, TumourKind.NONE, Path(cache))
            yield f"rendered head {number}", volumes_of(study), study.regions[0]


def measure(
    name: str,
    volumes: dict[MRSequence, SourceVolume],
    truth: Mask | None,
    model: InstalledModel,
    peers: tuple[str, ...],
) -> Row:
    """Find the brain in one study by all."""
    masks: dict[str, Mask] = {} if truth is None else {TRUTH: truth}
    try:
        masks[OURS] = _ours(volumes, truth is None, model)
    except GlioLoopError as error:
        print(f"{name}: {error}", file=sys.stderr)
    image = volumes[MRSequence.T1].image
    for peer in peers:
        with tempfile.TemporaryDirectory() as folder:
            found = _theirs(peer, image, Path(folder))
        if isinstance(found, str):
            print(f"{name}: {peer}: {found}", file=sys.stderr)
        else:
            masks[peer] = found
    names = list(masks)
    pairs = [(one, other) for number, one in enumerate(names) for other in names[number + 1 :]]
    voxel_ml = float(np.prod(image.GetSpacing())) / 1000
    return Row(
        name,
        {f"{one}, {other}": round(dice(masks[one], masks[other]), 4) for one, other in pairs},
        {one: round(float(mask.sum()) * voxel_ml) for one, mask in masks.items()},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--heads", type=int, default=5)
    parser.add_argument("--peer", action="append", choices=PEERS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model = installed_model(options.model)
    rows = []
    for study in _studies(options.heads):
        rows.append(measure(*study, model, tuple(options.peer or PEERS)))
        print(json.dumps(asdict(rows[-1])), file=sys.stderr, flush=True)
    of: dict[str, list[float]] = {}
    for row in rows:
        for pair, value in row.dice.items():
            of.setdefault(pair, []).append(value)
    summary = {
        pair: {"n": len(values), "mean": round(float(np.mean(values)), 4), "worst": min(values)}
        for pair, values in of.items()
    }
    result = {"model": model.card.identity, "dice": summary}
    print(json.dumps(result | {"rows": [asdict(row) for row in rows]} if options.json else result, indent=1))


if __name__ == "__main__":
    main()
