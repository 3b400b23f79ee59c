"""Networks of one convolution of 1x1x1: what each output says is known by hand."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def write_convolution(path: Path, weights: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
    """Write a network as ONNX; ``weights`` of shape (outputs, inputs, 1, 1, 1), ``bias`` of shape (outputs,)."""
    axes = ["b", "c", "z", "y", "x"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "w", "b"], ["logits"])],
        "convolution",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, axes)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
