"""Phantom heads, a network that thresholds them, and corrections of them: for the tests of the loop."""

import shutil
from datetime import date
from itertools import count, islice
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

torch = pytest.importorskip("torch")  # whoever imports this module is skipped without it

from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.record import CaseRecord, RegionDifference
from pipeline.corrections.store import CorrectionStore
from pipeline.names import MRSequence, Region
from pipeline.registry import CARD, InputGrid, InstalledModel, ModelCard, NetworkFile, Output
from pipeline.training.export import OPSET, export_network
from pipeline.training.network import HalfResolutionUNet, NetworkShape

Mask = NDArray[np.bool_]
_SIZE = 64
_SPACING = (2.0, 2.0, 2.0)
_SUFFIXES = {MRSequence.T1: "t1", MRSequence.T1C: "t1ce", MRSequence.T2: "t2", MRSequence.FLAIR: "flair"}


def write_threshold_model(
    folder: Path,
    whole_tumour: float = 4.0,
    core: float = 4.0,
    brain: bool = True,
    version: str = "1.0.0",
    finder: InstalledModel | None = None,
) -> ModelCard:
    """Write a model whose whole tumour is what is bright on FLAIR, whose core what is bright on T1c.

    Parameters
    ----------
    folder
        The models folder.
    whole_tumour, core
        Standard deviations above the mean of all that is not zero.
    brain
        Whether the card gives the brain (as all that is not zero), which then must be of a brain's size.
    finder
        A network whose first stage is to find the brain in whole heads for this one, too.
    """
    torch.manual_seed(1)
    network = HalfResolutionUNet(NetworkShape(features=(6, 12), refine=6))
    first, last = network.refine[0], network.refine[2]
    centre = (1, 1, 1)
    with torch.no_grad():
        for parameter in network.parameters():
            # Equal weights would share one initialiser in the file; those of a trained network never are.
            parameter.add_(1e-4 * torch.randn_like(parameter))
        for channel, (source, threshold) in enumerate(((3, whole_tumour), (1, core))):
            first.weight[channel] = 0
            first.weight[(channel, 6 + source, *centre)] = 1
            first.bias[channel] = -threshold
        last.weight.zero_()
        last.bias.copy_(torch.tensor([5.0, -0.5, -0.5, -0.5]))
        for output, channel in ((1, 0), (2, 1), (3, 1)):
            last.weight[(output, channel, *centre)] = 4
    target = folder / "threshold" / version
    target.mkdir(parents=True)
    export_network(network.eval(), 4, target / "model.onnx")
    regions = [Region.BRAIN, Region.WT, Region.TC, Region.ET]
    stage = finder.card.brain if finder is not None else None
    if finder is not None and stage is not None:
        shutil.copyfile(finder.path(stage.file), target / stage.file.name)
    card = ModelCard(
        name="threshold",
        version=version,
        created=date(2026, 1, 2),
        description="Thresholds, for tests",
        architecture="U-Net at half resolution",
        licence="AGPL-3.0-or-later",
        opset=OPSET,
        file=NetworkFile.of(target / "model.onnx"),
        grid=InputGrid(order=tuple(MRSequence), spacing_mm=_SPACING, window=(96, 96, 96)),
        brain=stage,
        outputs=tuple(
            Output(region=region, channels=(number,))
            for number, region in enumerate(regions)
            if brain or region is not Region.BRAIN
        ),
    )
    (target / CARD).write_text(card.model_dump_json())
    return card


