"""The node in the foreground, as a terminal or a service supervisor runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.node import free_port
from pipeline.settings import ROOT


def _command(*arguments: str) -> list[str]:
    ports = ["--http-port", str(free_port()), "--dicom-port", str(free_port())]
    return [sys.executable, "-m", "pipeline", "serve", "--json", *ports, *arguments]


@contextmanager
def _serving(state: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    process = subprocess.Popen(
        _command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"GLIOLOOP_STATE_FOLDER": str(state)},
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(60)


def _refused(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GLIOLOOP_STATE_FOLDER": str(state)}
    return subprocess.run(
        _command(*arguments), capture_output=True, text=True, cwd=ROOT, env=environment, timeout=60, check=False
    )


def _login(facts: dict[str, Any]) -> tuple[str, str]:
    ((user, password),) = json.loads(Path(facts["credentials_file"]).read_text())["RegisteredUsers"].items()
    return user, password


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    with _serving(tmp_path) as (process, facts):
        login = _login(facts)
        assert httpx.get(f"{facts['url']}/system", auth=login, trust_env=False).json()["Name"] == "GlioLoop"
        assert httpx.get(f"{facts['url']}/glioloop/health", trust_env=False).status_code == 401
        process.send_signal(number)
        assert process.wait(60) == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{facts['url']}/system", auth=login, trust_env=False)


def test_the_same_installation_keeps_its_credentials(tmp_path: Path) -> None:
    with _serving(tmp_path) as (_, facts):
        first = _login(facts)
    with _serving(tmp_path) as (_, facts):
        assert _login(facts) == first
        assert httpx.get(f"{facts['url']}/system", auth=first, trust_env=False).status_code == 200


def test_two_nodes_do_not_share_a_state_folder(tmp_path: Path) -> None:
    with _serving(tmp_path) as (process, _):
        second = _refused(tmp_path)
        assert second.returncode == 1
        assert "another node runs on" in second.stderr
        assert process.poll() is None


def test_it_ends_with_a_failure_when_its_orthanc_dies(tmp_path: Path) -> None:
    with _serving(tmp_path) as (process, _):
        (orthanc,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(orthanc), signal.SIGKILL)
        assert process.wait(30) == 1


def test_a_wrong_key_stops_the_start_with_its_name(tmp_path: Path) -> None:
    configuration = tmp_path / "orthanc.json"
    configuration.write_text((ROOT / "orthanc.json").read_text().replace('"GraceSeconds"', '"GraceSecond"'))
    answer = _refused(tmp_path / "state", "--configuration", str(configuration))
    assert answer.returncode == 1
    assert "GraceSecond" in answer.stderr
    assert "Traceback" not in answer.stderr
