"""The demo as its user runs it: one command, two real Orthancs, one JSON document."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.names import ROI_NAMES, TUMOUR_REGIONS
from pipeline.settings import ROOT
from tests.patience import holds_within, wait_for, wait_for_end

TIMINGS = {
    "setup",
    "stable_wait",
    "identify",
    "load",
    "align",
    "infer",
    "restore",
    "write",
    "store",
    "forward",
    "total",
}


def _start(state: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "demo", "--json", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env=os.environ | {"GLIOLOOP_STATE_FOLDER": str(state)},
    )


def _demo(state: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Run the demo to its end; return exit status, the JSON document, and what it said on stderr."""
    process = _start(state, *arguments)
    out, told = wait_for_end(process, 550)
    return process.returncode, json.loads(out) if out else {}, told


def _processes_of(state: Path) -> list[str]:
    """Command lines of processes (Orthanc, worker) that work on this state folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(state).encode() in (process / "cmdline").read_bytes() + (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it has just ended
    return found


def _wait_until_none(state: Path, seconds: float = 30) -> list[str]:
    holds_within(lambda: not _processes_of(state), seconds)
    return _processes_of(state)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, sample_study: Path) -> tuple[Path, dict[str, Any], str]:
    """A demo of the sample study that went well: state folder, JSON document, what was said on stderr."""
    state = tmp_path_factory.mktemp("demo")
    status, document, told = _demo(state, "--study", str(sample_study))
    assert status == 0, told
    return state, document, told


def test_the_structure_set_comes_out_at_the_workstation(done: tuple[Path, dict[str, Any], str]) -> None:
    state, document, _ = done
    assert set(document) == {"study", "rtstruct", "timings_s", "urls", "model"}
    assert document["rtstruct"]["at_workstation"] is True
    assert document["rtstruct"]["sop_instance_uid"]
    assert {roi["name"] for roi in document["rtstruct"]["rois"]} == {ROI_NAMES[region] for region in TUMOUR_REGIONS}
    for roi in document["rtstruct"]["rois"]:
        assert set(roi) == {"name", "contours", "volume_ml"}
        assert (roi["contours"] > 0) == (roi["volume_ml"] > 0)
    assert set(document["timings_s"]) == TIMINGS
    assert all(seconds >= 0 for seconds in document["timings_s"].values())
    assert all(url.startswith("http://127.0.0.1:") for url in document["urls"].values())
    assert "@" in document["model"]
    (preview,) = state.glob("demo-*/preview.png")
    assert preview.read_bytes().startswith(b"\x89PNG")
    assert _wait_until_none(state) == []


def test_no_password_is_told(done: tuple[Path, dict[str, Any], str]) -> None:
    state, document, told = done
    files = list(state.glob("demo-*/*/configuration/credentials.json"))
    assert len(files) == 2
    for file in files:
        (password,) = json.loads(file.read_text())["RegisteredUsers"].values()
        assert password not in told + json.dumps(document)
        for log in state.rglob("*.log"):
            assert password not in log.read_text(errors="replace"), log


def test_a_study_without_its_sequences_is_refused_with_the_reason(tmp_path: Path, sample_study: Path) -> None:
    first_series = next(path for path in sorted(sample_study.iterdir()) if path.is_dir())
    shutil.copytree(first_series, tmp_path / "study")
    status, document, told = _demo(tmp_path / "state", "--study", str(tmp_path / "study"))
    assert status == 3, told
    assert document["error"]["code"] == "SEQUENCE_MISSING"
    assert document["rtstruct"]["at_workstation"] is False
    assert document["error"]["message"] in told.replace("\n", " ")
    assert _wait_until_none(tmp_path) == []


def test_a_folder_without_images_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    status, document, _ = _demo(tmp_path / "state", "--study", str(tmp_path / "study"))
    assert status == 3
    assert document["error"]["code"] == "STUDY_EMPTY"
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_running_however_it_ends(tmp_path: Path, sample_study: Path, number: signal.Signals) -> None:
    process = _start(tmp_path, "--study", str(sample_study))
    wait_for(lambda: any("pipeline.worker" in line for line in _processes_of(tmp_path)), 60, "the worker")
    process.send_signal(number)
    wait_for_end(process, 60)
    assert process.returncode != 0
    assert _wait_until_none(tmp_path) == []
