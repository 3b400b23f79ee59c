"""Checkpoints: everything a training needs to go on as if it had not stopped."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.training.network import HalfResolutionUNet, NetworkShape
from pipeline.training.weights import shape_of


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write atomically."""
    partial = path.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read tensors and plain values only; nothing in the file is executed."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def save_average(path: Path, network: HalfResolutionUNet) -> None:
    """Write what :func:`averaged_network` reads, and nothing that only learning on needs."""
    save_checkpoint(path, {"average": network.state_dict(), "shape": asdict(shape_of(network))})


def averaged_network(path: Path) -> HalfResolutionUNet:
    """The network with its averaged weights, in evaluation mode."""
    state = load_checkpoint(path)
    shape = state["shape"]
    network = HalfResolutionUNet(NetworkShape(**{**shape, "features": tuple(shape["features"])}))
    network.load_state_dict(state["average"])
    return network.eval()


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Exponential moving average of the weights, quick in the first steps."""
    kept = min(decay, (1 + step) / (10 + step))
    for mean, value in zip(average.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - kept)
