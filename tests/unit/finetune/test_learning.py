"""A small fine-tuning for real: a systematic correction is learnt, shuffled masks are not let through."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError
from pipeline.finetune.candidate import judge
from pipeline.finetune.direct import plan_of, register, run_phases
from pipeline.finetune.learn import LEARNT, learn
from pipeline.finetune.phases import SAMPLES, Phase, tidy
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.prepare import prepare
from pipeline.finetune.work import work
from pipeline.names import Region, silent
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from pipeline.training.checkpoints import averaged_network
from tests.unit.corrections.phantom import (
    grown,
    keep_phantoms,
    patient_of,
    phantom,
    record,
    write_case,
    write_threshold_model,
)


def _settings(folder: Path, **finetune: object) -> Settings:
    return Settings(
        state_folder=folder / "state",
        models_folder=folder / "models",
        feedback=CorrectionPolicy(held_back_share=0.5),
        finetune=FinetunePolicy(
            reference_set=folder / "reference",
            replay_share=0.0,
            learning_rate=3e-3,
            **finetune,  # type: ignore[arg-type]
        ),
    )


def _plan(settings: Settings, grow: int) -> FinetunePlan:
    """A plan that rehearses nothing; the reference set holds phantoms whose tumour is grown by ``grow`` voxels."""
    _write_reference(settings.state_folder.parent / "reference", grow)
    plan = plan_of(settings, "finetune-000000000001", None, {})
    plan = plan.model_copy(update={"sample_study": settings.state_folder / "none", "niceness": 0})
    plan.write()
    return plan


def _write_reference(folder: Path, grow: int) -> None:
    for number in range(3):
        images, truth = phantom(500 + number)
        regions = {**truth, Region.WT: grown(truth[Region.WT], grow)}
        name = f"reference-{number}"
        write_case(folder / name, images, regions, prefix=f"{name}_")


def fill_store(folder: Path, work: Path) -> None:
    """Keep corrections of phantoms, each of a patient of its own."""
    keep_phantoms(CorrectionStore(folder, database_in(folder.parent), CorrectionPolicy(held_back_share=0.5)), work)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    write_threshold_model(tmp_path / "models")
    return tmp_path


def test_a_systematic_correction_is_learnt_and_passes(site: Path) -> None:
    settings = _settings(site, steps=60)
    fill_store(settings.feedback_folder, site)
    plan = _plan(settings, grow=1)
    assert (len(plan.learn), len(plan.held_back)) == (3, 6)
    run_phases(plan, silent)
    tidy(plan.folder)
    assert not (plan.folder / SAMPLES).exists(), "patients' images do not outlive the run"
    assert not list(plan.folder.glob("*.pt"))
    outcome = register(plan, promote=True)
    assert outcome.decision.passed, outcome.decision.reason
    assert outcome.decision.corrections is not None and outcome.decision.corrections.change >= 0.05
    registry = Registry(settings.models_folder, settings.state_folder, database_in(settings.state_folder))
    current = registry.get(None).card
    assert current.identity == outcome.model == "threshold@1.0.0-ft.1"
    assert current.lineage is not None
    assert current.lineage.parent == "threshold@1.0.0"
    assert current.lineage.cases == plan.learn
    assert current.metrics
    assert registry.rollback().card.identity == "threshold@1.0.0"

    # Another network under the same version, made and installed by somebody else: this verdict does not promote it.
    installed = settings.state_folder / "models" / "threshold" / "1.0.0-ft.1" / "model.json"
    whole = installed.read_text()
    installed.write_text(whole.replace(current.sha256, "0" * 64))
    with pytest.raises(GlioLoopError) as another:
        register(plan, promote=True)
    assert another.value.code == "MODEL_INVALID"
    assert registry.get(None).card.identity == "threshold@1.0.0"
    installed.write_text(whole)

    # The same candidate against a reference set that draws tumours as they are: it stays a candidate.
    plan = plan.model_copy(update={"reference_set": site / "strict"})
    _write_reference(plan.reference_set, grow=0)
    shutil.rmtree(plan.folder / "scores")
    judge(plan, lambda _fraction: None)
    decision = json.loads((plan.folder / "decision.json").read_text())
    assert not decision["passed"]
    assert "Worse on the reference set" in decision["reason"]

    # Taken back by who made it, at any moment of the run: no phase goes on, and nothing is installed.
    plan.store().delete(plan.learn[0])
    for go_on in (lambda: work(lambda _fraction: None, plan.folder, Phase.LEARN), lambda: register(plan, promote=True)):
        with pytest.raises(GlioLoopError) as withdrawn:
            go_on()
        assert (withdrawn.value.code, withdrawn.value.detail) == ("CORRECTION_WITHDRAWN", plan.learn[0])


def test_shuffled_masks_do_not_pass(site: Path) -> None:
    settings = _settings(site, steps=30)
    store = CorrectionStore(settings.feedback_folder, database_in(settings.state_folder), settings.feedback)
    keep_phantoms(store, site, shuffled=True)
    plan = _plan(settings, grow=0)
    run_phases(plan, silent)
    outcome = register(plan, promote=True)
    assert not outcome.decision.passed
    assert not outcome.promoted
    registry = Registry(settings.models_folder, settings.state_folder, database_in(settings.state_folder))
    assert registry.get(None).card.identity == "threshold@1.0.0"


def test_the_same_corrections_teach_the_same(tmp_path: Path) -> None:
    """Two installations, each with its own key, whatever the order, the names and the event; one is stopped midway."""
    learnt = []
    for number, order in enumerate(((0, 1), (1, 0))):
        site = tmp_path / f"site-{number}"
        write_threshold_model(site / "models")
        settings = _settings(site, steps=2, threads=1)
        store = CorrectionStore(settings.feedback_folder, database_in(settings.state_folder), settings.feedback)
        for place, patient in enumerate(order):
            files = write_case(site / f"files-{patient}", *phantom(patient))
            named = patient_of(store, "learn", place)
            store.keep(record(place, patient=named, study=f"{number}{place:015x}", fingerprint=f"{place}"), files)
        _write_reference(site / "reference", 1)
        plan = plan_of(settings, f"finetune-00000000000{number}", None, {})
        prepare(plan, _go_on)
        if number:
            with pytest.raises(KeyboardInterrupt):
                learn(plan, _stop_midway)
        learn(plan, _go_on)
        learnt.append(averaged_network(plan.folder / LEARNT).state_dict())
    first, second = learnt
    assert all(first[name].equal(second[name]) for name in first)


def _go_on(_fraction: float) -> None:
    pass


def _stop_midway(fraction: float) -> None:
    if fraction == 0.5:
        raise KeyboardInterrupt


def test_nothing_to_learn_is_a_refusal(site: Path) -> None:
    with pytest.raises(GlioLoopError) as refused:
        plan_of(_settings(site), "finetune-000000000002", None, {})
    assert refused.value.code == "NOTHING_TO_LEARN"
