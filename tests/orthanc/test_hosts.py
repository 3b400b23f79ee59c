"""Hosts that share PostgreSQL and Orthanc, and no disk: what a worker that vanishes leaves is finished by another."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from benchmarks.postgres import running_postgres
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import from_workstation, grow, send_back
from tests.orthanc.workers import worker_elsewhere
from tests.patience import wait_for


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Pair]:
    """A node without workers; what its plugin keeps lies apart from every worker's files."""
    with ExitStack() as stack:
        # Not below pytest's folder, which the next pytest to start closes to PostgreSQL's account.
        folder = Path(stack.enter_context(TemporaryDirectory()))
        folder.chmod(0o711)
        try:
            url = stack.enter_context(running_postgres(folder))
        except FileNotFoundError as error:
            pytest.skip(str(error))
        pair = make_pair(tmp_path / "site", Workers=0, DatabaseUrl=url)
        stack.enter_context(pair.workstation)
        stack.enter_context(pair.node)
        yield pair


def test_another_host_finishes_what_one_that_vanished_began(site: Pair, tmp_path: Path, small_study: Path) -> None:
    with worker_elsewhere(site, tmp_path, "first") as first, worker_elsewhere(site, tmp_path, "second") as second:
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
