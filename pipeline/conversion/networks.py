"""Networks of other tools built from what their folders say, and weights read without running what may be in them.

Classes are taken from lists: plans and bundles may name anything, and what is named is never looked up.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy._core import multiarray
from pydantic import JsonValue
from torch import nn

from pipeline.conversion.described import Architecture, Described
from pipeline.errors import GlioLoopError

_NNUNET: Final = {
    "PlainConvUNet": "dynamic_network_architectures.architectures.unet",
    "ResidualEncoderUNet": "dynamic_network_architectures.architectures.unet",
}
_MONAI: Final = {"SegResNet": "monai.networks.nets.segresnet", "UNet": "monai.networks.nets.unet"}
_LAYERS: Final = ("Conv2d", "Conv3d", "InstanceNorm2d", "InstanceNorm3d", "BatchNorm2d", "BatchNorm3d")
_LAYERS_OF_NO_DIMENSION: Final = ("LeakyReLU", "ReLU", "GELU", "SiLU", "Dropout2d", "Dropout3d")
_NAMED: Final = ("conv_op", "norm_op", "dropout_op", "nonlin")


class OnGrid(nn.Module):
    """A network with its axes turned to those of the grid, (z, y, x); one of planes takes them one by one."""

    def __init__(self, network: nn.Module, axes: tuple[int, int, int], flat: bool) -> None:
        super().__init__()
        self.network, self.flat = network, flat
        self.there = [0, 1, *(2 + axis for axis in axes)]
        self.back = [0, 1, *(2 + axes.index(axis) for axis in range(3))]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the raw outputs of images (1, channels, z, y, x)."""
        images = images.permute(self.there)
        found: torch.Tensor = self.network(images.squeeze(2) if self.flat else images)
        return (found.unsqueeze(2) if self.flat else found).permute(self.back)


def read_weights(path: Path) -> dict[str, object]:
    """Return what a checkpoint holds, read without running code that may be in it.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    GlioLoopError
        IMPORT_UNTRUSTED; IMPORT_UNREADABLE.
    """
    # nnU-Net keeps its curves with its weights, as numpy's scalars.
    scalar = multiarray.scalar
    numbers = [type(np.dtype(one)) for one in (np.float64, np.float32, np.int64, np.int32, np.bool_)]
    allowed: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
        np.dtype,
        *numbers,
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise GlioLoopError("IMPORT_UNREADABLE", f"{path.name}: {str(error).partition(chr(10))[0]}") from None
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        lines = [line.strip() for line in str(error).splitlines()]
        reason = next((line for line in lines if "GLOBAL" in line or "Unsupported" in line), lines[0])
        raise GlioLoopError("IMPORT_UNTRUSTED", f"{path.name}: {reason}") from None
    if not isinstance(found, dict):
        raise GlioLoopError("IMPORT_UNREADABLE", f"{path.name} holds no weights by name")
    return found


def build(described: Described, weights: Mapping[str, object]) -> OnGrid:
    """Build a network and give it its weights.

    Raises
    ------
    GlioLoopError
        IMPORT_UNSUPPORTED for an architecture that is not known; IMPORT_UNREADABLE where the weights are another's.
    """
    network = _network(described.architecture)
    own = {key.removeprefix("module.").removeprefix("_orig_mod."): one for key, one in weights.items()}
    try:
        network.load_state_dict({key: one for key, one in own.items() if isinstance(one, torch.Tensor)})
    except RuntimeError as error:
        first = " ".join(str(error).split())[:300]
        raise GlioLoopError("IMPORT_UNREADABLE", f"the weights are not this network's: {first}") from None
    return OnGrid(network.eval(), described.axes, described.flat).eval()


def _network(architecture: Architecture) -> nn.Module:
    module, _, name = architecture.name.rpartition(".")
    if name in _NNUNET and module.startswith("dynamic_network_architectures"):
        arguments = _with_layers(architecture.arguments) | {"deep_supervision": False}
        source = _NNUNET[name]
    elif name in _MONAI and (not module or module.startswith("monai.networks.nets")):
        arguments, source = dict(architecture.arguments), _MONAI[name]
    else:
        raise GlioLoopError("IMPORT_UNSUPPORTED", f"architecture {architecture.name}")
    try:
        made = getattr(import_module(source), name)(**arguments)
    except ImportError as error:
        raise GlioLoopError("IMPORT_UNAVAILABLE", str(error)) from None
    except (TypeError, ValueError, AssertionError) as error:
        raise GlioLoopError("IMPORT_UNREADABLE", f"{name} cannot be built: {error}") from None
    if not isinstance(made, nn.Module):
        raise TypeError(name)
    return made


def _with_layers(arguments: Mapping[str, JsonValue]) -> dict[str, object]:
    """Plans name layers by their path."""
    found: dict[str, object] = dict(arguments)
    for key in _NAMED:
        path = arguments.get(key)
        if path is None:
            continue
        module, _, name = str(path).rpartition(".")
        if not module.startswith("torch.nn") or name not in (*_LAYERS, *_LAYERS_OF_NO_DIMENSION):
            raise GlioLoopError("IMPORT_UNSUPPORTED", f"{key} {path}")
        found[key] = getattr(nn, name)
    return found
