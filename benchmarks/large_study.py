"""Studies far finer than a network sees: seconds, processor seconds and peak memory of each stage.

Usage: python -m benchmarks.large_study [--size COLUMNS,ROWS,SLICES]... [--json]

The sample study, its four series resampled to each size, goes through ``segment`` in a process of its own.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.studies import Size, resampled
from pipeline.case.segment import segment_folder

SIZES: tuple[Size, ...] = ((512, 512, 300), (1024, 1024, 200))


def measure(size: Size) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="glioloop-large-") as folder:
        study = resampled(Path(folder) / "study", size)
        # A process of its own for each: the peak is the process's, and memory once taken stays.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            return pool.apply(segmented, (study, Path(folder) / "out"))


def segmented(study: Path, out: Path) -> dict[str, object]:
    """What each stage of ``segment`` takes in this process."""
    marks = [("start", *_now())]

    def progress(stage: str, _fraction: float | None) -> None:
        if marks[-1][0] != stage:
            marks.append((stage, *_now()))
            print(f"{stage}: after {marks[-1][2] - marks[0][2]:.1f} s of processor", file=sys.stderr, flush=True)

    result = segment_folder(study, out, None, progress)
    marks.append(("end", *_now()))
    stages = {
        name: {"seconds": round(end - begin, 1), "processor_s": round(used - before, 1), "peak_mib": round(peak)}
        for (name, begin, before, _), (_, end, used, peak) in pairwise(marks)
    }
    return {
        "stages": stages,
        "seconds": round(marks[-1][1] - marks[0][1], 1),
        "processor_s": round(marks[-1][2] - marks[0][2], 1),
        "peak_mib": round(marks[-1][3]),
        "volumes_ml": {region.value: volume for region, volume in result.volumes_ml.items()},
        "flags": [flag.code for flag in result.flags],
    }


def _now() -> tuple[float, float, float]:
    """Clock, processor seconds of this process, its peak memory in MiB so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _size(text: str) -> Size:
    columns, rows, slices = map(int, text.split(","))
    return columns, rows, slices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", action="append", type=_size)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {"x".join(map(str, size)): measure(size) for size in options.size or SIZES}
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for name, one in results.items():
        print(f"{name}: {one['seconds']} s, {one['processor_s']} s of processor, {one['peak_mib']} MiB")
        print(f"  {one['volumes_ml']} {one['flags']}")
        for stage, used in one["stages"].items():  # type: ignore[attr-defined]
            print(f"  {stage:10}" + "  ".join(f"{key} {value}" for key, value in used.items()))


if __name__ == "__main__":
    main()
