"""The training loop: restartable, logged, the same for the same seed."""

import csv
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from pipeline.names import Progress, silent
from pipeline.training.cases import NETWORK_MM
from pipeline.training.checkpoints import load_checkpoint, save_checkpoint
from pipeline.training.curves import draw_curves
from pipeline.training.learner import Learner, has_bfloat16, rate_at, start_learner, tensors
from pipeline.training.network import BRAIN_SHAPE, TUMOUR_SHAPE, HalfResolutionUNet, NetworkShape
from pipeline.training.pool import SamplePool, make_sample
from pipeline.training.real import Arrays, RealCases
from pipeline.training.samples import Sample, augment
from pipeline.training.synthesis.heads import Head, head_paths
from pipeline.training.synthesis.tumour import TumourKind
from pipeline.training.weights import network_from_onnx, widened

OUTPUT_NAMES = {True: ("brain",), False: ("brain", "WT", "TC", "ET", "cavity")}
SCORED = {True: ("brain",), False: ("WT", "TC", "ET")}
"""What the best checkpoint is chosen by."""
VALIDATION_SEED = 987_654


@dataclass(frozen=True)
class TrainingPlan:
    """What to train and for how long.

    Attributes
    ----------
    heads
        Folder of label maps; those of ``HELD_OUT`` serve validation only.
    out
        Folder for checkpoint, log, curves and rendered samples.
    whole
        True: the brain network (whole head, 4 mm); False: the tumour network (brain, 1.5 mm).
    steps
        Length of the schedule: warm-up, then a cosine down to 2 % of the rate.
    minutes
        Stop after this long even if steps remain; the checkpoint lets it go on.
    seed
        Decides weights, samples and their order.
    rate
        Peak learning rate of AdamW.
    cases
        Folder of BraTS-layout cases to mix in, None for synthetic studies only.
    tuning
        Folder of BraTS-layout cases to validate on; None validates on rendered studies of the heads held out.
    case_share
        Share of steps on a real case; in the others a real tumour is pasted into a part of the rendered heads.
    bfloat16
        Mixed precision with channels last; about twice as fast where the processor has bfloat16.
    workers
        Rendering processes.
    drawers
        Threads that draw what the next steps learn from.
    reuse
        Steps per rendered sample.
    validate_every, validation_studies
        Steps between validations, and studies of the heads held out that each takes.
    threads
        Of torch; None leaves its default.
    shape
        Another size of network.
    start
        ONNX file of an earlier network to go on from; its size is taken, too. None starts from random weights.
    patience
        Validations without a better mean Dice after which the rate is halved; the third time, training stops.
        0 trains through the whole schedule.
    healthy, cavities
        Share of rendered heads without a tumour, and after surgery; None as in ``KIND_SHARES``.
    """

    heads: Path
    out: Path
    whole: bool = False
    steps: int = 6000
    minutes: float = 240
    seed: int = 1
    rate: float = 1.5e-3
    cases: Path | None = None
    tuning: Path | None = None
    case_share: float = 0.7
    bfloat16: bool = True
    workers: int = 1
    drawers: int = 1
    reuse: int = 4
    validate_every: int = 250
    validation_studies: int = 12
    threads: int | None = None
    shape: NetworkShape | None = None
    start: Path | None = None
    patience: int = 0
    healthy: float | None = None
    cavities: float | None = None


HALVINGS = 2
"""Times that the rate is halved on a plateau before training stops."""


@dataclass
class TrainingState:
    """What changes while training.

    Attributes
    ----------
    learner
        The network and what a step needs.
    best
        Best mean Dice in validation.
    waited, halvings
        Validations since the best one or the last halving; times the rate was halved on a plateau.
    losses
        Of this run's steps.
    """

    learner: Learner
    best: float = -1.0
    waited: int = 0
    halvings: int = 0
    losses: list[float] = field(default_factory=list)


