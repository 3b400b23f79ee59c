"""What networks run on: the faster of what is there, the same result by each; what was meant and lacks is told."""

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.inference import provider as module
from pipeline.inference.provider import candidates, fallback
from pipeline.inference.session import Network, _fastest
from pipeline.names import Provider
from tests.faults.network import endless
from tests.unit.inference.convolution import write_convolution

AUTO, CUDA, OPENVINO, CPU = Provider.AUTO, Provider.CUDA, Provider.OPENVINO, Provider.CPU


def _install(folder: Path, *names: str) -> None:
    """Metadata of distributions, as pip leaves them."""
    for name in names:
        made = folder / f"{name.replace('-', '_')}-1.22.0.dist-info"
        made.mkdir()
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.22.0\n")


def test_the_processor_is_as_meant_where_no_graphics_card_is() -> None:
    assert candidates(AUTO) == (OPENVINO, CPU)
    for used in (None, OPENVINO, CPU):
        assert fallback(AUTO, used) == ""
    for wanted in (OPENVINO, CPU):
        assert candidates(wanted) == (wanted,)
        assert fallback(wanted, wanted) == fallback(wanted) == ""


def test_both_distributions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(tmp_path, "onnxruntime-gpu")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "both installed" in fallback()
    assert "both installed" in fallback(AUTO, CPU)
    assert fallback(OPENVINO) == fallback(CPU, CPU) == ""


def test_cuda_that_was_asked_for_and_is_not_there() -> None:
    assert candidates(CUDA) == (OPENVINO, CPU)
    assert fallback(CUDA) == fallback(CUDA, CPU) == "onnxruntime-gpu is not installed"


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert candidates(AUTO) == candidates(OPENVINO) == (CPU,)
    assert fallback(AUTO, CPU) == ""
    assert fallback(OPENVINO) == fallback(OPENVINO, CPU) == "openvino is not installed"


def test_a_network_that_openvino_cannot_run(tmp_path: Path) -> None:
    axes = ["b", "c", "z", "y", "x"]
    graph = helper.make_graph(
        [helper.make_node("Det", ["images"], ["logits"])],
        "determinants",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, axes[:3])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    for wanted in ((OPENVINO, CPU), (OPENVINO,)):
        network = Network(path, wanted, (1, 4, 2, 2, 2))
        assert network.provider is CPU
        assert network(np.ones((1, 4, 2, 2, 2), dtype=np.float32)).shape == (1, 4, 2)
    assert fallback(OPENVINO, CPU) == "openvino cannot run this network"


def test_a_network_with_a_loop_is_not_compiled(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(endless())  # OpenVINO would run it to its end before anything is asked of it
    assert Network(path, (OPENVINO, CPU), (1, 4, 16, 16, 16)).provider is CPU


def test_the_faster_is_taken() -> None:
    def slow(images: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return images

    for order in ((OPENVINO, CPU), (CPU, OPENVINO)):
        runs = {one: slow if one is OPENVINO else (lambda images: images) for one in order}
        assert _fastest(runs, (1, 4, 16, 16, 16)) is CPU


def test_every_provider_gives_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    write_convolution(
        tmp_path / "model.onnx", rng.normal(0, 1, (4, 4, 1, 1, 1)).astype(np.float32), np.ones(4, np.float32)
    )
    images = rng.normal(0, 1, (1, 4, 8, 16, 24)).astype(np.float32)
    by = {one: Network(tmp_path / "model.onnx", (one,), (1, 4, 16, 16, 16)) for one in (OPENVINO, CPU)}
    assert [network.provider for network in by.values()] == [OPENVINO, CPU]
    assert np.allclose(by[OPENVINO](images), by[CPU](images), atol=1e-5)
