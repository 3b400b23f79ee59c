"""A worker that the plugin does not start: on a host or in a container of its own (docs/deployment.md)."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.settings import ROOT
from tests.orthanc.conftest import Pair, make_pair, send


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Pair]:
    """A node without workers, and a worker that reaches it as a user with a password."""
    pair = make_pair(tmp_path, Workers=0)
    node = pair.node.configuration
    environment = os.environ | {
        "GLIOLOOP_STATE_FOLDER": str(node.state_folder),
        "GLIOLOOP_ORTHANC_URL": node.url,
        "GLIOLOOP_ORTHANC_USER": node.user,
        "GLIOLOOP_ORTHANC_PASSWORD": node.password,
        "GLIOLOOP_GRACE_SECONDS": "1",
        "GLIOLOOP_DESTINATIONS": json.dumps([{"Modality": "workstation"}]),
    }
    with pair.workstation, pair.node, (tmp_path / "worker.log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pipeline.worker"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        try:
            pair.wait_ready()
            yield pair
        finally:
            worker.terminate()
            worker.wait(30)


def test_a_worker_of_its_own_takes_up_what_the_node_queues(apart: Pair, tmp_path: Path, small_study: Path) -> None:
    assert apart.get("/glioloop/health")["workers"] == []
    shutil.copytree(small_study / "t1", tmp_path / "study")
    study = send(apart, tmp_path / "study")
    job = apart.wait_job("refused", study=study, seconds=60)
    assert job["error"]["code"] == "SEQUENCE_MISSING"


def test_the_workers_password_is_in_no_log(apart: Pair, tmp_path: Path) -> None:
    for log in tmp_path.rglob("*.log"):
        assert apart.node.configuration.password not in log.read_text(errors="replace")
