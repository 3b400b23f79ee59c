"""ONNX networks in memory: loaded once, on CUDA where there is one, else on every core by what is faster there."""

import os
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import structlog
from scipy.special import expit, softmax

from pipeline.inference.provider import EXECUTION, candidates
from pipeline.names import Provider
from pipeline.registry import InputGrid, InstalledModel, NetworkFile

log = structlog.get_logger()

Array = npt.NDArray[np.float32]
Run = Callable[[Array], Array]

#: Voxels along each axis of what providers are compared on, and runs of each of which the quickest counts.
_TRIAL_VOXELS: Final = 32
_TRIALS: Final = 2
#: Of networks, by their files' SHA-256, what was the fastest for an earlier process of this worker.
_known: dict[str, Provider] = {}
#: Operations of OpenVINO that hold networks of their own.
_CONTROL_FLOW: Final = frozenset({"Loop", "TensorIterator", "If"})


class Network:
    """One ONNX file, ready to run.

    Parameters
    ----------
    path
        The file; its hash was checked by the registry.
    providers
        What it may run on, at least one; of several the fastest is taken.
    trial
        Shape (1, channels, z, y, x) of what they are compared on.

    Attributes
    ----------
    provider
        What it runs on.
    """

    def __init__(self, path: Path, providers: tuple[Provider, ...], trial: tuple[int, ...]) -> None:
        runs = _loaded(path, providers, trial)
        self.provider = _fastest(runs, trial)
        self._run = runs[self.provider]

    def __call__(self, images: Array) -> Array:
        """Run on (1, channels, z, y, x); returns the raw outputs (1, outputs, z, y, x), float32."""
        return np.asarray(self._run(np.ascontiguousarray(images, dtype=np.float32)), dtype=np.float32)


def _loaded(path: Path, providers: tuple[Provider, ...], trial: tuple[int, ...]) -> dict[Provider, Run]:
    """Load a network for each provider that can run it; the processor can always."""
    runs: dict[Provider, Run] = {}
    for provider in providers:
        if provider is Provider.OPENVINO:
            try:
                run = _by_openvino(path)
                run(np.zeros(trial, dtype=np.float32))
                runs[provider] = run
            except RuntimeError as error:  # an operation that OpenVINO does not know, in a network of a site's own
                log.warning("network not loaded", provider=provider.value, file=path.name, error=type(error).__name__)
        else:
            used, run = _by_onnxruntime(path, provider)
            runs[used] = run
    return runs or dict([_by_onnxruntime(path, Provider.CPU)])


def _by_onnxruntime(path: Path, provider: Provider) -> tuple[Provider, Run]:
    """Load by onnxruntime; the provider that it took in the end, which is the processor where CUDA does not start."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    # A thread that waits by spinning keeps a core from another job's, and gains nothing with networks of this size.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    session = ort.InferenceSession(
        str(path), options, providers=list(dict.fromkeys((EXECUTION[provider], EXECUTION[Provider.CPU])))
    )
    name = session.get_inputs()[0].name
    used = next(one for one, execution in EXECUTION.items() if execution == session.get_providers()[0])
    return used, lambda images: np.asarray(session.run(None, {name: images})[0])


def _by_openvino(path: Path) -> Run:
    """Load by OpenVINO, in float32: its default on processors that have bfloat16 would move contours.

    Threads are not tied to cores, since another job's may run beside them.

    Raises
    ------
    RuntimeError
        Where it does not know an operation, and for networks with loops or branches.
    """
    import openvino  # noqa: PLC0415  (an extra)

    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": len(os.sched_getaffinity(0)),
        "ENABLE_CPU_PINNING": False,
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    network = core.read_model(str(path))
    if any(operation.get_type_name() in _CONTROL_FLOW for operation in network.get_ops()):
        # It would run loops over what it knows already, for as long as they take, while it compiles.
        raise RuntimeError("control flow")
    compiled = core.compile_model(network, "CPU", options)
    return lambda images: np.asarray(compiled(images)[0])


def _fastest(runs: Mapping[Provider, Run], trial: tuple[int, ...]) -> Provider:
    """Compare what is there by running it; the same masks come of each, so that only time decides."""
    if len(runs) == 1:
        return next(iter(runs))
    images = np.zeros(trial, dtype=np.float32)
    seconds = {provider: float("inf") for provider in runs}
    for round_ in range(1 + _TRIALS):  # the first is for memory and kernels to be laid out
        for provider, run in runs.items():
            begun = time.perf_counter()
            run(images)
            if round_:
                seconds[provider] = min(seconds[provider], time.perf_counter() - begun)
    return min(seconds, key=seconds.__getitem__)


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
    def provider(self) -> Provider:
        """What the first runs on."""
        return self._networks[0].provider

    def __call__(self, images: Array) -> Array:
        """Return the mean of the raw outputs (1, outputs, z, y, x), float32."""
        return np.asarray(np.mean([network(images) for network in self._networks], axis=0), dtype=np.float32)


def load_network(model: InstalledModel, file: NetworkFile, provider: Provider = Provider.AUTO) -> Network:
    """Return a network of a model.

    Parameters
    ----------
    model, file
        Which.
    provider
        What it shall run on.

    Raises
    ------
    GlioLoopError
        MODEL_DAMAGED.
    """
    path = model.path(file)
    brain = model.card.brain
    grid = model.card.grid if brain is None or file != brain.file else brain.grid
    possible = candidates(provider)
    known = _known.get(file.sha256)
    return _load(path, file.sha256, (known,) if known in possible else possible, _trial_shape(grid))


def load_networks(
    model: InstalledModel, provider: Provider = Provider.AUTO, known: Mapping[str, Provider] | None = None
) -> dict[str, Provider]:
    """Load every network of a model, so that none is waited for later.

    Parameters
    ----------
    model, provider
        What shall run on what.
    known
        What an earlier call returned, in another process: nothing is measured again.

    Returns
    -------
    dict
        By the SHA-256 of a network's file, what it runs on.

    Raises
    ------
    GlioLoopError
        MODEL_DAMAGED.
    """
    _known.update(known or {})
    return {file.sha256: load_network(model, file, provider).provider for file in model.card.files}


def _trial_shape(grid: InputGrid) -> tuple[int, ...]:
    side = -(-_TRIAL_VOXELS // grid.multiple) * grid.multiple
    return (1, len(grid.order), *(grid.window if grid.fixed else (side,) * 3))


@lru_cache(maxsize=4)
def _load(path: Path, _sha256: str, providers: tuple[Provider, ...], trial: tuple[int, ...]) -> Network:
    return Network(path, providers, trial)


def activate(raw: Array, activation: str) -> Array:
    """Turn raw outputs, channels first, into probabilities."""
    if activation == "sigmoid":
        return np.asarray(expit(raw), dtype=np.float32)
    if activation == "softmax":
        return np.asarray(softmax(raw, axis=0), dtype=np.float32)
    return raw
