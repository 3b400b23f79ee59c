"""Samples of real cases: posed, mixed and varied, and still images with their own truth."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk

torch = pytest.importorskip("torch")

from typer.testing import CliRunner

from pipeline.cli.application import app
from pipeline.training import loop
from pipeline.training.carve import paste
from pipeline.training.cases import NETWORK_MM
from pipeline.training.distort import Pose, cut
from pipeline.training.intensity import vary_image
from pipeline.training.learner import start_learner
from pipeline.training.loop import TrainingPlan, train, validate
from pipeline.training.network import HalfResolutionUNet, NetworkShape
from pipeline.training.real import RealCases
from pipeline.training.recipes import RECIPES
from pipeline.training.samples import Sample
from tests.unit.training.heads import write_heads

SMALL = NetworkShape(outputs=5, features=(8, 8, 8), refine=4)
SIZE = (64, 80, 64)


def _ball(shape: tuple[int, ...], centre: tuple[float, ...], radius: float) -> npt.NDArray[np.bool_]:
    where = np.indices(shape) - np.array(centre).reshape(3, 1, 1, 1)
    return np.asarray((where**2).sum(0) < radius**2)


def _write_case(folder: Path, centre: tuple[float, ...], radius: float) -> None:
    """A ball of a brain of 50 mm with a tumour, at 1 mm."""
    folder.mkdir(parents=True)
    shape = (110, 112, 108)
    brain, whole = _ball(shape, (55, 56, 54), 50), _ball(shape, centre, radius)
    core, enhancing = _ball(shape, centre, radius * 0.7), _ball(shape, centre, radius * 0.4)
    rng = np.random.default_rng(len(folder.name))
    signals = {
        "t1": (100, 70, 60, 60),
        "t1ce": (100, 70, 60, 200),
        "t2": (80, 160, 170, 150),
        "flair": (80, 190, 150, 150),
    }
    for name, (tissue, oedema, necrosis, bright) in signals.items():
        picture = np.select([enhancing, core, whole], [bright, necrosis, oedema], tissue) + rng.normal(0, 6, shape)
        sitk.WriteImage(sitk.GetImageFromArray((picture * brain).astype(np.float32)), str(folder / f"c_{name}.nii.gz"))
    labels = np.select([enhancing, core, whole], [4, 1, 2], 0).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(folder / "c_seg.nii.gz"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    _write_case(folder / "left", (60, 50, 75), 14)
    _write_case(folder / "right", (50, 60, 30), 10)
    return folder


@pytest.fixture(scope="module")
def cases(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> RealCases:
    return RealCases(folder, tmp_path_factory.mktemp("cache"))


def test_a_case_as_it_is_keeps_volumes_and_places(cases: RealCases) -> None:
    for sample, centre, radius in zip(cases.straight(), ((60, 50, 75), (50, 60, 30)), (14, 10), strict=True):
        brain, whole, core, enhancing, cavity = (region.astype(bool) for region in sample.regions)
        assert not cavity.any()
        expected = 4 / 3 * np.pi * np.array([50, radius, 0.7 * radius, 0.4 * radius]) ** 3 / NETWORK_MM**3
        found = [int(region.sum()) for region in (brain, whole, core, enhancing)]
        np.testing.assert_allclose(found, expected, rtol=0.12, atol=8)
        middle = np.argwhere(whole).mean(0) - (np.array(whole.shape) - 1) / 2
        np.testing.assert_allclose(middle * NETWORK_MM, np.array(centre) - (55, 56, 54), atol=1.5)
        assert sample.images[3][whole].mean() > sample.images[3][brain & ~whole].mean() + 1


def test_a_mirrored_pose_brings_the_tumour_to_the_other_side(cases: RealCases) -> None:
    straight = cut(cases.cases[0], Pose.straight(), SIZE)
    mirrored = cut(cases.cases[0], Pose(np.diag([1.0, 1.0, -1.0]), np.zeros(3)), SIZE)
    np.testing.assert_allclose(mirrored.fields, straight.fields[..., ::-1], atol=1e-2)


def test_a_scaled_pose_changes_the_volume(cases: RealCases) -> None:
    # twice as many millimetres of the case on one of the grid: everything is half as large
    small = cut(cases.cases[0], Pose(np.eye(3) * 2, np.zeros(3)), SIZE)
    straight = cut(cases.cases[0], Pose.straight(), SIZE)
    assert small.regions[0].sum() == pytest.approx(straight.regions[0].sum() / 8, rel=0.1)


def test_samples_are_standardised_nested_and_the_same_for_the_same_seed(cases: RealCases) -> None:
    present = []
    for seed in range(12):
        images, regions = cases.draw(np.random.default_rng(seed))
        again = cases.draw(np.random.default_rng(seed))
        assert np.array_equal(images, again[0])
        assert np.array_equal(regions, again[1])
        assert images.dtype == regions.dtype == np.float32
        assert images.shape[1:] == regions.shape[1:]
        assert np.isfinite(images).all()
        assert 0 <= regions.min() <= regions.max() <= 1 + 1e-6
        seen = (images != 0).any(0)
        assert not regions[:, ~seen].any()
        assert (regions[3] <= regions[2] + 1e-5).all()
        assert (regions[2] <= regions[1] + 1e-5).all()
        present.append([bool(image.any()) for image in images])
    assert all(any(one) for one in present)
    assert not all(all(one) for one in present)


def test_a_pasted_tumour_comes_with_its_signal_and_its_truth(cases: RealCases) -> None:
    donor, host = (cut(case, Pose.straight(), SIZE) for case in cases.cases)
    mixed = paste(np.random.default_rng(0), donor, host)
    both = (donor.regions[0] > 0.5) | (host.regions[0] > 0.5)
    assert ((mixed.regions[0] > 0.5) == both).mean() > 0.999
    core = donor.regions[2] > 0.5
    np.testing.assert_allclose(mixed.images[1][core], donor.images[1][core], rtol=1e-4)
    away = host.tumour_mm < -1
    np.testing.assert_array_equal(mixed.images[:, away], host.images[:, away])


def test_a_rendered_head_takes_a_real_tumour(cases: RealCases) -> None:
    brain = _ball((80, 96, 80), (40, 48, 40), 26)
    images = np.where(brain, np.random.default_rng(3).normal(0, 1, (4, *brain.shape)), 0).astype(np.float16)
    regions = np.zeros((5, *brain.shape), np.uint8)
    regions[0] = brain
    drawn = [cases.draw_into(np.random.default_rng(seed), Sample(images, regions)) for seed in range(12)]
    with_tumour = [regions[1].any() for _, regions in drawn]
    assert any(with_tumour)
    assert not all(with_tumour)
    assert all(size % 16 == 0 for images, _ in drawn for size in images.shape[1:])


def test_an_image_that_lacks_stays_empty() -> None:
    empty = np.zeros((8, 8, 8), np.float32)
    assert not vary_image(np.random.default_rng(0), empty, np.ones((8, 8, 8), bool)).any()


def test_training_on_cases_resumes_exactly_and_is_validated_on_others(folder: Path, tmp_path: Path) -> None:
    plan = TrainingPlan(
        heads=write_heads(tmp_path / "heads"),
        out=tmp_path / "through",
        cases=folder,
        tuning=folder,
        case_share=1.0,
        steps=2,
        workers=0,
        validate_every=1,
        bfloat16=False,
        shape=SMALL,
    )
    through = train(plan, say=lambda text: None)
    parted = TrainingPlan(**{**vars(plan), "out": tmp_path / "parted"})
    for minutes in (1e-9, 1e-9, 10.0):
        state = train(TrainingPlan(**{**vars(parted), "minutes": minutes}), resume=True, say=lambda text: None)
    assert state.learner.step == through.learner.step == 2
    for name, value in state.learner.network.state_dict().items():
        torch.testing.assert_close(value, through.learner.network.state_dict()[name], rtol=0, atol=0)
    assert (plan.out / "log.csv").read_text().splitlines()[0].endswith("brain,WT,TC,ET,cavity,false_ml")


@pytest.mark.parametrize("has", [True, False])
def test_validation_asks_the_processor_before_it_uses_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    seen = []

    class Watched(HalfResolutionUNet):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().forward(images)

    monkeypatch.setattr(loop, "has_bfloat16", lambda device: has)
    sample = Sample(np.zeros((4, 16, 16, 16), np.float16), np.zeros((5, 16, 16, 16), np.uint8))
    validate(TrainingPlan(tmp_path, tmp_path, bfloat16=True), Watched(SMALL), [sample])
    assert seen == [has]


def test_a_recipe_sets_what_is_not_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plans: list[TrainingPlan] = []

    def keep(plan: TrainingPlan, *_: object) -> loop.TrainingState:
        plans.append(plan)
        network = HalfResolutionUNet(SMALL)
        return loop.TrainingState(start_learner(network, rate=1e-3, deep=False, decay=0.9, clip=1.0))

    monkeypatch.setattr(loop, "train", keep)
    common = ["train", "--heads", str(tmp_path), "--out", str(tmp_path), "--recipe", "real"]
    runner = CliRunner()
    assert runner.invoke(app, [*common, "--cases", str(tmp_path), "--steps", "7"]).exit_code == 0
    assert plans[0].steps == 7
    assert plans[0].reuse == RECIPES["real"]["reuse"]
    assert plans[0].cases == tmp_path
    assert runner.invoke(app, common).exit_code == 2
    assert runner.invoke(app, [*common[:-1], "other", "--cases", str(tmp_path)]).exit_code == 2
