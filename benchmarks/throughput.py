"""Studies an hour: many queued at once, with and without the next being fetched and aligned while one infers.

python -m benchmarks.throughput --studies 20 [--study DIR] [--prefetch 0,1]

Copies of a study (the sample's, or the one in DIR) are stored on a node, then asked for at once; a node of its own for
each value of ``Prefetch``. Told are the time from the first request to the last result in the archive, and the most
memory that worker and children had resident. With ``--studies 1`` it is the time of one study on a node that is ready.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.environment import skip
from benchmarks.sampling import Sampler
from benchmarks.studies import SAMPLE, copied
from pipeline.node import LOOPBACK
from pipeline.node.demo.sender import send_study, study_in_folder
from tests.orthanc.conftest import SCANNER, make_pair
from tests.patience import wait_for

_PATIENCE_SECONDS = 3600
#: So long a child needs at most to have imported everything and loaded the networks.
_WARM_SECONDS = 15


def measure(studies: list[Path], prefetch: int, folder: Path) -> dict[str, Any]:
    pair = make_pair(folder, Automatic=False, Prefetch=prefetch)
    with pair.workstation, pair.node:
        pair.wait_ready(300)
        to = pair.node.configuration
        for study in studies:
            send_study(study_in_folder(study), LOOPBACK, to.dicom_port, calling_aet=SCANNER, called_aet=to.aet)
        stored = pair.get("/studies")
        time.sleep(_WARM_SECONDS)
        sampler = Sampler(pair.node, folder / "samples.csv", 1)
        sampler.start()
        start = time.monotonic()
        for study in stored:
            pair.post(f"/glioloop/studies/{study}/process", {"destinations": []}).raise_for_status()
        jobs: list[dict[str, Any]] = []

        def ended() -> bool:
            jobs[:] = pair.get(f"/glioloop/jobs?limit={len(stored)}")
            return all(job["state"] in ("done", "failed", "refused") for job in jobs)

        wait_for(ended, _PATIENCE_SECONDS, "the end of all jobs")
        seconds = time.monotonic() - start
        samples = sampler.stop()
    if any(job["state"] != "done" for job in jobs) or len(jobs) != len(studies):
        raise RuntimeError("not every study was done")
    return {
        "seconds": round(seconds, 1),
        "studies an hour": round(3600 * len(studies) / seconds, 1),
        "most memory, MB": round(max(one.worker_mb for one in samples)),
        "stages, median s": {
            stage: sorted(job["timings_s"][stage] for job in jobs)[len(jobs) // 2] for stage in jobs[0]["timings_s"]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, help="20 for the figures in docs/benchmarks.md")
    parser.add_argument("--study", type=Path, default=SAMPLE, help="folder with one folder a series")
    parser.add_argument("--prefetch", default="0,1", help="values of the setting")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    if arguments.studies is None:
        skip("takes minutes: python -m benchmarks.throughput --studies 20")
    results: dict[str, Any] = {"studies": arguments.studies}
    with tempfile.TemporaryDirectory(prefix="glioloop-throughput-") as name:
        folder = Path(name)
        studies = [copied(arguments.study, folder / str(n), f"QUEUED-{n}") for n in range(arguments.studies)]
        for prefetch in map(int, arguments.prefetch.split(",")):
            print(f"Prefetch {prefetch}", file=sys.stderr, flush=True)
            results[f"prefetch {prefetch}"] = measure(studies, prefetch, folder / f"node-{prefetch}")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
