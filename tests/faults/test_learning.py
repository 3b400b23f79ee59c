"""The same faults while the network learns, and while what it learnt is put to use.

One fine-tuning is made once, for real. A cell gets a copy of its folder that lacks what the cell is about
(for `fine-tune` the learnt weights), so that the phases around it end at once.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

pytest.importorskip("torch")

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.database.tables import PROMOTIONS
from pipeline.finetune.direct import plan_of, run_phases
from pipeline.finetune.learn import CHECKPOINT, LEARNT
from pipeline.jobs.finetuning import FinetuneRuns
from pipeline.names import Region, silent
from pipeline.registry import Registry
from pipeline.settings import Settings
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from tests.faults.campaign import DONE, FAULTS, FINETUNE, PROMOTE, Fault, NotApplicable
from tests.faults.site import ENDED, Layout, Site
from tests.faults.strikes import Mend, OpenGate, limit_memory, nothing
from tests.orthanc.conftest import copy_study, send
from tests.patience import PATIENCE, wait_for
from tests.unit.corrections.phantom import grown, phantom, write_case, write_threshold_model
from tests.unit.finetune.test_learning import fill_store

PARENT = "threshold@1.0.0"
CANDIDATE = "threshold@1.0.0-ft.1"
STEPS = 60
_POLICY = {"Steps": STEPS, "ReplayShare": 0.0, "LearningRate": 0.003, "AutomaticPromotion": True}
_CELLS = [
    pytest.param(fault, stage, id=f"{fault.name}-{stage}")
    for fault in FAULTS
    for stage in (FINETUNE, PROMOTE)
    if not isinstance(fault.ends[stage], NotApplicable)
]


def _policy(root: Path) -> dict[str, Any]:
    return {**_POLICY, "ReferenceSet": str(root / "reference")}


@dataclass(frozen=True)
class Learnt:
    """What a whole fine-tuning left: state (corrections, reference set, the run's folder) and models."""

    state: Path
    models: Path
    run: Path

    @property
    def policy(self) -> dict[str, Any]:
        """Settings of the fine-tuning."""
        return _policy(self.state.parent)

    def lay_out(self, layout: Layout) -> None:
        """Copy what a site needs before it starts."""
        shutil.copytree(self.models, layout.models)
        for name in ("feedback", "finetune"):
            ignored = shutil.ignore_patterns(self.run.name)
            shutil.copytree(self.state / name, layout.state / name, ignore=ignored, dirs_exist_ok=True)
        shutil.copy(self.state / "queue.sqlite", layout.state)  # the index of the corrections, and their key

    def prepare_run(self, state: Path, event: str, stage: str) -> str:
        """Give the fine-tuning that this event will start what the phases before the cell's have left."""
        identity = f"finetune-{hashlib.sha256(event.encode()).hexdigest()[:12]}"
        target = state / "finetune" / identity
        lacking = (LEARNT, CHECKPOINT) if stage == FINETUNE else ()
        shutil.copytree(self.run, target, ignore=shutil.ignore_patterns(*lacking, "log.txt"))
        return identity


@pytest.fixture(scope="session")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Learnt:
    """A fine-tuning that passes the guard, with a phantom for the reference set."""
    root = tmp_path_factory.mktemp("learnt")
    write_threshold_model(root / "models")
    settings = Settings(
        state_folder=root / "state",
        models_folder=root / "models",
        feedback=CorrectionPolicy(held_back_share=0.5),
        finetune=FinetunePolicy.model_validate(_policy(root)),
    )
    fill_store(settings.feedback_folder, root)
    images, truth = phantom(700)
    truth = {**truth, Region.WT: grown(truth[Region.WT])}
    write_case(root / "reference" / "phantom", images, truth, prefix="phantom_")
    plan = plan_of(settings, "finetune-000000000001", None, {}).model_copy(update={"niceness": 0})
    plan.write()
    run_phases(plan, silent)
    decision = json.loads((plan.folder / "decision.json").read_text())
    assert decision["passed"], decision["reason"]
    return Learnt(plan.state_folder, plan.models_folder, plan.folder)


# --- strikes that differ from those on a clinical job ---


def _halt_learner(site: Site, gate: OpenGate) -> Mend:
    pid = site.learner_pid()
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the halted process's end")
    return gate() or nothing


def _take_learners_memory(site: Site, gate: OpenGate) -> Mend:
    limit_memory(site.learner_pid(), spare_bytes=1 << 20)
    return gate() or nothing  # the limit ends with the process


def _change(path: Path, gate: OpenGate) -> Mend:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    gate()
    return lambda: path.write_bytes(whole) and None  # type: ignore[func-returns-value]


def _remove(path: Path, gate: OpenGate) -> Mend:
    whole = path.read_bytes()
    path.unlink()
    gate()
    return lambda: path.write_bytes(whole) and None  # type: ignore[func-returns-value]


def _strike_of(fault: Fault, stage: str, run: str) -> Callable[[Site, OpenGate], Mend]:
    if stage == FINETUNE and fault.name == "stage hangs":
        return _halt_learner
    if stage == FINETUNE and fault.name.startswith("out of memory"):
        return _take_learners_memory
    if fault.name.startswith("model file"):
        damage = _change if fault.name.endswith("changed") else _remove

        def strike(site: Site, gate: OpenGate) -> Mend:
            parent = site.layout.models / "threshold" / "1.0.0" / "model.onnx"
            candidate = site.layout.state / "finetune" / run / "model" / "model.onnx"
            return damage(parent if stage == FINETUNE else candidate, gate)

        return strike
    return fault.strike


@pytest.mark.parametrize(("fault", "stage"), _CELLS)
def test_cell(
    learnt: Learnt, tmp_path: Path, small_study: Path, fault: Fault, stage: str, record_cell: Callable[..., Any]
) -> None:
    with record_cell(fault.name, stage) as outcome, contextlib.ExitStack() as stack:
        layout = Layout(tmp_path / "site")
        stack.enter_context(fault.surroundings(layout))
        learnt.lay_out(layout)
        settings = {"Model": "", "Finetune": learnt.policy, "Feedback": {"HeldBackShare": 0.5}, **fault.settings}
        environment = fault.environment(layout)
        site = stack.enter_context(
            Site(layout, small_study, {**settings, "Automatic": False}, environment, fault.separate_worker)
        )
        run = _start(site, learnt, stage, "first", fault.moments)
        mends = []
        strike = _strike_of(fault, stage, run)
        for moment in fault.moments if stage == PROMOTE else ("in the middle",):
            _wait_for_stage(site, run, stage, moment)
            mends.append(strike(site, lambda moment=moment: site.gates.open(stage, moment)))
            site.gates.open(stage, moment)
        ended = _end(site, run, 60)
        for mend in mends:
            mend()
        waited = ended is None
        ended = ended or _end(site, run, 240)
        assert ended is not None, f"no end, although the fault is mended: {_run(site, run)}"
        end = ended["state"] if ended["state"] == DONE else f"{ended['state']}: {(ended['error'] or {}).get('code')}"
        assert end in fault.ends[stage], ended["error"]
        if ended["state"] != DONE:
            assert _current(site) == PARENT
            again = _end(site, _start(site, learnt, stage, "again", ()), 240)
            assert again is not None
            assert again["state"] == DONE, again["error"]
            end += "; mended and asked again: done"
            ended = again
        outcome("waited; " * waited + str(end))
        _check(site, ended)


def _start(site: Site, learnt: Learnt, stage: str, event: str, moments: tuple[str, ...]) -> str:
    identity = learnt.prepare_run(site.layout.state, event, stage)
    if stage == PROMOTE:
        for moment in moments:
            site.gates.shut(stage, moment)
    queue = site.queue()
    assert FinetuneRuns(queue).enqueue(event) == identity
    queue.close()
    return identity


def _wait_for_stage(site: Site, run: str, stage: str, moment: str) -> None:
    if stage == PROMOTE:
        site.wait_at(stage, moment)
        return
    checkpoint = site.layout.state / "finetune" / run / CHECKPOINT

    def learns() -> bool:
        return _run(site, run)["phase"] == "learn" and checkpoint.exists() and site.learner_pid() > 0

    wait_for(learns, 120, "the learning")


def _run(site: Site, run: str) -> dict[str, Any]:
    return dict(site.ask(f"/glioloop/finetune/{run}"))


def _end(site: Site, run: str, seconds: float) -> dict[str, Any] | None:
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        found = _run(site, run)
        if found["state"] in ENDED:
            return found
        time.sleep(0.2)
    return None


def _registry(site: Site) -> Registry:
    return Registry(site.layout.models, site.layout.state, database_in(site.layout.state))


def _current(site: Site) -> str:
    return _registry(site).get(None).card.identity


def _check(site: Site, ended: dict[str, Any]) -> None:
    """One network came of it, whole and in use once; the trail says so; Orthanc answered."""
    assert ended["result"]["promoted"] is True, ended["result"]
    assert _current(site) == CANDIDATE
    with database_in(site.layout.state).connect() as connection:
        assert connection.execute(select(PROMOTIONS.c.model)).scalars().all() == [CANDIDATE]
    model = _registry(site).get(CANDIDATE)
    for file in model.card.files:
        model.path(file)
    trail = AuditTrail(database_in(site.layout.state))
    assert trail.verify() == []
    assert {one.subject for one in trail.entries() if one.event == "promoted"} == {CANDIDATE}
    site.check_answers()


def test_a_clinical_job_starts_while_the_network_learns(learnt: Learnt, tmp_path: Path, small_study: Path) -> None:
    """A study that arrives during a fine-tuning is at work within 10 s, and the fine-tuning makes room."""
    layout = Layout(tmp_path / "site")
    learnt.lay_out(layout)
    settings = {"Model": "", "Finetune": {**learnt.policy, "Steps": 5000}, "Feedback": {"HeldBackShare": 0.5}}
    with Site(layout, small_study, {**settings, "Automatic": True}) as site:
        pair = site.pair
        wait_for(lambda: all(job["state"] in ENDED for job in pair.get("/glioloop/jobs")), 120, "quiet")
        run = _start(site, learnt, FINETUNE, "long", ())
        _wait_for_stage(site, run, FINETUNE, "")
        study = send(pair, copy_study(small_study, tmp_path / "study", "t1", "t1c", "t2", "flair"))
        wait_for(lambda: bool(pair.get(f"/glioloop/jobs?study={study}")), 60, "a job")
        queued = time.monotonic()
        wait_for(lambda: pair.get(f"/glioloop/jobs?study={study}")[0]["stage"] is not None, 60, "the job's first stage")
        assert time.monotonic() - queued < 10
        ended = ("done", "refused")
        wait_for(
            lambda: _run(site, run)["paused"] or pair.get(f"/glioloop/jobs?study={study}")[0]["state"] in ended,
            20,
            "a pause",
        )
        assert pair.post(f"/glioloop/finetune/{run}/cancel").status_code == httpx.codes.OK
        assert _run(site, run)["state"] == "cancelled"
        assert pair.wait_job("done", "failed", "refused", study=study)["state"] in ended
