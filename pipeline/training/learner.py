"""One step of learning: what training from nothing and fine-tuning have in common."""

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from pipeline.training.checkpoints import update_average
from pipeline.training.losses import deep_loss
from pipeline.training.network import HalfResolutionUNet, SideHeads
from pipeline.training.samples import Sample, augment
from pipeline.training.weights import shape_of

#: Of the highest rate, what is left at the end of the schedule.
_LAST: Final = 0.02
#: Share of each output in the loss, by the number of outputs: brain alone; brain, WT, TC, ET; and cavity.
_WEIGHTS: Final = {1: (1.0,), 4: (0.3, 1.0, 1.0, 1.0), 5: (0.3, 1.0, 1.0, 1.0, 1.0)}


@dataclass
class Learner:
    """A network that learns.

    Attributes
    ----------
    network, sides
        What learns: the network, and its heads for deep supervision where there are any.
    average
        Moving average of the network's weights: what is validated and exported.
    optimiser
        Of network and heads.
    decay
        Of the average.
    clip
        Largest norm of the gradient.
    bfloat16
        Mixed precision.
    parent
        The network that fine-tuning starts from and that answers for the outputs a sample keeps; else None.
    also
        Networks that do not learn and whose outputs are averaged with this one's, as the card says.
    step
        Steps done.
    """

    network: HalfResolutionUNet
    sides: SideHeads | None
    average: HalfResolutionUNet
    optimiser: torch.optim.Optimizer
    decay: float
    clip: float
    bfloat16: bool
    parent: HalfResolutionUNet | None = None
    also: tuple[HalfResolutionUNet, ...] = ()
    step: int = 0

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.network.parameters()).device

    def learn(self, sample: Sample, rng: np.random.Generator, rate: float, crop: bool) -> float:
        """Take one step on one sample, varied; returns the loss."""
        multiple = shape_of(self.network).multiple
        return self.update(*augment(rng, sample, multiple, crop), rate, sample.kept)

    def update(self, images: np.ndarray, regions: np.ndarray, rate: float, kept: tuple[int, ...] = ()) -> float:
        """Take one step on what is given as it is, float32, shapes (4, z, y, x) and (regions, z, y, x).

        Regions that the network has no output for are left out.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        outputs = shape_of(self.network).outputs
        # a network from before cavities were drawn knows none
        x, target = tensors(images, regions[:outputs], self.device)
        others = self._others(x)
        kept = tuple(output for output in kept if output < outputs)
        if kept and self.parent is not None:
            target = self._kept(x, others, target, kept)
        weights = torch.tensor(_WEIGHTS[target.shape[1]], device=self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits, levels = self.network.decode(x)
            sides = self.sides(levels) if self.sides is not None else []
        loss = deep_loss(mean_of([logits.float(), *others]), sides, target, weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.optimiser.step()
        update_average(self.average, self.network, self.step, self.decay)
        self.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def _others(self, x: Tensor) -> list[Tensor]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            return [network(x).float() for network in self.also]

    @torch.no_grad()
    def _kept(self, x: Tensor, others: list[Tensor], target: Tensor, kept: tuple[int, ...]) -> Tensor:
        """The target with what the parent says in place of the outputs that are kept.

        Learning without forgetting (Li and Hoiem, ECCV 2016): at the first step nothing pulls these outputs away.
        """
        assert self.parent is not None
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            said = torch.sigmoid(mean_of([self.parent(x).float(), *others]))
        mixed = target.clone()
        mixed[:, list(kept)] = said[:, list(kept)]
        return mixed

    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to go on as if it had not stopped."""
        return {
            "network": self.network.state_dict(),
            "sides": self.sides.state_dict() if self.sides is not None else {},
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "shape": asdict(shape_of(self.network)),
        }

    def restore(self, stored: dict[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self.network.load_state_dict(stored["network"])
        if self.sides is not None:
            self.sides.load_state_dict(stored["sides"])
        self.average.load_state_dict(stored["average"])
        self.optimiser.load_state_dict(stored["optimiser"])
        self.step = int(stored["step"])


def start_learner(
    network: HalfResolutionUNet,
    *,
    rate: float,
    deep: bool,
    decay: float,
    clip: float,
    bfloat16: bool = True,
    parent: HalfResolutionUNet | None = None,
    also: tuple[HalfResolutionUNet, ...] = (),
) -> Learner:
    """Make a network ready to learn, on a GPU where there is one.

    Parameters
    ----------
    network
        With its first weights.
    rate
        Highest learning rate of AdamW.
    deep
        Whether the decoder's coarser levels take part in the loss.
    decay, clip
        As in :class:`Learner`.
    bfloat16
        Mixed precision, where the processor has it; about twice as fast there.
    parent, also
        As in :class:`Learner`.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.train().to(device, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    sides = SideHeads(shape_of(network)).to(device) if deep else None
    average = copy.deepcopy(network).requires_grad_(False)
    for fixed in (*also, *(() if parent is None else (parent,))):
        fixed.eval().requires_grad_(False).to(device, memory_format=torch.channels_last_3d)
    parameters = [*network.parameters(), *(sides.parameters() if sides is not None else ())]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-4)
    return Learner(network, sides, average, optimiser, decay, clip, bfloat16 and has_bfloat16(device), parent, also)


def mean_of(logits: list[Tensor]) -> Tensor:
    """Mean of the raw outputs of several networks."""
    return torch.stack(logits).mean(dim=0) if len(logits) > 1 else logits[0]


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16, rather than imitating it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def tensors(images: np.ndarray, regions: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """A sample's arrays as a batch of one."""
    x = torch.from_numpy(np.ascontiguousarray(images))[None].to(device, memory_format=torch.channels_last_3d)
    return x, torch.from_numpy(regions)[None].to(device)


def rate_at(step: int, steps: int, highest: float, warm: int) -> float:
    """Learning rate of a step: a warm-up of ``warm`` steps, then a cosine."""
    if step < warm:
        return highest * (step + 1) / warm
    done = min(1.0, (step - warm) / max(1, steps - warm))
    return highest * (_LAST + (1 - _LAST) * 0.5 * (1 + math.cos(math.pi * done)))
