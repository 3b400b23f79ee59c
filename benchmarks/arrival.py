"""Seconds from the last image's arrival to the structure set at the workstation, with the product's own defaults.

python -m benchmarks.arrival [--study DIR] [--rounds 3]

A node with ``ReadyAfterSeconds`` and ``StableAge`` as they are by default, a workstation, and the study by C-STORE,
each round with new UIDs. The first round finds the node as it has just started.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.environment import shared_data
from benchmarks.studies import copied
from tests.orthanc.conftest import Pair, make_pair, send
from tests.patience import wait_for

STABLE_AGE = 60


def measure(pair: Pair, study: Path) -> dict[str, float]:
    """Send a study and wait for its structure set at the workstation."""
    before = len(pair.workstation_structure_sets())
    uid = send(pair, study)
    sent = time.monotonic()
    wait_for(lambda: len(pair.workstation_structure_sets()) > before, 300, "the structure set at the workstation")
    seconds = time.monotonic() - sent
    job = pair.wait_job("done", study=uid)
    return {"seconds": round(seconds, 1), **{name: round(one, 1) for name, one in job["timings_s"].items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="a folder; the clinical study where none is given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="the only form there is")
    options = parser.parse_args()
    source = options.study or shared_data("tcga-fg-6692") / "dicom"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = [copied(source, folder / f"study-{number}", "ARRIVAL") for number in range(options.rounds)]
        pair = make_pair(folder / "servers", stable_age=STABLE_AGE)
        with pair.workstation, pair.node:
            pair.wait_ready()
            rounds = [measure(pair, study) for study in studies]
    median = statistics.median(one["seconds"] for one in rounds)
    print(json.dumps({"seconds_median": median, "rounds": rounds}, indent=1))


if __name__ == "__main__":
    main()
