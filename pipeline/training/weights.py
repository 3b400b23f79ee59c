"""A network's weights out of its ONNX file: the start of fine-tuning needs nothing beside what is deployed.

The exporter names initialisers after PyTorch's parameters, so that they find their places by name; and
numbers are all that is read: nothing in the file is executed.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn

from pipeline.errors import GlioLoopError
from pipeline.registry import InstalledModel
from pipeline.training.network import HalfResolutionUNet, NetworkShape

#: Raw output of a region that was never learnt.
_NO = -5.0


def networks_of(model: InstalledModel) -> tuple[HalfResolutionUNet, ...]:
    """Return the tumour networks of a model: the one that learns, and those that are averaged with it.

    Raises
    ------
    GlioLoopError
        MODEL_DAMAGED, MODEL_NOT_TRAINABLE.
    """
    return tuple(network_from_onnx(model.path(file)) for file in model.card.tumour_files)


def network_from_onnx(path: Path) -> HalfResolutionUNet:
    """Rebuild a network of this product with the weights of an ONNX file.

    Parameters
    ----------
    path
        The file; whoever calls has checked its hash.

    Returns
    -------
    HalfResolutionUNet
        In evaluation mode, on the CPU.

    Raises
    ------
    GlioLoopError
        MODEL_NOT_TRAINABLE where the file holds another architecture.
    """
    model = onnx.load(path)
    weights = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in model.graph.initializer}
    try:
        network = HalfResolutionUNet(_shape(weights))
        network.load_state_dict({name: weights[name] for name in network.state_dict()})
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise GlioLoopError("MODEL_NOT_TRAINABLE", f"{path.name}: {type(error).__name__}") from error
    return network.eval()


def _shape(weights: dict[str, torch.Tensor]) -> NetworkShape:
    """Read the sizes of a network from those of its weights."""
    levels = {int(found[1]) for name in weights if (found := re.match(r"encoder\.(\d+)\.", name))}
    features = tuple(weights[f"encoder.{level}.0.weight"].shape[0] for level in sorted(levels))
    return NetworkShape(
        inputs=weights["encoder.0.0.weight"].shape[1] // 8,
        outputs=weights["refine.2.weight"].shape[0],
        features=features,
        refine=weights["refine.0.weight"].shape[0],
    )


def shape_of(network: HalfResolutionUNet) -> NetworkShape:
    """Return the sizes of a network."""
    return _shape(network.state_dict())


def mix(parent: HalfResolutionUNet, learnt: HalfResolutionUNet, share: float) -> HalfResolutionUNet:
    """Return the network whose every weight lies ``share`` of the way from parent to learnt."""
    mixed = copy.deepcopy(parent)
    with torch.no_grad():
        for weight, other in zip(mixed.parameters(), learnt.parameters(), strict=True):
            weight.lerp_(other, share)
    return mixed.eval()


def widened(network: HalfResolutionUNet, outputs: int) -> HalfResolutionUNet:
    """Return the network with as many outputs; those that it did not have say no everywhere, and can learn."""
    shape = shape_of(network)
    if shape.outputs >= outputs:
        return network
    wider = HalfResolutionUNet(replace(shape, outputs=outputs))
    last = wider.refine[2]
    assert isinstance(last, nn.Conv3d)
    assert last.bias is not None
    nn.init.zeros_(last.weight)
    nn.init.constant_(last.bias, _NO)
    weights = wider.state_dict()
    for name, value in network.state_dict().items():
        weights[name][: len(value)] = value
    wider.load_state_dict(weights)
    return wider.eval()


def soften(network: HalfResolutionUNet, temperatures: Mapping[int, float]) -> HalfResolutionUNet:
    """Return the network whose raw outputs are divided by a temperature each, by number of the output.

    Temperature scaling (Guo et al., ICML 2017): what is found stays the same where thresholds follow, and
    probabilities say how often they are right.
    """
    softened = copy.deepcopy(network)
    last = softened.refine[2]
    assert isinstance(last, nn.Conv3d)
    assert last.bias is not None
    with torch.no_grad():
        for output, temperature in temperatures.items():
            last.weight[output] /= temperature
            last.bias[output] /= temperature
    return softened.eval()
