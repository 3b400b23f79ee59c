"""Several networks as one: their raw outputs are averaged, by inference as by fine-tuning."""

import copy
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.errors import GlioLoopError
from pipeline.inference.session import Average, load_network
from pipeline.names import MRSequence
from pipeline.registry import CARD, InstalledModel, ModelCard, NetworkFile
from pipeline.training.export import export_network
from pipeline.training.learner import start_learner
from pipeline.training.network import HalfResolutionUNet, NetworkShape
from pipeline.training.samples import Sample
from pipeline.training.weights import soften
from tests.unit.corrections.phantom import write_threshold_model

SHAPE = NetworkShape(features=(4, 8), refine=4)
IMAGES = np.random.default_rng(1).standard_normal((1, 4, 16, 16, 16)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> InstalledModel:
    card = write_threshold_model(tmp_path)
    folder = tmp_path / card.name / card.version
    torch.manual_seed(3)
    export_network(HalfResolutionUNet(SHAPE).eval(), len(MRSequence), folder / "also-1.onnx")
    card = card.model_copy(update={"also": (NetworkFile.of(folder / "also-1.onnx"),)})
    (folder / CARD).write_text(card.model_dump_json())
    return InstalledModel(ModelCard.model_validate_json((folder / CARD).read_text()), folder)


def test_raw_outputs_are_averaged(model: InstalledModel) -> None:
    first, second = (load_network(model, file) for file in model.card.tumour_files)
    mean = Average(first, second)(IMAGES)
    assert mean.dtype == np.float32
    assert np.allclose(mean, (first(IMAGES) + second(IMAGES)) / 2, atol=1e-5)
    assert not np.allclose(mean, first(IMAGES), atol=1e-2)
    assert np.array_equal(Average(first)(IMAGES), first(IMAGES))


def test_a_further_network_that_is_not_the_card_s_is_refused(model: InstalledModel) -> None:
    assert model.card.also[0] in model.card.files
    (model.folder / "also-1.onnx").write_bytes(b"other")
    with pytest.raises(GlioLoopError, match="MODEL_DAMAGED"):
        load_network(model, model.card.also[0])


def test_only_the_first_network_learns_and_the_average_is_what_is_scored() -> None:
    torch.manual_seed(1)
    network, fixed = HalfResolutionUNet(SHAPE), HalfResolutionUNet(SHAPE)
    before = copy.deepcopy(fixed)
    with torch.no_grad():  # so sure of itself that the average says tumour everywhere, whatever the first says
        fixed.refine[-1].bias.fill_(400.0)
    pushed = copy.deepcopy(fixed)
    learner = start_learner(network, rate=1e-3, deep=False, decay=0.0, clip=1.0, bfloat16=False, also=(fixed,))
    everywhere = Sample(IMAGES[0].astype(np.float16), np.ones((4, 16, 16, 16), np.uint8))
    assert learner.learn(everywhere, np.random.default_rng(1), 1e-3, crop=False) == pytest.approx(0, abs=1e-3)
    assert all(torch.equal(old, new) for old, new in zip(pushed.parameters(), fixed.parameters(), strict=True))
    alone = start_learner(
        copy.deepcopy(network), rate=1e-3, deep=False, decay=0.0, clip=1.0, bfloat16=False, also=(before,)
    )
    assert alone.learn(everywhere, np.random.default_rng(1), 1e-3, crop=False) > 0.1


def test_a_temperature_divides_the_raw_outputs_of_its_region() -> None:
    torch.manual_seed(4)
    network = HalfResolutionUNet(SHAPE).eval()
    images = torch.from_numpy(IMAGES)
    with torch.no_grad():
        before, after = network(images), soften(network, {2: 2.0})(images)
    torch.testing.assert_close(after[:, 2], before[:, 2] / 2)
    torch.testing.assert_close(after[:, [0, 1, 3]], before[:, [0, 1, 3]])
