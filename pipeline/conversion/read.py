"""Folders of other tools to built networks."""

from typing import Final

import torch

from pipeline.conversion import monai, nnunet
from pipeline.conversion.described import Described
from pipeline.conversion.networks import OnGrid, build, read_weights
from pipeline.conversion.request import ConversionRequest
from pipeline.errors import GlioLoopError

_SAFE: Final = "weights were read without running code (weights_only)"
_SCRIPT: Final = "weights were taken from TorchScript, none of whose code was run"


def read(request: ConversionRequest) -> tuple[Described, list[OnGrid], str]:
    """Return what a folder says, its networks, and how its weights were read.

    Raises
    ------
    GlioLoopError
        IMPORT_UNREADABLE, IMPORT_UNSUPPORTED, IMPORT_CHANNEL_UNKNOWN, IMPORT_REGION_UNKNOWN, IMPORT_UNTRUSTED.
    """
    return _nnunet(request) if request.tool == "nnunet" else _monai(request)


def _monai(request: ConversionRequest) -> tuple[Described, list[OnGrid], str]:
    described = monai.describe(request)
    path = monai.weights_of(request)
    if path.suffix == ".ts":
        try:
            script = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise GlioLoopError("IMPORT_UNREADABLE", f"{path.name}: {str(error).partition(chr(10))[0]}") from None
        # Its weights alone: the network is built from the configuration.
        return described, [build(described, script.state_dict())], _SCRIPT
    weights = read_weights(path)
    named = (weights[key] for key in ("state_dict", "model", "network") if isinstance(weights.get(key), dict))
    inner = next(named, weights)
    if not isinstance(inner, dict):
        raise GlioLoopError("IMPORT_UNREADABLE", f"{path.name} holds no weights by name")
    return described, [build(described, inner)], _SAFE


def _nnunet(request: ConversionRequest) -> tuple[Described, list[OnGrid], str]:
    described: Described | None = None
    networks = []
    for path in nnunet.checkpoints(request):
        found = read_weights(path)
        arguments, weights = found.get("init_args"), found.get("network_weights")
        if not isinstance(arguments, dict) or not isinstance(weights, dict):
            raise GlioLoopError("IMPORT_UNREADABLE", f"{path.name} is no checkpoint of nnU-Net v2")
        mirroring = found.get("inference_allowed_mirroring_axes")
        axes = tuple(int(axis) for axis in mirroring) if isinstance(mirroring, (list, tuple)) else None
        one = nnunet.describe(request, str(arguments.get("configuration")), axes)
        if described not in (None, one):
            raise GlioLoopError("IMPORT_UNREADABLE", "the folds are of different configurations")
        described = one
        networks.append(build(one, weights))
    if described is None:
        raise GlioLoopError("IMPORT_UNREADABLE", "no checkpoint")
    return described, networks, _SAFE
