"""Each stage of ``segment``: seconds, processor seconds and peak memory, on the sample and on two real studies.

python -m benchmarks.stages [--study NAME=DIR]... [--json]

``start`` is finding the files and reading their headers. Imports are not told: a job's child has done them before.
"""

import argparse
import json
import multiprocessing
import tempfile
from pathlib import Path

from benchmarks.environment import shared_data
from benchmarks.large_study import segmented
from benchmarks.studies import SAMPLE


def measure(study: Path) -> dict[str, object]:
    # A process of its own for each: the peak is the process's, and networks are loaded anew.
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="glioloop-stages-") as folder, spawn.Pool(1) as pool:
        return pool.apply(segmented, (study, Path(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", action="append", metavar="NAME=DIR", help="instead of those three")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    named = dict(one.split("=", 1) for one in options.study or ())
    studies = {name: Path(folder) for name, folder in named.items()} or {
        "sample": SAMPLE,
        "clinical": shared_data("tcga-fg-6692", "dicom"),
        "upenn": shared_data("upenn-gbm-00463"),
    }
    results = {name: measure(folder) for name, folder in studies.items()}
    if options.json:
        print(json.dumps(results, indent=1))
        return
    for name, one in results.items():
        print(f"{name}: {one['seconds']} s, {one['processor_s']} s of processor, {one['peak_mib']} MiB")
        for stage, used in one["stages"].items():  # type: ignore[attr-defined]
            print(f"  {stage:10}" + "  ".join(f"{key} {value}" for key, value in used.items()))


if __name__ == "__main__":
    main()
