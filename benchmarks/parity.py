"""Networks of nnU-Net and MONAI, imported: the same image through the tool's own predictor and through this node.

Small networks made by the tools and trained for a moment on one case of BraTS (the shipped one where the real ones are
not there), which is what both are given, on the networks' own grid. nnU-Net's predictor adds its windows up in half
precision; it is compared as it is shipped and with these sums in single precision, which is what the bar is for.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from benchmarks.environment import ROOT, peers_python, shared_data_or, skip
from pipeline.align import Alignment
from pipeline.conversion.apart import convert_apart
from pipeline.conversion.request import ConversionRequest
from pipeline.errors import GlioLoopError
from pipeline.evaluation.cases import Case, find_cases
from pipeline.evaluation.labels import OWN
from pipeline.inference.channels import channels_of, regions_of
from pipeline.inference.grids import Sampled, extent_of, make_grid, sample_all
from pipeline.inference.session import Average, load_network
from pipeline.names import TUMOUR_REGIONS, MRSequence
from pipeline.registry import CARD, InputGrid, InstalledModel, ModelCard
from pipeline.volume.records import SourceVolume

KINDS = (
    "nnunet 3d_fullres",
    "nnunet regions",
    "nnunet 2d",
    "nnunet two folds",
    "monai SegResNet",
    "monai UNet",
)
PEER = Path(__file__).with_name("parity_peer.py")
LOCK = ROOT / "requirements" / "parity.lock"
LEAST_DICE, MOST_DIFFERENCE = 0.999, 1e-3
SHIPPED, SINGLE = "as shipped", "sums in float32"
#: What the networks are trained on: their own spacing, all of the head.
GRID = InputGrid(
    order=(MRSequence.T1, MRSequence.T1C, MRSequence.T2, MRSequence.FLAIR),
    spacing_mm=(3.0, 3.0, 3.0),
    orientation="LPS",
    window=(512, 512, 512),
    multiple=1,
)
Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Parity:
    """How far a network's results here are from those of its tool.

    Attributes
    ----------
    largest, mostly
        Difference of the probability of a channel: the largest at any voxel, and what 99.9 % inside the head are below.
    dice
        Of the masks of WT, TC and ET.
    volume_ml
        Of the tool's masks.
    """

    largest: float
    mostly: float
    dice: dict[str, float]
    volume_ml: dict[str, float]

    @property
    def holds(self) -> bool:
        """Whether both are what is asked for."""
        return self.largest <= MOST_DIFFERENCE and min(self.dice.values()) >= LEAST_DICE


def _peer(python: Path, *words: str | Path) -> None:
    done = subprocess.run(
        [python, PEER, *words],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"nnUNet_raw": "/", "nnUNet_preprocessed": "/", "nnUNet_results": "/"},
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, words))}: {done.stderr[-2000:]}")


def _sampled(case: Case, spec: InputGrid) -> tuple[Sampled, sitk.Image]:
    volumes = {
        sequence: SourceVolume(image, (), sequence.value, "", "") for sequence, image in case.read_images().items()
    }
    still = dict.fromkeys(volumes, Alignment(sitk.Transform(), 0.0, 1.0, 0.0, 0.0))
    grid = make_grid(extent_of(next(iter(volumes.values())).image), spec)
    return sample_all(volumes, still, spec, grid), grid


def _given(case: Case, spec: InputGrid, path: Path) -> tuple[Sampled, sitk.Image]:
    """Write what the tool is given: images and regions (channels, z, y, x), voxel size (z, y, x)."""
    seen, grid = _sampled(case, spec)
    labels = sitk.Resample(case.read_labels(), grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    regions = np.stack(OWN.regions(sitk.GetArrayFromImage(labels)))
    np.savez(path, images=seen.images, regions=regions, spacing=np.array(grid.GetSpacing()[::-1]))
    return seen, grid


def measure(kind: str, python: Path, case: Case, work: Path) -> dict[str, Parity]:
    """Make a network, import it, and run it both ways; by how the tool adds up."""
    folder, out, given, answer = work / "theirs", work / "ours", work / "in.npz", work / "out.npz"
    _given(case, GRID, given)
    _peer(python, "make", kind, folder, given)
    tool = kind.split(maxsplit=1)[0]
    convert_apart(ConversionRequest.model_validate({"tool": tool, "folder": folder, "out": out}))
    model = InstalledModel(ModelCard.model_validate_json((out / CARD).read_text()), out)
    seen, grid = _given(case, model.card.grid, given)
    _peer(python, "predict", kind, folder, given, answer)
    network = Average(*(load_network(model, file) for file in model.card.tumour_files))
    mask = np.ones(seen.images.shape[1:], dtype=bool)
    found = channels_of(seen, mask, network, model.card, lambda done: None)
    regions = regions_of(found, mask, model.card)
    if model.card.activation == "softmax":  # beyond what was looked at there is background
        found[0][found.sum(axis=0) == 0] = 1
    ours = np.stack([regions[region] >= model.card.threshold(region) for region in TUMOUR_REGIONS])
    voxel_ml = float(np.prod(grid.GetSpacing())) / 1000
    theirs = np.load(answer)
    head = (seen.images != 0).any(axis=0)
    return {
        way: _compared(np.abs(found - theirs[f"{way} probabilities"]), head, ours, theirs[f"{way} masks"], voxel_ml)
        for way in (SHIPPED, SINGLE)
        if f"{way} masks" in theirs
    }


def _compared(differences: npt.NDArray[np.float32], head: Masks, ours: Masks, theirs: Masks, voxel_ml: float) -> Parity:
    dice, volumes = {}, {}
    for region, our, their in zip(TUMOUR_REGIONS, ours, theirs, strict=True):
        total = int(our.sum() + their.sum())
        dice[region.value] = 2 * int((our & their).sum()) / total if total else 1.0
        volumes[region.value] = round(float(their.sum()) * voxel_ml, 1)
    return Parity(float(differences.max()), float(np.percentile(differences[:, head], 99.9)), dice, volumes)


def _line(kind: str, way: str, one: Parity) -> str:
    scores = "/".join(f"{value:.5f}" for value in one.dice.values())
    volumes = "/".join(f"{value:.0f}" for value in one.volume_ml.values())
    return f"{kind:18} {way:16} {scores:24} {one.largest:9.1e} {one.mostly:9.1e} {volumes:>14}"


def main() -> None:
    """Print lines for each kind of network; exit status 1 where one misses the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kind", action="append", choices=KINDS)
    arguments = parser.parse_args()
    case = find_cases(shared_data_or(ROOT / "samples" / "reference", "brats-cases", "train"))[0]
    python = peers_python(LOCK, complete=False, borrow=True)
    if not arguments.json:
        print(f"{'network':18} {'the tool':16} {'Dice WT/TC/ET':24}   largest    99.9 %   WT/TC/ET ml")
    results: dict[str, dict[str, Parity]] = {}
    for kind in arguments.kind or KINDS:
        print(kind, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as work:
            try:
                results[kind] = measure(kind, python, case, Path(work))
            except GlioLoopError as error:
                if error.code != "IMPORT_UNAVAILABLE":
                    raise
                skip(f"{error.detail}: ./glioloop setup train import")
        if not arguments.json:
            for way, one in results[kind].items():
                print(_line(kind, way, one), flush=True)
    if arguments.json:
        told = {
            kind: {way: asdict(one) | {"holds": one.holds} for way, one in found.items()}
            for kind, found in results.items()
        }
        print(json.dumps({"case": case.name, "networks": told}))
    sys.exit(0 if all(list(found.values())[-1].holds for found in results.values()) else 1)


if __name__ == "__main__":
    main()
