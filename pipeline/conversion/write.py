"""Networks of other tools to ONNX, checked against themselves, and to a folder with its card."""

from collections.abc import Sequence as Listing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime as ort
import torch
from pydantic import ValidationError
from torch import nn

from pipeline.conversion.described import Described
from pipeline.conversion.nnunet import told
from pipeline.conversion.request import ConversionRequest
from pipeline.errors import GlioLoopError
from pipeline.registry import CARD, ModelCard, NetworkFile

OPSET: Final = 18
PARITY: Final = 1e-3
"""Largest difference in probability between torch and onnxruntime that is accepted."""


def write(described: Described, networks: Listing[nn.Module], request: ConversionRequest) -> ModelCard:
    """Write the ONNX files and the card.

    Raises
    ------
    GlioLoopError
        EXPORT_FAILED, IMPORT_UNREADABLE.
    """
    request.out.mkdir(parents=True, exist_ok=True)
    files = []
    for number, network in enumerate(networks):
        path = request.out / (f"also-{number}.onnx" if number else "model.onnx")
        _export(network, (1, len(described.grid.order), *described.grid.window), path)
        files.append(NetworkFile.of(path))
    name = "".join(one if one.isalnum() or one in "._-" else "-" for one in request.name or described.name)[:64]
    try:
        card = ModelCard(
            name=name,
            version=request.version,
            created=datetime.now(UTC).date(),
            description=described.description,
            architecture=f"{described.architecture.name.rpartition('.')[2]}, from {request.tool}",
            licence=request.licence or described.licence or "not said by its folder",
            opset=OPSET,
            file=files[0],
            also=tuple(files[1:]),
            grid=described.grid,
            activation=described.activation,
            outputs=described.outputs,
            decision=described.decision,
            nesting=described.nesting,
            mirror_axes=described.mirror_axes,
            postprocessing=described.postprocessing,
            limitations=("Imported: how well it does was not measured here.", *described.notes),
        )
    except ValidationError as error:
        raise GlioLoopError("IMPORT_UNREADABLE", told(error)) from None
    (request.out / CARD).write_text(card.model_dump_json(indent=2) + "\n")
    return card


@torch.no_grad()
def _export(network: nn.Module, shape: tuple[int, ...], path: Path) -> None:
    images = torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    expected = torch.sigmoid(network(images)).numpy()
    torch.onnx.export(
        network,
        (images,),
        str(path),
        input_names=["images"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamo=False,
    )
    onnx.checker.check_model(str(path))
    (raw,) = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"images": images.numpy()})
    worst = float(np.abs(expected - 1 / (1 + np.exp(-raw))).max())
    if not worst <= PARITY:
        raise GlioLoopError("EXPORT_FAILED", f"torch and onnxruntime differ by {worst:.2g} in probability")
