"""Workers in containers that share PostgreSQL and Orthanc, no disk: one is killed, the database restarted on the way.

python -m benchmarks.hosts --studies 100 [--workers 3]

docker-compose.yml as it is, with the product's own defaults, but for a network of one convolution and a volume for each
worker. It passes where every study has exactly one job, done, and exactly one structure set here and at the
workstation. Needs what `./glioloop test --containers` installs.
"""

import argparse
import copy
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import yaml  # type: ignore[import-untyped]

from benchmarks.environment import skip
from benchmarks.studies import TINY, copied, resampled
from pipeline.node.demo.sender import study_in_folder
from pipeline.settings import ROOT
from tests.containers.engine import Containers, containers
from tests.faults import network
from tests.orthanc.conftest import Pair

_ENDED = ("done", "refused", "failed", "cancelled")
_LOOK_SECONDS = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, help="studies of 4 series of 32 × 40 × 16")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--patience", type=float, default=40, help="minutes until all must be done")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    if not arguments.studies:
        skip("takes half an hour and podman: python -m benchmarks.hosts --studies 100")
    with tempfile.TemporaryDirectory() as folder:
        report = _run(Path(folder), arguments.studies, arguments.workers, 60 * arguments.patience)
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["passed"] else 1)


def _run(folder: Path, count: int, workers: int, patience: float) -> dict[str, Any]:
    folder.chmod(0o755)  # read by another user inside
    network.install(folder / "models", "1.0.0", network.small())
    template = resampled(folder / "template", TINY)
    studies = [copied(template, folder / "studies" / str(number), str(number)) for number in range(count)]
    uids = [study_in_folder(study)[0].study_instance_uid for study in studies]
    with containers("glioloop-hosts", None, _compose(folder, workers)) as site:
        pair = site.pair()
        _wait_answers(pair)
        start = time.monotonic()
        sender = _sender(pair, studies)
        done = _wait_done(pair, count // 4, patience)
        # As a host that loses its power: no signal that could be handled, and it never comes back.
        site.podman("rm", "--force", "--time", "0", site.name("worker2"))
        killed = time.monotonic() - start
        done = max(done, _wait_done(pair, count // 2, patience))
        site.podman("restart", site.name("postgres"))
        restarted = time.monotonic() - start
        done = _wait_done(pair, count, patience)
        seconds = time.monotonic() - start
        sender.wait()
        return {
            "studies": count,
            "workers": workers,
            "a worker killed after, s": round(killed),
            "database restarted after, s": round(restarted),
            "ended": done,
            "all done after, s": round(seconds),
            **_outcome(site, pair, uids, workers),
        }


def _compose(folder: Path, workers: int) -> Path:
    """docker-compose.yml with workers of their own names, and so of their own volumes."""
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services, volumes = content["services"], content["volumes"]
    for name in ("orthanc", "worker"):
        services[name]["volumes"].append(f"{folder}/models:/opt/glioloop/models:ro")
        services[name]["environment"]["GLIOLOOP_MODEL"] = f"{network.NAME}@1.0.0"
    worker = services.pop("worker")
    worker["volumes"].remove("/var/lib/glioloop")
    for number in range(1, workers + 1):
        services[f"worker{number}"] = own = copy.deepcopy(worker)
        own["volumes"].append(f"worker{number}:/var/lib/glioloop")
        volumes[f"worker{number}"] = None
    file = folder / "docker-compose.yml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def _sender(pair: Pair, studies: list[Path]) -> "subprocess.Popen[bytes]":
    to = pair.node.configuration
    command = [sys.executable, "-m", "benchmarks.storm", "--send", str(to.dicom_port), to.aet, *map(str, studies)]
    # As modalities do: what the archive did not take while its database was away is sent again.
    return subprocess.Popen(["sh", "-c", 'until "$@"; do sleep 5; done', "send", *command])


def _wait_answers(pair: Pair) -> None:
    for _ in range(120):
        if _asked(pair, "/glioloop/health") is not None:
            return
        time.sleep(1)
    raise RuntimeError("the node does not answer")


def _asked(pair: Pair, path: str) -> Any:
    """GET from the node; None where it, or its database, is away for a moment."""
    try:
        with pair.node.client(60) as client:
            response = client.get(path)
            return response.json() if response.is_success else None
    except httpx.TransportError:
        return None


def _wait_done(pair: Pair, count: int, patience: float) -> int:
    deadline, ended = time.monotonic() + patience, 0
    while ended < count and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
        ended = sum(job["state"] in _ENDED for job in _asked(pair, "/glioloop/jobs?limit=1000") or [])
        print(f"{ended} of {count}", file=sys.stderr)
    return ended


def _outcome(site: Containers, pair: Pair, studies: list[str], workers: int) -> dict[str, Any]:
    jobs = _asked(pair, "/glioloop/jobs?limit=1000") or []
    states = Counter(job["state"] for job in jobs)
    codes = Counter(job["error"]["code"] for job in jobs if job["error"])
    made = Counter(job["study_instance_uid"] for job in jobs if job["state"] == "done")
    structure_sets = len(pair.node_structure_sets()), len(pair.workstation_structure_sets())
    left = [number for number in range(1, workers + 1) if number != 2]
    logs = {number: site.logs(f"worker{number}") for number in left}
    once = [study for study in studies if made[study] == 1]
    return {
        "jobs by state": dict(states),
        "errors": dict(codes),
        "studies done exactly once": len(once),
        "structure sets here, at the workstation": structure_sets,
        "jobs begun more than once": sum(job["attempts"] > 1 for job in jobs),
        "deliveries tried more than once": sum(
            one["attempts"] > 1 for job in jobs for one in job["deliveries"].values()
        ),
        "jobs taken over": sum(log.count("taken over from a worker that is gone") for log in logs.values()),
        "stages made again": sum(log.count("made again: its files") for log in logs.values()),
        "passed": len(once) == len(studies) and structure_sets == (len(studies), len(studies)),
    }


if __name__ == "__main__":
    main()
