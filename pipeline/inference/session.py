"""ONNX networks in memory: loaded once, on CUDA where there is one, on every core otherwise."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from scipy.special import expit, softmax

from pipeline.inference.provider import wanted_providers
from pipeline.registry import InstalledModel, NetworkFile

Array = npt.NDArray[np.float32]


class Network:
    """One ONNX file, ready to run.

    Parameters
    ----------
    path
        The file; its hash was checked by the registry.
    """

    def __init__(self, path: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        options.log_severity_level = 3
        self._session = ort.InferenceSession(str(path), options, providers=wanted_providers())
        self._input = self._session.get_inputs()[0].name

    @property
    def provider(self) -> str:
        """The execution provider in use."""
        return str(self._session.get_providers()[0])

    def __call__(self, images: Array) -> Array:
        """Run on (1, channels, z, y, x); returns the raw outputs (1, outputs, z, y, x), float32."""
        (found,) = self._session.run(None, {self._input: images.astype(np.float32, copy=False)})
        return np.asarray(found, dtype=np.float32)


class Average:
    """Networks with the same input and outputs as one.

    Parameters
    ----------
    networks
        At least one.
    """

    def __init__(self, *networks: Network) -> None:
        self._networks = networks

    @property
    def provider(self) -> str:
        """The execution provider of the first."""
        return self._networks[0].provider

    def __call__(self, images: Array) -> Array:
        """Return the mean of the raw outputs (1, outputs, z, y, x), float32."""
        return np.asarray(np.mean([network(images) for network in self._networks], axis=0), dtype=np.float32)


def load_network(model: InstalledModel, file: NetworkFile) -> Network:
    """Return a network of a model.

    Raises
    ------
    GlioLoopError
        MODEL_DAMAGED.
    """
    path = model.path(file)
    return _load(path, file.sha256)


@lru_cache(maxsize=4)
def _load(path: Path, _sha256: str) -> Network:
    return Network(path)


def activate(raw: Array, activation: str) -> Array:
    """Turn raw outputs, channels first, into probabilities."""
    if activation == "sigmoid":
        return np.asarray(expit(raw), dtype=np.float32)
    if activation == "softmax":
        return np.asarray(softmax(raw, axis=0), dtype=np.float32)
    return raw
