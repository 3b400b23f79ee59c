"""A real Orthanc, started and ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.errors import GlioLoopError
from pipeline.node import OrthancProcess, free_port, write_workstation_configuration
from pipeline.node.configuration import NodeConfiguration
from pipeline.settings import ROOT
from tests.patience import wait_for


@pytest.fixture
def configuration(tmp_path: Path) -> NodeConfiguration:
    return write_workstation_configuration(tmp_path, http_port=free_port(), dicom_port=free_port())


@pytest.fixture
def orthanc(configuration: NodeConfiguration) -> Iterator[OrthancProcess]:
    with OrthancProcess(configuration) as process:
        yield process


def test_it_answers_those_who_know_the_password_and_nobody_else(orthanc: OrthancProcess) -> None:
    with orthanc.client() as client:
        assert client.get("/system").json()["DicomAet"] == "WORKSTATION"
    assert httpx.get(f"{orthanc.url}/system", trust_env=False).status_code == 401
    wrong = httpx.get(f"{orthanc.url}/system", auth=(orthanc.configuration.user, "wrong"), trust_env=False)
    assert wrong.status_code == 401


def test_the_password_is_in_no_log(orthanc: OrthancProcess) -> None:
    orthanc.stop()
    assert orthanc.configuration.password not in orthanc.configuration.log.read_text()


def test_stopping_ends_it_in_order_and_it_starts_again(orthanc: OrthancProcess) -> None:
    assert orthanc.stop() == 0
    assert not orthanc.running
    orthanc.start()
    assert orthanc.running


def test_killing_ends_it_at_once(orthanc: OrthancProcess) -> None:
    orthanc.kill()
    assert orthanc.wait(1) == -signal.SIGKILL


def test_a_taken_port_is_told(orthanc: OrthancProcess, tmp_path: Path) -> None:
    taken = write_workstation_configuration(
        tmp_path / "second", http_port=free_port(), dicom_port=orthanc.configuration.dicom_port
    )
    with pytest.raises(GlioLoopError, match="port") as raised:
        OrthancProcess(taken).start()
    assert raised.value.code == "NODE_NOT_STARTED"


def test_another_server_on_the_port_is_not_taken_for_ours(orthanc: OrthancProcess, tmp_path: Path) -> None:
    taken = write_workstation_configuration(
        tmp_path / "second", http_port=orthanc.configuration.http_port, dicom_port=free_port()
    )
    with pytest.raises(GlioLoopError):
        OrthancProcess(taken).start()


def test_it_ends_with_a_parent_that_is_killed(configuration: NodeConfiguration) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from pipeline.node import OrthancProcess, write_workstation_configuration as write\n"
        f"p = OrthancProcess(write(Path({str(configuration.state_folder)!r}), http_port={configuration.http_port},"
        f" dicom_port={configuration.dicom_port})).start()\n"
        "print(p.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 60, "the end of Orthanc")