def phantom(seed: int) -> tuple[NDArray[np.float32], dict[Region, Mask]]:
    """Return the four sequences (4, z, y, x) of a stripped ball of a brain with a coreless tumour, and regions."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(_SIZE)] * 3, indexing="ij")).astype(np.float64)
    middle = (_SIZE - 1) / 2

    def ball(centre: NDArray[np.float64], radius: float) -> Mask:
        return np.asarray(((grid - centre[:, None, None, None]) ** 2).sum(0) <= radius**2)

    brain = ball(np.full(3, middle), 29)
    centre = middle + rng.uniform(-9, 9, 3)
    radius = rng.uniform(6, 8)
    tumour = ball(centre, radius)
    images = 400 + 40 * rng.standard_normal((4, _SIZE, _SIZE, _SIZE))
    images[3] += 300 * tumour
    images[2] += 200 * tumour
    images = np.where(brain, np.stack([ndimage.gaussian_filter(one, 0.5) for one in images]), 0)
    return images.astype(np.float32), {Region.WT: tumour, Region.TC: tumour & False, Region.ET: tumour & False}


def grown(mask: Mask, voxels: int = 1) -> Mask:
    """Return a mask grown in every direction."""
    return np.asarray(ndimage.distance_transform_edt(~mask) <= voxels)


def write_case(folder: Path, images: NDArray[np.float32], regions: dict[Region, Mask], prefix: str = "") -> Path:
    """Write a case in the BraTS layout."""
    folder.mkdir(parents=True)
    labels = np.zeros(images.shape[1:], np.uint8)
    for region, label in ((Region.WT, 2), (Region.TC, 1), (Region.ET, 4)):
        labels[regions[region]] = label
    arrays = {_SUFFIXES[sequence]: image.astype(np.int16) for sequence, image in zip(MRSequence, images, strict=True)}
    for suffix, array in {**arrays, "seg": labels, "auto": labels}.items():
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(_SPACING)
        sitk.WriteImage(image, folder / f"{prefix}{suffix}.nii.gz")
    return folder


def record(number: int, **changes: object) -> CaseRecord:
    """Return the record of a correction of WT, of a study and patient of its own."""
    values: dict[str, object] = {
        "id": "",
        "patient": f"{number:016x}",
        "study": f"{number + 4096:016x}",
        "kind": "corrected",
        "trusted": True,
        "received": f"2026-01-02T10:{number:02d}:00+00:00",
        "model": "threshold@1.0.0",
        "job": "0" * 32,
        "source_kind": "rtstruct",
        "source_sop_instance_uid": f"1.2.{number}",
        "source_hash": "ab",
        "fingerprint": f"1.2.{number}:ab",
        "regions": {
            name: RegionDifference(
                dice=0.8, hd95_mm=2.0, added_ml=3.0, removed_ml=0.0, automatic_ml=9.0, corrected_ml=12.0,
                drawn=name == "WT",
            )
            for name in ("WT", "TC", "ET")
        },
        "spacing_mm": _SPACING,
    }  # fmt: skip
    return CaseRecord.model_validate(values | changes)


def patient_of(store: CorrectionStore, role: str, number: int) -> str:
    """Pseudonym of the so many-th patient whom this installation's key gives a role."""
    pseudonyms = Pseudonyms.of_installation(store.database)
    named = (f"{one:016x}" for one in count())
    fitting = (one for one in named if (pseudonyms.share(one) < store.policy.held_back_share) is (role == "held_back"))
    return next(islice(fitting, number, None))


def keep_phantom(
    store: CorrectionStore, number: int, work: Path, regions: dict[Region, Mask] | None = None, role: str = "learn"
) -> CaseRecord:
    """Keep the correction of a phantom: its whole tumour grown by 2 mm, unless other regions are given."""
    images, truth = phantom(number)
    corrected = regions or {**truth, Region.WT: grown(truth[Region.WT])}
    files = write_case(work / f"files-{number}", images, corrected)
    return store.keep(record(number, patient=patient_of(store, role, number)), files)


def keep_phantoms(
    store: CorrectionStore, work: Path, learn: int = 3, held_back: int = 6, shuffled: bool = False
) -> None:
    """Keep corrections of phantoms, each of a patient of its own; shuffled ones have each other's masks."""
    total = learn + held_back
    for number in range(total):
        role = "learn" if number < learn else "held_back"
        keep_phantom(store, number, work, phantom((number + 1) % total)[1] if shuffled else None, role)
