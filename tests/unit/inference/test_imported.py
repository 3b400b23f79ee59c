"""A site's own network: other input order, spacing, orientation, softmax outputs, no brain stage; no code."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.align import Alignment
from pipeline.database.engine import database_in
from pipeline.inference import delineate
from pipeline.names import MRSequence, Region
from pipeline.registry import InstalledModel, Registry
from pipeline.volume.records import SourceVolume
from tests.unit.inference.convolution import write_convolution

ORDER = ("flair", "t1c", "t1", "t2")
SHIFT = (3.0, -6.0, 9.0)


def _network(path: Path) -> None:
    """Classes by a 1x1x1 convolution: 0 rest, 1 bright T2, 2 bright FLAIR, 3 bright T1c (inputs are raw)."""
    weights = np.zeros((4, 4, 1, 1, 1), dtype=np.float32)
    weights[1, ORDER.index("t2")] = 1.5
    weights[2, ORDER.index("flair")] = 1.0
    weights[3, ORDER.index("t1c")] = 2.0
    bias = np.array([50, -20, 0, -20], dtype=np.float32)
    write_convolution(path, weights, bias)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> InstalledModel:
    folder = tmp_path_factory.mktemp("site")
    _network(folder / "site.onnx")
    card = {
        "name": "sitenet",
        "version": "3",
        "created": "2026-01-01",
        "description": "a site's own",
        "architecture": "one convolution",
        "licence": "proprietary",
        "opset": 17,
        "file": {"name": "site.onnx", "sha256": hashlib.sha256((folder / "site.onnx").read_bytes()).hexdigest()},
        "grid": {
            "order": ORDER,
            "spacing_mm": [3.0, 3.0, 3.0],
            "orientation": "RAS",
            "window": [24, 24, 24],
            "multiple": 8,
            "normalisation": "none",
        },
        "activation": "softmax",
        "outputs": [
            {"region": "WT", "channels": [1, 2, 3]},
            {"region": "TC", "channels": [1, 3]},
            {"region": "ET", "channels": [3]},
        ],
    }
    (folder / "model.json").write_text(json.dumps(card))
    registry = Registry(folder / "none", folder / "state", database_in(folder / "state"))
    return registry.import_model(folder)


def _ball(radius: float, value: float) -> np.ndarray:
    grid = np.indices((96, 96, 96), dtype=np.float32) - np.array([40, 50, 44], dtype=np.float32)[:, None, None, None]
    return np.where((grid**2).sum(0) < radius**2, value, 10).astype(np.float32)


def _volume(array: np.ndarray, sequence: MRSequence, offset: tuple[float, ...] = (0, 0, 0)) -> SourceVolume:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin([-48 + one for one in offset])
    return SourceVolume(image, (), "1", sequence.value, "1")


def test_channels_orientation_spacing_and_sums(imported: InstalledModel) -> None:
    volumes = {
        MRSequence.T1: _volume(_ball(20, 10), MRSequence.T1),
        MRSequence.T1C: _volume(_ball(12, 100), MRSequence.T1C),
        MRSequence.T2: _volume(_ball(18, 100), MRSequence.T2),
        # The patient has moved before the FLAIR; its alignment undoes that.
        MRSequence.FLAIR: _volume(_ball(25, 100), MRSequence.FLAIR, SHIFT),
    }
    still = Alignment(sitk.TranslationTransform(3), 0.0, 1.0, 0.0, 0.0, ())
    alignments = dict.fromkeys(volumes, still)
    alignments[MRSequence.FLAIR] = Alignment(sitk.TranslationTransform(3, SHIFT), 0.0, 1.0, 0.0, 0.0, ())
    found = delineate(volumes, alignments, MRSequence.T1C, imported)
    for region, radius in ((Region.WT, 25), (Region.TC, 18), (Region.ET, 12)):
        image = found.probabilities[region]
        assert image.GetSpacing() == (3.0, 3.0, 3.0)
        mask = sitk.GetArrayFromImage(image) > 0.5
        assert mask.sum() * 27 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.2)  # 3 mm voxels
        z, y, x = np.argwhere(mask).mean(0)
        place = image.TransformContinuousIndexToPhysicalPoint((float(x), float(y), float(z)))
        assert place == pytest.approx((-4, 2, -8), abs=1.0)
