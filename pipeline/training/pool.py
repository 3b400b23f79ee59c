"""Samples rendered ahead of the training by background processes, in an order that the seed alone decides."""

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.training.cases import NETWORK_MM
from pipeline.training.samples import Sample, draw_sample
from pipeline.training.synthesis.heads import Head, load_head
from pipeline.training.synthesis.tumour import TumourKind

BRAIN_MM = 4
"""Voxels of the brain network's grid."""
AHEAD = 120
"""Samples rendered ahead of need at most."""


def make_sample(
    paths: list[Path],
    whole: bool,
    seed: int,
    index: int,
    heads: dict[Path, Head],
    cache: Path,
    shares: Mapping[TumourKind, float] | None = None,
    spacing_mm: float = NETWORK_MM,
) -> Sample:
    """Render sample number ``index``: a function of its arguments alone."""
    rng = np.random.default_rng([seed, index])
    path = paths[int(rng.integers(len(paths)))]
    if path not in heads:
        heads[path] = load_head(path, BRAIN_MM if whole else spacing_mm, whole, cache)
    return draw_sample(rng, heads[path], whole, shares)


def _write(folder: Path, index: int, sample: Sample) -> None:
    partial = folder / f"{index:06d}.part.npz"
    np.savez(partial, images=sample.images, regions=sample.regions)
    partial.replace(folder / f"{index:06d}.npz")


def _work(folder: Path, make: Callable[[int], Sample], worker: int, workers: int, needed: object) -> None:
    import torch  # noqa: PLC0415  (only to keep a worker on one core)

    os.nice(5)
    torch.set_num_threads(1)
    index = int(needed.value)  # type: ignore[attr-defined]
    index += (worker - index) % workers
    parent = os.getppid()
    while os.getppid() == parent:
        if index > needed.value + AHEAD:  # type: ignore[attr-defined]
            time.sleep(0.2)
            continue
        if not (folder / f"{index:06d}.npz").exists():
            _write(folder, index, make(index))
        index += workers


class SamplePool:
    """A sliding window over the endless list of samples, each used several times.

    Parameters
    ----------
    paths
        Label maps.
    whole
        Whole heads at 4 mm (brain network) or boxes around the brain at 1.5 mm (tumour network).
    folder
        For the rendered samples (about 5 MB each) and the heads' tissue fractions.
    seed
        Decides every sample.
    workers
        Background processes; 0 renders when a sample is needed.
    reuse
        Steps per new sample.
    size
        Samples in the window.
    shares
        Of some kinds of tumour, as for :func:`~pipeline.training.synthesis.tumour.draw_kind`.
    """

    def __init__(
        self,
        paths: list[Path],
        whole: bool,
        folder: Path,
        seed: int,
        workers: int = 1,
        reuse: int = 4,
        size: int = 400,
        shares: Mapping[TumourKind, float] | None = None,
    ) -> None:
        self.reuse, self.size = reuse, size
        self.folder = folder / f"samples-{'head' if whole else 'brain'}-{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.workers = workers
        # Every process gets a copy, with heads of its own.
        self._make = partial(make_sample, paths, whole, seed, heads={}, cache=folder / "heads", shares=shares)
        self._processes: list[multiprocessing.process.BaseProcess] = []
        self._context = multiprocessing.get_context("spawn")
        self._needed = self._context.Value("l", 0)

    def start(self, step: int) -> None:
        """Start the background processes for a training that is at ``step``."""
        self._needed.value = max(0, self._window(step)[0])
        for worker in range(self.workers):
            target: Callable[..., None] = _work
            process = self._context.Process(
                target=target,
                args=(self.folder, self._make, worker, self.workers, self._needed),
                daemon=True,
            )
            process.start()
            self._processes.append(process)

    def stop(self) -> None:
        """End the background processes."""
        for process in self._processes:
            process.terminate()
            process.join(5)
        self._processes.clear()

    def _window(self, step: int) -> tuple[int, int]:
        stop = 24 + step // self.reuse
        return max(0, stop - self.size), stop

    def get(self, step: int, rng: np.random.Generator) -> Sample:
        """The sample for a step, waiting for it where it is not rendered yet."""
        start, stop = self._window(step)
        self._needed.value = max(stop - 1, self._needed.value)
        if start > 0:
            (self.folder / f"{start - 1:06d}.npz").unlink(missing_ok=True)
        # the newest is surely used once; between its turns a random one of the window
        index = stop - 1 if step % self.reuse == 0 else int(rng.integers(start, stop))
        return self.read(index)

    def read(self, index: int) -> Sample:
        """Sample number ``index``."""
        path = self.folder / f"{index:06d}.npz"
        while not path.exists():
            if not self._processes:
                _write(self.folder, index, self._make(index))
            elif not any(p.is_alive() for p in self._processes):
                raise RuntimeError("the rendering processes ended; see their traceback above")
            else:
                time.sleep(0.05)
        with np.load(path) as data:
            return Sample(data["images"], data["regions"])
