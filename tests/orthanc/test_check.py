"""The node's check of itself on a real Orthanc: passes, differs, recovers, and leaves nothing behind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.audit import AuditTrail
from pipeline.canary.expected import Expectations, sample_volume, truth
from pipeline.database.engine import database_in
from pipeline.names import MRSequence
from pipeline.node import OrthancProcess
from pipeline.settings import ROOT
from tests import prometheus
from tests.orthanc.conftest import Pair, make_pair
from tests.patience import wait_for
from tests.unit.corrections.phantom import write_threshold_model


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Pair]:
    """A node with a network made for the test, which is not the one that is expected to find the sample's truth."""
    write_threshold_model(tmp_path / "models", whole_tumour=2.0, core=2.0, brain=False)
    pair = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"))
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield pair


def _check(pair: Pair, seconds: float = 240) -> dict[str, Any]:
    identity = pair.post("/glioloop/check").raise_for_status().json()["id"]

    def ended() -> bool:
        state = pair.get("/glioloop/check")
        return state["id"] == identity and not state["running"]

    wait_for(ended, seconds, "the check")
    found: dict[str, Any] = pair.get("/glioloop/check")
    return found


def _wait_for_alert(pair: Pair, folder: Path, fires: bool) -> None:
    """Wait until a real Prometheus says so; tests/unit/node/test_alerts.py tells where there is none."""
    if prometheus.program("prometheus") is None:
        return
    with prometheus.running(folder, pair.node.configuration) as reader:
        wait_for(lambda: reader.value("glioloop_check_well") == float(not fires), 60, "a look at the metrics")
        wait_for(lambda: ("GlioLoopUnwell" in reader.firing()) == fires, 60, "the alert, or its absence")
        assert reader.value('up{job="glioloop"}') == 1


def _health(pair: Pair) -> httpx.Response:
    with pair.node.client() as client:
        return client.get("/glioloop/health")


def _metrics(pair: Pair) -> str:
    with pair.node.client() as client:
        return client.get("/glioloop/metrics").raise_for_status().text


def test_a_check_differs_recovers_and_leaves_nothing(node: Pair, tmp_path: Path) -> None:
    state_folder = node.node.configuration.state_folder
    assert node.get("/glioloop/check")["state"] == "never"
    assert "glioloop_check" not in _metrics(node)

    # This network cannot find the truth: nothing is recorded, and the node is unwell.
    found = _check(node)
    assert found["state"] == "unwell"
    assert "to the truth" in found["error"]["detail"]
    model = found["outcome"]["model"]
    expectations = Expectations(state_folder)
    assert not expectations.file(model).exists()
    health = _health(node)
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
    assert health.json()["error"]["code"] == "NODE_UNWELL"
    assert "glioloop_check_well 0.0" in _metrics(node)
    _wait_for_alert(node, tmp_path / "unwell", fires=True)

    # With an expectation that it does not meet, neither.
    expectations.record(model, truth(sample_volume(MRSequence.T1C)))
    assert "Dice" in _check(node)["error"]["detail"]
    assert (state_folder / "check" / "last.npz").exists()

    # With what it really finds, it is well again, and says so.
    (state_folder / "check" / "last.npz").rename(expectations.file(model))
    found = _command(node)
    assert (found["state"], found["error"]) == ("well", None)
    assert set(found["outcome"]["dice"].values()) == {1.0}
    assert _health(node).status_code == 200
    assert "glioloop_check_well 1.0" in _metrics(node)
    assert 'glioloop_check_dice{region="WT"} 1.0' in _metrics(node)
    _wait_for_alert(node, tmp_path / "well", fires=False)

    # No trace in the archive, among the jobs, at the workstation or of what was learnt.
    for orthanc in (node.node, node.workstation):
        with orthanc.client() as client:
            assert client.get("/studies").json() == []
    assert node.get("/glioloop/jobs") == []
    assert list((state_folder / "jobs").iterdir()) == []
    assert node.get("/glioloop/feedback")["total"] == 0
    trail = [entry for entry in AuditTrail(database_in(state_folder)).entries() if entry.event == "checked"]
    assert [entry.data["well"] for entry in trail] == [False, False, True]
    assert not any(entry.event == "forwarded" for entry in AuditTrail(database_in(state_folder)).entries())

    # By its period it checks itself, unasked.
    node.node.stop()
    with OrthancProcess(node.node.configuration, {"GLIOLOOP_CHECK_EVERY_HOURS": "0.002"}):
        wait_for(lambda: _checks(state_folder) > len(trail), 240, "a check that nobody asked for")
        assert _health(node).status_code == httpx.codes.OK


def _checks(state_folder: Path) -> int:
    return sum(entry.event == "checked" for entry in AuditTrail(database_in(state_folder)).entries())


def _command(node: Pair) -> dict[str, Any]:
    """Check by the command, as a person on the node's machine does."""
    written = node.node.configuration.folder / "orthanc.json"
    command = [sys.executable, "-m", "pipeline", "check", "--json", "--configuration", str(written)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found
