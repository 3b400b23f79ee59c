"""Hosts that share PostgreSQL and Orthanc, and no disk: what a worker that vanishes leaves is finished by another."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from benchmarks.postgres import running_postgres
from pipeline.settings import ROOT
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import from_workstation, grow, send_back
from tests.patience import wait_for

#: Far below the product's own, so that the test need not wait for it.
SILENCE = 10


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Pair]:
    """A node without workers; what its plugin keeps lies apart from every worker's files."""
    tmp_path.chmod(0o711)
    for folder in tmp_path.parents:
        if folder != Path("/tmp") and folder.is_relative_to("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)  # PostgreSQL's account passes through
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgres(tmp_path))
        except FileNotFoundError as error:
            pytest.skip(str(error))
        pair = make_pair(tmp_path / "site", Workers=0, DatabaseUrl=url)
        stack.enter_context(pair.workstation)
        stack.enter_context(pair.node)
        yield pair


@contextmanager
def _worker(pair: Pair, folder: Path, name: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker on a host of its own."""
    node = pair.node.configuration
    section = json.loads((node.folder / "orthanc.json").read_text())["GlioLoop"]
    environment = os.environ | {
        "GLIOLOOP_DATABASE_URL": section["DatabaseUrl"],
        "GLIOLOOP_STATE_FOLDER": str(folder / name),
        "GLIOLOOP_EXECUTOR": name,
        "GLIOLOOP_ORTHANC_URL": node.url,
        "GLIOLOOP_ORTHANC_USER": node.user,
        "GLIOLOOP_ORTHANC_PASSWORD": node.password,
        "GLIOLOOP_WORKER_SILENCE_SECONDS": str(SILENCE),
        "GLIOLOOP_DESTINATIONS": json.dumps([{"Modality": "workstation", "Send": ["inputs", "rtstruct", "seg"]}]),
    }
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "pipeline.worker"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_another_host_finishes_what_one_that_vanished_began(site: Pair, tmp_path: Path, small_study: Path) -> None:
    with _worker(site, tmp_path, "first") as first, _worker(site, tmp_path, "second") as second:
        site.wait_ready()
        study = send(site, small_study)
        wait_for(lambda: _stage(site, study) in ("infer", "restore", "write"), 120, "the middle of a job")
        workers = {"first": first, "second": second}
        (began,) = [name for name in workers if list((tmp_path / name / "jobs").glob("*/done-*"))]
        (other,) = workers.keys() - {began}
        workers[began].send_signal(signal.SIGKILL)
        job = site.wait_job("done", "refused", "failed", study=study)
        assert job["state"] == "done", job["error"]
        assert "taken over from a worker that is gone" in (tmp_path / f"{other}.log").read_text()
        # What the pages show was made on another disk.
        with site.node.client() as client:
            for path in (f"jobs/{job['id']}/preview.png", f"jobs/{job['id']}/contours"):
                assert client.get(f"/glioloop/{path}").is_success, path

        _, structure_set = from_workstation(site)
        assert len(site.node_structure_sets()) == 1
        grow(structure_set, "GTV_WT", 2.0)
        structure_set.ApprovalStatus = "APPROVED"
        structure_set.ReviewDate, structure_set.ReviewTime, structure_set.ReviewerName = "20260102", "101112", "Roe^Ann"
        with site.workstation.client() as client:
            client.delete(f"/instances/{site.workstation_structure_sets()[0]}").raise_for_status()
        send_back(site, structure_set)
        wait_for(lambda: site.get("/glioloop/feedback")["total"] == 1, 120, "the correction")
        (case,) = site.get("/glioloop/feedback")["cases"]
        assert site.get(f"/glioloop/feedback/{case['id']}/contours")


def _stage(pair: Pair, study: str) -> str:
    found = pair.get(f"/glioloop/jobs?study={study}")
    return str(found[0]["stage"]) if found else ""