def rate_of(plan: TrainingPlan, step: int, halvings: int = 0) -> float:
    """Learning rate of a step: 100 steps of warm-up, a cosine, and half of it after every plateau."""
    return rate_at(step, plan.steps, plan.rate, warm=min(100, plan.steps // 5 + 1)) * 0.5**halvings


def shares_of(plan: TrainingPlan) -> dict[TumourKind, float]:
    """Kinds of rendered heads of which the plan sets the share."""
    given = {TumourKind.NONE: plan.healthy, TumourKind.CAVITY: plan.cavities}
    return {kind: share for kind, share in given.items() if share is not None}


def prepare(plan: TrainingPlan, resume: bool) -> TrainingState:
    """Fresh state, or that of the checkpoint in ``plan.out``."""
    torch.manual_seed(plan.seed)
    if plan.start is not None:
        network = widened(network_from_onnx(plan.start), len(OUTPUT_NAMES[plan.whole]))
    else:
        network = HalfResolutionUNet(plan.shape or (BRAIN_SHAPE if plan.whole else TUMOUR_SHAPE))
    learner = start_learner(network, rate=plan.rate, deep=True, decay=0.998, clip=5.0, bfloat16=plan.bfloat16)
    state = TrainingState(learner)
    path = plan.out / "last.pt"
    if resume and path.exists():
        stored = load_checkpoint(path)
        learner.restore(stored)
        for name in ("best", "waited", "halvings"):
            setattr(state, name, stored[name])
    return state


def _store(plan: TrainingPlan, state: TrainingState, name: str) -> None:
    found = {"best": state.best, "waited": state.waited, "halvings": state.halvings, "seed": plan.seed}
    save_checkpoint(plan.out / name, state.learner.state() | found)


def validation_samples(plan: TrainingPlan, cache: Path) -> list[Sample]:
    """The cases for tuning, else fixed studies of the heads held out."""
    if plan.tuning is not None:
        return RealCases(plan.tuning, cache.parent / "cases").straight()
    _, held = head_paths(plan.heads)
    heads: dict[Path, Head] = {}
    return [make_sample(held, plan.whole, VALIDATION_SEED, k, heads, cache) for k in range(plan.validation_studies)]


@torch.no_grad()
def validate(plan: TrainingPlan, network: HalfResolutionUNet, samples: list[Sample]) -> dict[str, float]:
    """Mean Dice of each output over the samples that have it, and ml of tumour found where there is none."""
    count = len(OUTPUT_NAMES[plan.whole])
    device = next(network.parameters()).device
    mixed = plan.bfloat16 and has_bfloat16(device)
    false = 0.0
    dice: list[list[float]] = [[] for _ in range(count)]
    for sample in samples:
        x, target = tensors(sample.images.astype(np.float32), sample.regions.astype(np.float32), device)
        with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
            found = (network(x) > 0)[0].cpu().numpy()
        truth = target[0].cpu().numpy() > 0.5
        for k in range(count):
            if truth[k].sum() > 20:
                dice[k].append(2 * (found[k] & truth[k]).sum() / (found[k].sum() + truth[k].sum()))
        if count > 1 and not truth[1].any():
            false += float(found[1].sum()) * NETWORK_MM**3 / 1000
    result = {
        name: float(np.mean(d)) if d else float("nan") for name, d in zip(OUTPUT_NAMES[plan.whole], dice, strict=True)
    }
    return {**result, "false_ml": false}


def _log(plan: TrainingPlan, row: dict[str, float]) -> None:
    path = plan.out / "log.csv"
    fresh = not path.exists()
    with path.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    draw_curves(path, plan.out / "curves.png")


def train(
    plan: TrainingPlan, resume: bool = False, say: Callable[[str], None] = print, progress: Progress = silent
) -> TrainingState:
    """Train until the schedule or the time ends.

    Parameters
    ----------
    plan
        What and for how long.
    resume
        Go on from ``plan.out/last.pt``.
    say
        Takes a line a validation.
    progress
        Told how much of the schedule is done.

    Returns
    -------
    TrainingState
        With the final weights; ``plan.out`` holds ``last.pt``, ``best.pt`` (best validation), log.csv, curves.png.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    if plan.threads:
        torch.set_num_threads(plan.threads)
    state = prepare(plan, resume)
    learner = state.learner
    training, _ = head_paths(plan.heads)
    pool = SamplePool(
        training, plan.whole, plan.out / "cache", plan.seed, plan.workers, plan.reuse, shares=shares_of(plan)
    )
    cases = RealCases(plan.cases, plan.out / "cache" / "cases") if plan.cases else None
    pool.start(learner.step)
    began = time.monotonic()
    try:
        progress("prepare what is validated with", None)
        held = validation_samples(plan, plan.out / "cache" / "heads")
        drawn = _Drawn(plan, pool, cases)
        while _goes_on(plan, state) and time.monotonic() - began < plan.minutes * 60:
            rate = rate_of(plan, learner.step, state.halvings)
            state.losses.append(learner.update(*drawn.get(learner.step), rate))
            progress(f"train, {plan.steps} steps", learner.step / plan.steps)
            if learner.step % plan.validate_every == 0 or learner.step == plan.steps:
                _checkpoint(plan, state, held, time.monotonic() - began, say)
    finally:
        pool.stop()
        _store(plan, state, "last.pt")
    return state


class _Drawn:
    """What the steps learn from, drawn while earlier ones are taken: a function of seed and step alone."""

    def __init__(self, plan: TrainingPlan, pool: SamplePool, cases: RealCases | None) -> None:
        self._plan, self._pool, self._cases = plan, pool, cases
        self._drawers = ThreadPoolExecutor(plan.drawers)
        self._ahead: dict[int, Future[Arrays]] = {}

    def get(self, step: int) -> Arrays:
        """Images and regions of a step."""
        for one in range(step, step + 1 + self._plan.drawers):
            if one not in self._ahead:
                self._ahead[one] = self._drawers.submit(self._draw, one)
        return self._ahead.pop(step).result()

    def _draw(self, step: int) -> Arrays:
        rng = np.random.default_rng([self._plan.seed, 1, step])
        if self._cases is None:
            shape = self._plan.shape or (BRAIN_SHAPE if self._plan.whole else TUMOUR_SHAPE)
            return augment(rng, self._pool.get(step, rng), shape.multiple, not self._plan.whole)
        if rng.random() < self._plan.case_share:
            return self._cases.draw(rng)
        return self._cases.draw_into(rng, self._pool.get(step, rng))


def _goes_on(plan: TrainingPlan, state: TrainingState) -> bool:
    return state.learner.step < plan.steps and state.halvings <= HALVINGS


def _checkpoint(
    plan: TrainingPlan, state: TrainingState, held: list[Sample], seconds: float, say: Callable[[str], None]
) -> None:
    step = state.learner.step
    scores = validate(plan, state.learner.average, held)
    recent = float(np.mean(state.losses[-plan.validate_every :]))
    row = {
        "step": step,
        "seconds": round(seconds, 1),
        "rate": rate_of(plan, step, state.halvings),
        "loss": recent,
        **scores,
    }
    _log(plan, row)
    regions = [v for k, v in scores.items() if k in SCORED[plan.whole]]
    mean = float(np.nanmean(regions))
    state.waited += 1
    if mean > state.best:
        state.best, state.waited = mean, 0
        _store(plan, state, "best.pt")
    elif plan.patience and state.waited >= plan.patience:
        state.halvings, state.waited = state.halvings + 1, 0
    _store(plan, state, "last.pt")
    say(" ".join(f"{k}={v:.4g}" for k, v in row.items()))
