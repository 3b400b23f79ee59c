"""Networks made for faults: a small one that is done in a second, and one that never ends.

The campaign is about what happens around the work, at every stage; with these a cell takes seconds. They
run in the real onnxruntime, through the real registry, and their contours are real contours of something
bright, not of a tumour.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.names import MRSequence

NAME = "bright"
_DIMENSIONS = [1, 4, "z", "y", "x"]


def _model(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, _DIMENSIONS)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, "z", "y", "x"])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _weights() -> list[onnx.TensorProto]:
    # One convolution of one voxel: bright on FLAIR is the tumour, bright on T1c its core.
    kernel = np.zeros((3, 4, 1, 1, 1), np.float32)
    order = list(MRSequence)
    kernel[0, order.index(MRSequence.FLAIR)] = kernel[1:, order.index(MRSequence.T1C)] = 4.0
    bias = np.array([-9.0, -12.0, -14.0], np.float32)
    return [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(bias, "bias")]


def small() -> bytes:
    """A network that is done at once."""
    return _model([helper.make_node("Conv", ["images", "kernel", "bias"], ["logits"])], _weights())


def endless() -> bytes:
    """The same network behind a loop of 2**62 rounds: inference that hangs."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["value", "nothing"], ["next"]),
        ],
        "round",
        [
            helper.make_tensor_value_info("round_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.zeros(1, np.float32), "nothing")],
    )
    nodes = [
        helper.make_node("Loop", ["rounds", "true", "zero"], ["waited"], body=body),
        helper.make_node("Conv", ["images", "kernel", "bias"], ["found"]),
        helper.make_node("Add", ["found", "waited"], ["logits"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(2**62, np.int64), "rounds"),
        numpy_helper.from_array(np.array(True), "true"),
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
    ]
    return _model(nodes, _weights() + constants)


def install(models: Path, version: str, content: bytes) -> Path:
    """Put a network into a models folder; return its ONNX file."""
    folder = models / NAME / version
    folder.mkdir(parents=True)
    path = folder / "model.onnx"
    path.write_bytes(content)
    card = {
        "name": NAME,
        "version": version,
        "created": "2026-01-01",
        "description": "Delineates what is bright; for tests of faults.",
        "architecture": "one convolution",
        "licence": "AGPL-3.0-or-later",
        "opset": 17,
        "file": {"name": path.name, "sha256": hashlib.sha256(content).hexdigest()},
        "grid": {
            "order": [sequence.value for sequence in MRSequence],
            "spacing_mm": [4, 4, 4],
            "window": [64, 64, 64],
            "normalisation": "nonzero",
        },
        "outputs": [{"region": region, "channels": [channel]} for channel, region in enumerate(("WT", "TC", "ET"))],
        "postprocessing": {"minimum_component_ml": {"WT": 2, "TC": 2, "ET": 2}},
    }
    (folder / "model.json").write_text(json.dumps(card))
    return path
