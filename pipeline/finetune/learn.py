"""Phase ``learn``: few steps from the network in use, on corrections and on replayed cases.

Rehearsing old cases beside new ones is the simplest remedy against forgetting and hard to beat
(Robins, Connection Science 7, 1995); the rate is small and the weights are averaged over the steps.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from pipeline.errors import GlioLoopError
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.prepare import CORRECTION, REPLAY, read_samples, rehearsed
from pipeline.training.checkpoints import load_checkpoint, save_checkpoint, update_average
from pipeline.training.losses import dice_and_cross_entropy
from pipeline.training.network import HalfResolutionUNet
from pipeline.training.samples import Sample, augment
from pipeline.training.weights import network_from_onnx, shape_of

CHECKPOINT: Final = "learn.pt"
LEARNT: Final = "learnt.pt"
_KEEP_EVERY: Final = 10
_DECAY: Final = 0.97
_CLIP: Final = 1.0
#: Share of each output (brain, WT, TC, ET) in the loss, as in the shipped network's training.
_WEIGHTS: Final = (0.3, 1.0, 1.0, 1.0)


@dataclass
class _State:
    network: HalfResolutionUNet
    average: HalfResolutionUNet
    optimiser: torch.optim.Optimizer
    device: torch.device
    bfloat16: bool
    step: int = 0


def rate_at(step: int, steps: int, highest: float) -> float:
    """Learning rate: a short warm-up, then a cosine to a fiftieth."""
    warm = max(1, steps // 20)
    if step < warm:
        return highest * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return highest * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def learn(plan: FinetunePlan, between: Callable[[float], None]) -> None:
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
    state = _state(plan)
    try:
        while state.step < steps:
            between(state.step / steps)
            rng = np.random.default_rng([plan.seed, 2, state.step])
            again = bool(replayed) and rng.random() < plan.policy.replay_share
            pool = replayed if again else corrections
            loss = _step(state, pool[int(rng.integers(len(pool)))], rng, plan)
            if not math.isfinite(loss):
                raise GlioLoopError("FINETUNE_FAILED", f"the loss is {loss} at step {state.step}")
            state.step += 1
            if state.step % _KEEP_EVERY == 0:
                print(f"step {state.step} loss {loss:.4f}", flush=True)
                _keep(state, plan.folder / CHECKPOINT)
    finally:
        _keep(state, plan.folder / CHECKPOINT)
    save_checkpoint(
        plan.folder / LEARNT, {"average": state.average.state_dict(), "shape": asdict(shape_of(state.average))}
    )


def _state(plan: FinetunePlan) -> _State:
    if plan.policy.threads:
        torch.set_num_threads(plan.policy.threads)
    torch.manual_seed(plan.seed)
    model = plan.parent_model()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network_from_onnx(model.path(model.card.file)).to(device)
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.train()
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.policy.learning_rate, weight_decay=1e-4)
    state = _State(network, average, optimiser, device, _has_bfloat16(device))
    path = plan.folder / CHECKPOINT
    if path.exists():
        stored = load_checkpoint(path)
        network.load_state_dict(stored["network"])
        average.load_state_dict(stored["average"])
        optimiser.load_state_dict(stored["optimiser"])
        state.step = int(stored["step"])
    return state


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _step(state: _State, sample: Sample, rng: np.random.Generator, plan: FinetunePlan) -> float:
    for group in state.optimiser.param_groups:
        group["lr"] = rate_at(state.step, plan.policy.steps, plan.policy.learning_rate)
    images, regions = augment(rng, sample, shape_of(state.network).multiple, crop=True)
    x = torch.from_numpy(np.ascontiguousarray(images))[None].to(state.device, memory_format=torch.channels_last_3d)
    target = torch.from_numpy(regions)[None].to(state.device)
    with torch.autocast(state.device.type, torch.bfloat16, enabled=state.bfloat16):
        logits = state.network(x)
    loss = dice_and_cross_entropy(logits.float(), target, torch.tensor(_WEIGHTS, device=state.device))
    state.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), _CLIP)
    state.optimiser.step()
    update_average(state.average, state.network, state.step, _DECAY)
    return float(loss.detach())


def _keep(state: _State, path: Path) -> None:
    save_checkpoint(
        path,
        {
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
        },
    )
