"""Which network between the old and the learnt one is taken."""

import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.finetune.blend import BLENDED, REPORT, Blend, choose, learn_and_blend, mix
from pipeline.finetune.direct import plan_of
from pipeline.finetune.prepare import prepare, rehearsed, set_aside
from pipeline.settings import Settings
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from pipeline.training.checkpoints import averaged_network
from pipeline.training.network import HalfResolutionUNet, NetworkShape
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
