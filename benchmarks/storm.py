"""Everything at once: hundreds of studies from two senders, every one sent twice and interleaved with others.

python -m benchmarks.storm --small 200 --full 20 [--postgres]

A network of one convolution stands in for the shipped one, so that the load is the node's. While two processes
send, and until the queue is empty, the node is asked what a dashboard and a monitoring system ask. It passes
where every study ended in exactly one job with exactly one structure set, here and at the workstation, where no
request failed, and where the queue never held more jobs than there are studies.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.environment import skip
from benchmarks.postgres import running_postgres
from benchmarks.sampling import Poller, Sampler, wait_until_empty
from benchmarks.studies import FULL, TINY, copied, resampled
from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.node import LOOPBACK, OrthancProcess
from pipeline.node.demo.sender import StudyFile, send_study, study_in_folder
from pipeline.settings import Settings
from tests.faults import network
from tests.orthanc.conftest import SCANNER, Pair, make_pair

POLLS = {"/system": 1.0, "/glioloop/jobs?limit=100": 4.0, "/glioloop/metrics": 15.0}
#: Studies whose images a sender mixes in one association.
_MIXED = 4
#: The product's own: studies are begun before (``ReadyAfterSeconds``), where they are whole.
_STABLE_SECONDS = 60
#: The product's own; the tests' few seconds would refuse a study whose sender stalls on a busy machine.
_GRACE_SECONDS = Settings().grace_seconds
_RETRY_SECONDS = Settings().forward_retry_seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", type=int, help="studies of 4 series of 32 × 40 × 16")
    parser.add_argument("--full", type=int, default=0, help="studies of 4 series of 256 × 256 × 176")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="the queue on PostgreSQL instead of SQLite")
    parser.add_argument("--patience", type=float, default=30, help="minutes in which something must move")
    parser.add_argument("--out", type=Path, default=Path("build/storm"))
    parser.add_argument("--json", action="store_true", help="the only form there is")
    parser.add_argument("--send", nargs="+", help=argparse.SUPPRESS)  # PORT AET FOLDER...: one of the two senders
    arguments = parser.parse_args()
    if arguments.send:
        port, aet, *folders = arguments.send
        return _send(int(port), aet, [Path(one) for one in folders])
    if not arguments.small:
        skip("takes an hour: python -m benchmarks.storm --small 200 --full 20")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # a worker that ends late may write there
        Path(folder).chmod(0o711)  # PostgreSQL's account passes through
        report = _run(Path(folder), arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "storm.json").write_text(json.dumps(report, indent=1))
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["passed"] else 1)


# --- the senders -----------------------------------------------------------------------------------------


def _send(port: int, aet: str, folders: list[Path]) -> None:
    """Send studies in groups, their images by turns."""
    for first in range(0, len(folders), _MIXED):
        files = list(_by_turns([study_in_folder(one) for one in folders[first : first + _MIXED]]))
        send_study(files, LOOPBACK, port, calling_aet=SCANNER, called_aet=aet)


def _by_turns(studies: list[tuple[StudyFile, ...]]) -> Iterator[StudyFile]:
    for files in zip_longest(*studies):
        yield from (file for file in files if file is not None)


def _start_sender(node: OrthancProcess, folders: list[Path]) -> "subprocess.Popen[bytes]":
    to = node.configuration
    command = [sys.executable, "-m", "benchmarks.storm", "--send", str(to.dicom_port), to.aet, *map(str, folders)]
    return subprocess.Popen(command)


# --- the run ---------------------------------------------------------------------------------------------


def _run(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    network.install(folder / "models", "1.0.0", network.small())
    studies = _studies(folder, arguments.small, arguments.full)
    arguments.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        pair = make_pair(
            folder / "site",
            ModelsFolder=str(folder / "models"),
            Model=f"{network.NAME}@1.0.0",
            Workers=arguments.workers,
            GraceSeconds=_GRACE_SECONDS,
            ForwardRetrySeconds=_RETRY_SECONDS,
            DatabaseUrl=stack.enter_context(running_postgres(folder)) if arguments.postgres else "",
        )
        _set(pair.node, StableAge=_STABLE_SECONDS)
        stack.enter_context(pair.workstation)
        stack.enter_context(pair.node)
        pair.wait_ready(300)
        samplers = [Sampler(pair.node, arguments.out / f"storm-{n}.csv", 10, n) for n in range(arguments.workers)]
        poller = Poller(pair.node, POLLS)
        for one in (*samplers, poller):
            one.start()
        start = time.monotonic()
        # Every study comes from both senders, half a round apart.
        half = len(studies) // 2
        senders = [
            _start_sender(pair.node, studies[half:] + studies[:half]),
            _start_sender(pair.node, studies),
        ]
        sent = [sender.wait() for sender in senders]
        sending = time.monotonic() - start
        time.sleep(1.5 * _STABLE_SECONDS)  # the last stable events
        empty = wait_until_empty(pair.node, 60 * arguments.patience)
        working = time.monotonic() - start
        sampled = [sampler.stop() for sampler in samplers]
        samples = sampled[0]
        poller.stop()
        report = {
            "queue on": "PostgreSQL" if arguments.postgres else "SQLite",
            "workers": arguments.workers,
            "small studies": arguments.small,
            "full-size studies": arguments.full,
            "images sent": 2 * sum(1 for study in studies for _ in study.glob("*/*.dcm")),
            "seconds of sending": round(sending, 1),
            "queue was emptied": empty,
            "seconds until then": round(working, 1),
            "most jobs in the queue": max(sample.waiting for sample in samples),
            "requests": poller.asked + sum(map(len, sampled)),
            "requests failed": poller.failures + ["/glioloop/health"] * sum(one.unanswered for one in samplers),
            "slowest answer, ms": poller.slowest_ms | {"/glioloop/health": max(one.answer_ms for one in samples)},
            "Orthanc, most MB": max(sample.orthanc_mb for sample in samples),
            "Orthanc, most handles": max(sample.orthanc_files for sample in samples),
            "each worker and its children, most MB": [max(one.worker_mb for one in each) for each in sampled],
            "each worker and its children, most handles": [max(one.worker_files for one in each) for each in sampled],
            **_outcome(pair, [study_in_folder(study)[0].study_instance_uid for study in studies]),
        }
    report["passed"] = (
        not any(sent)
        and empty
        and not report["requests failed"]
        and report["most jobs in the queue"] <= len(studies)
        and report["studies without exactly one job"] == 0
        and report["jobs by state"] == {"done": len(studies)}
        and report["structure sets differ"] == 0
        and report["audit trail"] == "whole"
    )
    return report


def _studies(folder: Path, small: int, full: int) -> list[Path]:
    """Write every study; full-size ones are spread evenly among the small ones."""
    templates = {"small": resampled(folder / "small", TINY)}
    if full:
        templates["full"] = resampled(folder / "full", FULL)
    order = sorted(
        [(number / small, "small", number) for number in range(small)]
        + [((number + 0.5) / full, "full", number) for number in range(full)]
    )
    return [copied(templates[kind], folder / "studies" / f"{kind}-{n}", f"{kind}-{n}") for _, kind, n in order]


def _set(orthanc: OrthancProcess, **keys: object) -> None:
    file = orthanc.configuration.folder / "orthanc.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def _outcome(pair: Pair, studies: list[str]) -> dict[str, Any]:
    jobs = pair.get("/glioloop/jobs?limit=2000")
    made = Counter(job["study_instance_uid"] for job in jobs)
    uids = sorted(
        job["result"]["rtstruct"]["sop_instance_uid"] for job in jobs if (job["result"] or {}).get("rtstruct")
    )
    trail = AuditTrail(database_in(pair.node.configuration.state_folder))
    return {
        "jobs by state": dict(Counter(job["state"] for job in jobs)),
        "errors": dict(Counter(job["error"]["code"] for job in jobs if job["error"])),
        "studies without exactly one job": sum(made[study] != 1 for study in studies),
        "structure sets": len(uids),
        "structure sets differ": sum(_structure_sets(one) != uids for one in (pair.node, pair.workstation)),
        "audit trail": "whole" if not trail.verify() else "broken",
        "audit entries": sum(1 for _ in trail.entries()),
    }


def _structure_sets(orthanc: OrthancProcess) -> list[str]:
    with orthanc.client(timeout_seconds=120) as client:
        query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT"}, "Expand": True}
        found = client.post("/tools/find", json=query).raise_for_status().json()
    return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)


if __name__ == "__main__":
    main()
