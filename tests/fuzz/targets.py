"""What is fuzzed: every damaged file must give a result or a GlioLoopError, in bounded time and memory."""

import io
import resource
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.errors import GlioLoopError
from pipeline.objects import Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.volume import SourceVolume, read_volume
from tests.fuzz.mutations import mutated
from tests.unit.objects.phantom import image_like, phantom_series, signed_distance, soft


@dataclass
class Outcome:
    """What came of a number of damaged files.

    Attributes
    ----------
    counts
        Results and codes of refusals, and how often each came.
    crashes
        Seed and text of every error that was not a GlioLoopError.
    slowest_s
        Longest time that one file took.
    grown_mib
        How far the peak of the process's memory rose.
    """

    counts: Counter[str] = field(default_factory=Counter)
    crashes: list[tuple[int, str]] = field(default_factory=list)
    slowest_s: float = 0.0
    grown_mib: float = 0.0


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def structure_set_bytes() -> tuple[bytes, SourceVolume]:
    """Return a small structure set with two ROIs, one with holes, and its volume."""
    headers, volume = phantom_series(shape=(6, 24, 28), pixels=False)
    distance = signed_distance(volume)
    regions = [
        RegionOfInterest(1, "GTV_WT", image_like(soft(9 - distance), volume)),
        RegionOfInterest(2, "GTV_ET", image_like(soft(np.minimum(7 - distance, distance - 3)), volume)),
    ]
    file = io.BytesIO()
    RTStructureSet(headers, volume, regions, Provenance("m@1")).save_as(file, enforce_file_format=True)
    return file.getvalue(), volume


def fuzz_structure_sets(seeds: range) -> Outcome:
    """Read damaged structure sets from files."""
    data, volume = structure_set_bytes()
    outcome, before = Outcome(), _peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rtstruct.dcm"
        for seed in seeds:
            path.write_bytes(mutated(data, seed))
            begin = time.perf_counter()
            try:
                rois = read_structure_set(path, volume)
                outcome.counts["read" if rois else "read, without ROIs"] += 1
            except GlioLoopError as error:
                outcome.counts[error.code] += 1
            except Exception as error:
                outcome.crashes.append((seed, f"{type(error).__name__}: {error}"))
            outcome.slowest_s = max(outcome.slowest_s, time.perf_counter() - begin)
    outcome.grown_mib = _peak_mib() - before
    return outcome


def fuzz_images(seeds: range) -> Outcome:
    """Read series with one damaged MR instance."""
    headers, _ = phantom_series(shape=(6, 24, 28))
    outcome, before = Outcome(), _peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.dcm" for index in range(len(headers))]
        for header, path in zip(headers, paths, strict=True):
            header.save_as(path, enforce_file_format=True)
        whole = [path.read_bytes() for path in paths]
        for seed in seeds:
            index = seed % len(paths)
            paths[index].write_bytes(mutated(whole[index], seed))
            begin = time.perf_counter()
            try:
                read_volume(paths)
                outcome.counts["read"] += 1
            except GlioLoopError as error:
                outcome.counts[error.code] += 1
            except Exception as error:
                outcome.crashes.append((seed, f"{type(error).__name__}: {error}"))
            outcome.slowest_s = max(outcome.slowest_s, time.perf_counter() - begin)
            paths[index].write_bytes(whole[index])
    outcome.grown_mib = _peak_mib() - before
    return outcome
