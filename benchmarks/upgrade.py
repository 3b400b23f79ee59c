"""Two versions of the worker at once: studies go through while hosts are upgraded one after the other.

python -m benchmarks.upgrade --before REVISION [--studies 12]

A node of this version with its tables on PostgreSQL, a worker of an earlier version (a checkout of that revision, run
by this version's packages) and one of this version, which share no disk. The new one makes the tables and ends; a third
of the studies is done by the old one alone, the next by both; then the old one is told to end while it is at work, and
the new one does the rest. It passes where each study ended in one job that is done, with one structure set here and at
the workstation.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.environment import ROOT, skip
from benchmarks.postgres import running_postgres
from benchmarks.studies import TINY, copied, resampled
from tests.faults import network
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.workers import worker_elsewhere
from tests.patience import holds_within, wait_for

_ENDED = ("done", "refused", "failed", "cancelled")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", help="revision of the earlier version")
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    if not arguments.before:
        skip("wants an earlier version: python -m benchmarks.upgrade --before REVISION")
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL's account passes through
        earlier = folder / "earlier"
        _git("worktree", "add", "--detach", "--force", str(earlier), arguments.before)
        stack.callback(_git, "worktree", "remove", "--force", str(earlier))
        report = _run(folder, earlier, arguments.studies)
    report["earlier version"] = _git("rev-parse", "--short", arguments.before)
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["passed"] else 1)


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _run(folder: Path, earlier: Path, number: int) -> dict[str, Any]:
    network.install(folder / "models", "1.0.0", network.small())
    template = resampled(folder / "template", TINY)
    studies = [copied(template, folder / "studies" / str(one), f"UPGRADE-{one}") for one in range(number)]
    settings: dict[str, object] = {"MODELS_FOLDER": folder / "models", "MODEL": f"{network.NAME}@1.0.0"}
    with ExitStack() as stack:
        pair = make_pair(
            folder / "site",
            Workers=0,
            DatabaseUrl=stack.enter_context(running_postgres(folder)),
            ModelsFolder=str(folder / "models"),
            Model=f"{network.NAME}@1.0.0",
        )
        stack.enter_context(pair.workstation)
        stack.enter_context(pair.node)
        with worker_elsewhere(pair, folder, "first", settings=settings):
            pair.wait_ready(300)
        old = stack.enter_context(worker_elsewhere(pair, folder, "old", root=earlier, settings=settings))
        pair.wait_ready(300)
        third = number // 3
        for study in studies[:third]:
            send(pair, study)
        wait_for(lambda: _ended(pair) == third, 600, "the studies of the old worker alone")
        stack.enter_context(worker_elsewhere(pair, folder, "new", settings=settings))
        for study in studies[third:]:
            send(pair, study)
        wait_for(lambda: _ended(pair) >= 2 * third, 600, "the studies of both")
        old.terminate()
        status = old.wait(60)
        wait_for(lambda: _ended(pair) == number, 900, "the studies of the new worker")
        holds_within(lambda: len(pair.workstation_structure_sets()) >= number, 300)
        return _report(pair, folder, number, status)


def _ended(pair: Pair) -> int:
    return sum(one["state"] in _ENDED for one in pair.get("/glioloop/jobs?limit=2000"))


def _report(pair: Pair, folder: Path, number: int, status: int) -> dict[str, Any]:
    jobs = pair.get("/glioloop/jobs?limit=2000")
    states = Counter(one["state"] for one in jobs)
    by = {name: len(list((folder / name / "jobs").iterdir())) for name in ("old", "new")}
    here, there = len(pair.node_structure_sets()), len(pair.workstation_structure_sets())
    once = len({one["study"] for one in jobs}) == len(jobs) == number == here == there
    return {
        "studies": number,
        "jobs": dict(states),
        "jobs at which each worker was": by,
        "why not": [one["error"] for one in jobs if one["error"]],
        "structure sets here": here,
        "structure sets at the workstation": there,
        "the old worker ended with": status,
        "passed": once and states["done"] == number and status == 0 and min(by.values()) > 0,
    }


if __name__ == "__main__":
    main()
