"""Phase ``learn``: few steps from the network in use, on corrections and on replayed cases.

Against forgetting, other cases are rehearsed beside the corrections (Robins, Connection Science 7, 1995), with what
the network in use says of them as their truth (Li and Hoiem, ECCV 2016): what nobody corrected is to stay. The weights
are averaged over the steps.
"""

import copy
import math
from typing import Final

import numpy as np
import torch

from pipeline.child.task import Report
from pipeline.errors import GlioLoopError
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.prepare import CORRECTION, REPLAY, read_samples, rehearsed
from pipeline.training.checkpoints import load_checkpoint, save_average, save_checkpoint
from pipeline.training.learner import Learner, rate_at, start_learner
from pipeline.training.weights import networks_of

CHECKPOINT: Final = "learn.pt"
LEARNT: Final = "learnt.pt"
_KEEP_EVERY: Final = 10
_DECAY: Final = 0.97
_CLIP: Final = 1.0


def learn(plan: FinetunePlan, between: Report) -> None:
    """Fine-tune and keep the averaged weights.

    Parameters
    ----------
    plan
        The fine-tuning, with its samples.
    between
        Called between two steps with the fraction done; may raise to stop, after which the next call of
        this function goes on with the step that was stopped at.

    Raises
    ------
    GlioLoopError
        NOTHING_TO_LEARN, MODEL_NOT_TRAINABLE, FINETUNE_FAILED where the loss is no longer a number.
    """
    steps = plan.policy.steps
    if (plan.folder / LEARNT).exists():
        return
    corrections, replayed = read_samples(plan, CORRECTION), rehearsed(read_samples(plan, REPLAY))
    if not corrections:
        raise GlioLoopError("NOTHING_TO_LEARN", "no sample could be made")
    learner = _learner(plan)
    try:
        while learner.step < steps:
            between(learner.step / steps)
            rng = np.random.default_rng([plan.seed, 2, learner.step])
            again = bool(replayed) and rng.random() < plan.policy.replay_share
            pool = replayed if again else corrections
            rate = rate_at(learner.step, steps, plan.policy.learning_rate, warm=max(1, steps // 20))
            loss = learner.learn(pool[int(rng.integers(len(pool)))], rng, rate, crop=True)
            if not math.isfinite(loss):
                raise GlioLoopError("FINETUNE_FAILED", f"the loss is {loss} at step {learner.step}")
            if learner.step % _KEEP_EVERY == 0:
                print(f"step {learner.step} loss {loss:.4f}", flush=True)
                save_checkpoint(plan.folder / CHECKPOINT, learner.state())
    finally:
        save_checkpoint(plan.folder / CHECKPOINT, learner.state())
    save_average(plan.folder / LEARNT, learner.average)


def _learner(plan: FinetunePlan) -> Learner:
    if plan.policy.threads:
        torch.set_num_threads(plan.policy.threads)
    torch.manual_seed(plan.seed)
    network, *also = networks_of(plan.parent_model())
    learner = start_learner(
        network,
        rate=plan.policy.learning_rate,
        deep=False,
        decay=_DECAY,
        clip=_CLIP,
        parent=copy.deepcopy(network),
        also=tuple(also),
    )
    path = plan.folder / CHECKPOINT
    if path.exists():
        learner.restore(load_checkpoint(path))
    return learner
