"""Training: restartable to the bit, logged, exported with a check that can fail."""

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError
from pipeline.training import export
from pipeline.training.checkpoints import averaged_network, load_checkpoint
from pipeline.training.loop import TrainingPlan, rate_of, train
from pipeline.training.losses import deep_loss, dice_and_cross_entropy
from pipeline.training.network import HalfResolutionUNet, NetworkShape, SideHeads, depth_to_space, space_to_depth
from pipeline.training.weights import shape_of, widened
from tests.unit.training.heads import write_heads

SMALL = NetworkShape(outputs=5, features=(4, 4, 4), refine=2)
SMALL_BRAIN = NetworkShape(outputs=1, features=(4, 4, 4), refine=2)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> TrainingPlan:
    folder = tmp_path_factory.mktemp("training")
    return TrainingPlan(
        heads=write_heads(folder / "heads"),
        out=folder / "through",
        steps=4,
        seed=5,
        workers=0,
        validate_every=2,
        validation_studies=1,
        bfloat16=False,
        shape=SMALL,
        reuse=24,
    )


@pytest.fixture(scope="module")
def through(plan: TrainingPlan) -> TrainingPlan:
    train(plan, say=lambda text: None)
    return plan


def test_log_and_curves(through: TrainingPlan) -> None:
    with (through.out / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["step"]) for row in rows] == [2, 4]
    assert all(np.isfinite(float(row["loss"])) for row in rows)
    assert (through.out / "curves.png").stat().st_size > 5000


def test_resumed_training_ends_where_an_uninterrupted_one_does(through: TrainingPlan) -> None:
    parted = replace(through, out=through.out.parent / "parted", steps=4)
    parted.out.mkdir()
    (parted.out / "cache").symlink_to(through.out / "cache")
    state = train(replace(parted, minutes=0.0), say=lambda text: None)
    assert state.learner.step == 0
    for minutes in (1e-9, 10.0):
        state = train(replace(parted, minutes=minutes), resume=True, say=lambda text: None)
    assert state.learner.step == 4
    expected = load_checkpoint(through.out / "last.pt")
    for name, value in state.learner.network.state_dict().items():
        torch.testing.assert_close(value, expected["network"][name], rtol=0, atol=0)


def test_another_seed_gives_other_weights(through: TrainingPlan) -> None:
    torch.manual_seed(through.seed + 1)
    other = HalfResolutionUNet(SMALL).state_dict()
    ours = load_checkpoint(through.out / "last.pt")["network"]
    assert not torch.equal(other["head.weight"], ours["head.weight"])


def test_rate_warms_up_and_decays() -> None:
    plan = TrainingPlan(Path(), Path(), steps=1000, rate=1e-3)
    rates = [rate_of(plan, step) for step in range(1000)]
    assert rates[0] < rates[50] < rates[100] == pytest.approx(1e-3)
    assert rates[-1] == pytest.approx(2e-5, rel=0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[100:]))


def test_space_to_depth_is_undone() -> None:
    x = torch.randn(2, 3, 4, 6, 8)
    torch.testing.assert_close(depth_to_space(space_to_depth(x)), x)


def test_loss_falls_with_agreement() -> None:
    target = torch.zeros(1, 2, 8, 8, 8)
    target[:, :, 2:6, 2:6, 2:6] = 1
    weights = torch.ones(2)
    right = dice_and_cross_entropy((target * 2 - 1) * 12, target, weights)
    wrong = dice_and_cross_entropy((1 - target * 2) * 12, target, weights)
    assert right < 0.01
    assert wrong > 1


def test_coarser_levels_take_part_in_the_loss_and_get_their_share_of_the_gradient() -> None:
    network, sides = HalfResolutionUNet(SMALL), SideHeads(SMALL)
    images, target = torch.randn(1, 4, 16, 24, 16), torch.zeros(1, 5, 16, 24, 16)
    target[:, :, 4:12, 4:12, 4:12] = 1
    logits, levels = network.decode(images)
    assert [tuple(level.shape[2:]) for level in levels] == [(8, 12, 8), (4, 6, 4)]
    plain = dice_and_cross_entropy(logits, target, torch.ones(5))
    deep = deep_loss(logits, sides(levels), target, torch.ones(5))
    assert deep > plain
    deep.backward()
    assert all(float(head.weight.grad.abs().sum()) > 0 for head in sides.heads)


def test_training_goes_on_from_an_exported_network(through: TrainingPlan, tmp_path: Path) -> None:
    trained = averaged_network(through.out / "last.pt")
    export.export_network(trained, 4, tmp_path / "model.onnx")
    state = train(replace(through, out=tmp_path, start=tmp_path / "model.onnx", shape=None, minutes=0.0))
    assert shape_of(state.learner.network) == SMALL
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(state.learner.network.state_dict()[name], value)


def test_an_output_that_a_network_did_not_have_says_no_and_the_others_stay() -> None:
    network = HalfResolutionUNet(replace(SMALL, outputs=4)).eval()
    images = torch.randn(1, 4, 16, 16, 16)
    wider = widened(network, 5)
    assert shape_of(wider) == SMALL
    with torch.no_grad():
        torch.testing.assert_close(wider(images)[:, :4], network(images))
        assert (torch.sigmoid(wider(images)[:, 4]) < 0.01).all()
    assert widened(wider, 5) is wider


def test_training_stops_after_the_third_plateau(through: TrainingPlan, tmp_path: Path) -> None:
    (tmp_path / "cache").symlink_to(through.out / "cache")
    still = replace(through, out=tmp_path, steps=500, rate=0.0, validate_every=1, patience=1)
    state = train(still, say=lambda text: None)
    # the first validation is the best one; each of the next three finds no gain
    assert (state.learner.step, state.halvings) == (4, 3)


def test_export_agrees_with_torch_at_sizes_it_was_not_traced_with(through: TrainingPlan, tmp_path: Path) -> None:
    network = averaged_network(through.out / "last.pt")
    worst = export.export_network(network, 4, tmp_path / "model.onnx")
    assert worst <= export.PARITY
    images = np.random.default_rng(1).standard_normal((1, 4, 16, 24, 40)).astype(np.float32)
    (raw,) = ort.InferenceSession(str(tmp_path / "model.onnx")).run(None, {"images": images})
    with torch.no_grad():
        expected = network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(raw, expected, atol=1e-3)


def test_export_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Drifting(HalfResolutionUNet):
        """Answers otherwise every time, so no export can reproduce it."""

        calls = 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            Drifting.calls += 1
            return super().forward(images) + Drifting.calls

    with pytest.raises(GlioLoopError, match="EXPORT_FAILED"):
        export.export_network(Drifting(SMALL), 4, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_model_folder_is_what_the_registry_takes(through: TrainingPlan, tmp_path: Path) -> None:
    brain = replace(through, out=tmp_path / "brain", whole=True, shape=SMALL_BRAIN, steps=1, validate_every=1)
    train(brain, say=lambda text: None)
    folder = tmp_path / "models" / "gliounet" / "9.9.9"
    card = export.write_model(through.out / "last.pt", brain.out / "last.pt", folder, export.CardFacts(version="9.9.9"))
    from pipeline.registry import Registry  # noqa: PLC0415 - after the export that it reads

    installed = Registry(tmp_path / "models", tmp_path / "state", database_in(tmp_path / "state")).get(None)
    assert installed.card == card
    assert [installed.path(file).name for file in card.files] == ["model.onnx", "brain.onnx"]
