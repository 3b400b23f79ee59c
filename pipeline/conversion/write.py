"""Networks of other tools to ONNX, checked against themselves, and to a folder with its card."""

from collections.abc import Sequence as Listing
from datetime import UTC, datetime
from typing import Final

from pydantic import ValidationError
from torch import nn

from pipeline.conversion.described import Described, told
from pipeline.conversion.request import ConversionRequest
from pipeline.errors import GlioLoopError
from pipeline.registry import CARD, ModelCard, NetworkFile
from pipeline.training.export import OPSET, write_onnx

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
        write_onnx(network, [(1, len(described.grid.order), *described.grid.window)], path, PARITY)
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
