"""What nobody corrected stays as the network in use has it."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.finetune.blend import _score
from pipeline.finetune.prepare import _not_drawn
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.registry import ModelCard
from pipeline.training.learner import start_learner
from pipeline.training.network import HalfResolutionUNet, NetworkShape
from pipeline.training.samples import Sample
from tests.unit.corrections.phantom import phantom, record, write_threshold_model

SHAPE = NetworkShape(features=(4, 8), refine=4)


def _sample(kept: tuple[int, ...]) -> Sample:
    images, regions = phantom(1)
    middle = (..., *(slice(16, 48),) * 3)
    images, regions = images[middle], {region: mask[middle] for region, mask in regions.items()}
    brain = (images != 0).all(axis=0)
    # a network from before cavities were drawn has no output for the last one
    truth = np.stack([brain, *(regions[region] for region in TUMOUR_REGIONS), np.zeros_like(brain)])
    return Sample((images / 400).astype(np.float16), truth.astype(np.uint8), kept)


def _moved(kept: tuple[int, ...]) -> np.ndarray:
    """How far each output's probability moves on average in ten steps from one sample."""
    torch.manual_seed(1)
    parent = HalfResolutionUNet(SHAPE)
    learner = start_learner(
        copy.deepcopy(parent), rate=3e-3, deep=False, decay=0.0, clip=1.0, bfloat16=False, parent=parent
    )
    sample = _sample(kept)
    for step in range(10):
        learner.learn(sample, np.random.default_rng(step), 3e-3, crop=True)
    with torch.no_grad():
        images = torch.from_numpy(sample.images.astype(np.float32))[None]
        change = torch.sigmoid(learner.network(images)) - torch.sigmoid(parent(images))
    return np.asarray(change.abs().mean(dim=(0, 2, 3, 4)))


def test_what_is_kept_does_not_move() -> None:
    free, half, none = _moved(()), _moved((0, 2, 3)), _moved((0, 1, 2, 3, 4))
    assert free.min() > 0.1
    assert none.max() < 0.03
    assert half[[0, 2, 3]].max() < 0.1 < half[1]


@pytest.mark.parametrize(
    ("drawn", "kept"), [({"WT"}, (0, 2, 3)), ({"WT", "TC", "ET"}, (0,)), (set(), (0,))], ids=["one", "all", "accepted"]
)
def test_regions_that_nobody_drew_are_kept(
    tmp_path_factory: pytest.TempPathFactory, drawn: set[str], kept: tuple[int, ...]
) -> None:
    card: ModelCard = write_threshold_model(tmp_path_factory.mktemp("models"))
    case = record(1)
    regions = {name: one.model_copy(update={"drawn": name in drawn}) for name, one in case.regions.items()}
    assert _not_drawn(case.model_copy(update={"regions": regions}), card) == kept


def test_a_false_tumour_counts_as_loss() -> None:
    nothing, something = np.zeros((8, 8, 8), bool), np.ones((8, 8, 8), bool)
    assert _score(nothing, nothing, Region.WT) == 1
    assert _score(something, nothing, Region.WT) == 0
    assert np.isnan(_score(nothing, nothing, Region.ET))
