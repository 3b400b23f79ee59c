"""Which network between the old and the learnt one is taken."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.finetune.blend import BLENDED, REPORT, Blend, _dice, choose, learn_and_blend, mix
from pipeline.finetune.direct import plan_of
from pipeline.finetune.prepare import prepare, rehearsed, set_aside
from pipeline.names import MRSequence, Region
from pipeline.registry import Sharpening
from pipeline.settings import Settings
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from pipeline.training.checkpoints import averaged_network
from pipeline.training.network import HalfResolutionUNet, NetworkShape
from pipeline.training.samples import Sample
from tests.unit.corrections.phantom import keep_phantom, phantom, write_threshold_model

SHAPE = NetworkShape(features=(4, 8), refine=4)


def test_the_one_that_gains_most_within_the_tolerance() -> None:
    tried = [Blend(1.0, 0.20, 0.03), Blend(0.75, 0.18, 0.006), Blend(0.5, 0.12, 0.004), Blend(0.25, 0.05, -0.01)]
    assert choose(tried, 0.005).share == 0.5
    assert choose(tried, 0.01).share == 0.75
    assert choose(tried, 1.0).share == 1.0
    assert choose(tried[:2], 0.001).share == 0.75, "where every one loses too much, the one that loses least"


def test_mixed_weights_lie_between() -> None:
    torch.manual_seed(1)
    parent, learnt = HalfResolutionUNet(SHAPE).eval(), HalfResolutionUNet(SHAPE).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    with torch.no_grad():
        assert torch.equal(mix(parent, learnt, 0.0)(images), parent(images))
        assert mix(parent, learnt, 1.0)(images) == pytest.approx(learnt(images), abs=1e-5)
        for old, new, one in zip(
            parent.parameters(), learnt.parameters(), mix(parent, learnt, 0.25).parameters(), strict=True
        ):
            assert torch.allclose(one, 0.75 * old + 0.25 * new, atol=1e-6)


def test_what_is_chosen_by_is_not_learnt_from() -> None:
    samples = list(range(16))
    learnt, kept = rehearsed(samples), set_aside(samples)  # type: ignore[arg-type, type-var]
    assert not set(learnt) & set(kept)
    assert sorted(learnt + kept) == samples  # type: ignore[operator]
    assert len(kept) == 5


class _Says(torch.nn.Module):  # type: ignore[misc]
    """A network that says the same of everything."""

    def __init__(self, probabilities: np.ndarray) -> None:
        super().__init__()
        self._logits = torch.logit(torch.from_numpy(probabilities.astype(np.float32)))[None]

    def forward(self, _images: torch.Tensor) -> torch.Tensor:
        return self._logits


def test_borders_follow_the_signal_as_those_of_a_clinical_result_do(tmp_path: Path) -> None:
    """A rim that the network draws too thick counts as thin where the card has brightness decide."""
    card = write_threshold_model(tmp_path)
    axis = np.arange(32) - 15.5
    radius = np.sqrt(sum(one**2 for one in np.meshgrid(axis, axis, axis, indexing="ij")))
    rim = np.abs(radius - 8) < 1
    thick, tumour = (1 / (1 + np.exp(one)) for one in ((np.abs(radius - 8) - 2) * 2, (radius - 13) * 2))
    images = np.random.default_rng(0).normal(0, 0.02, (4, 32, 32, 32)) + 1
    images[card.grid.order.index(MRSequence.T1C)][rim] += 1
    truth = np.stack([radius < 15, radius < 13, radius < 13, rim])
    sample = Sample(images.astype(np.float16), truth.astype(np.uint8))
    network = _Says(np.stack([np.full_like(tumour, 0.9), tumour, tumour, thick]))
    rules = card.postprocessing.model_copy(update={"sharpening": {Region.ET: Sharpening(sequence="t1c", weight=4)}})
    plain, sharp = (
        _dice((network,), [sample], one)[0, 2]  # type: ignore[arg-type]
        for one in (card, card.model_copy(update={"postprocessing": rules}))
    )
    assert plain < 0.7
    assert sharp > 0.95


def test_learnt_weights_are_taken_as_far_as_what_was_set_aside_allows(tmp_path: Path) -> None:
    """The corrections say grow, the replayed cases say stay: none of the blends may lose more than is allowed."""
    write_threshold_model(tmp_path / "models", whole_tumour=1.2)
    settings = Settings(
        state_folder=tmp_path / "state",
        models_folder=tmp_path / "models",
        feedback=CorrectionPolicy(held_back_share=0),
        finetune=FinetunePolicy(steps=6, learning_rate=3e-3),
    )
    store = CorrectionStore(settings.feedback_folder, database_in(settings.state_folder), settings.feedback)
    keep_phantom(store, 1, tmp_path)
    keep_phantom(store, 2, tmp_path, phantom(2)[1])
    plan = plan_of(settings, "finetune-000000000001", None, {})
    plan = plan.model_copy(update={"sample_study": tmp_path / "none"})
    prepare(plan, lambda _fraction: None)
    samples = sorted((plan.folder / "samples").glob("case-*.npz"))
    for number, path in enumerate(samples[3:]):
        shutil.move(path, path.with_name(f"replay-{number:04d}.npz"))
    learn_and_blend(plan, lambda _fraction: None)
    report = json.loads((plan.folder / REPORT).read_text())
    assert report["tuning"] == 1
    tried = [Blend(**one) for one in report["tried"]]
    assert [one.share for one in tried] == [1.0, 0.75, 0.5, 0.25]
    assert len({one.gain for one in tried}) > 1, "the weights did move"
    assert report["share"] == choose(tried, plan.policy.margin / 2).share
    assert averaged_network(plan.folder / BLENDED)(torch.zeros(1, 4, 16, 16, 16)).shape == (1, 4, 16, 16, 16)
