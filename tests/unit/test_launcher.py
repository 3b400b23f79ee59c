"""The launcher script, as far as it can be tried without changing the machine."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.node.installation import PYTHON_PLUGIN, orthanc_plugin
from pipeline.settings import ROOT

LAUNCHER = ROOT / "glioloop"


def _run(*command: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(folder / "glioloop"), *command],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the launcher needs of the repository, with nothing set up; a folder name with a space."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("glioloop", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    return folder


def _seconds_of_children() -> float:
    """Processor time of the processes that this one started and waited for; no other load counts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_start_takes_under_two_seconds() -> None:
    _run("--help")
    before = _seconds_of_children()
    answer = _run("--help")
    assert _seconds_of_children() - before < 2
    assert answer.returncode == 0
    assert "demo" in answer.stdout and "serve" in answer.stdout
    assert answer.stderr == ""


def test_it_runs_from_any_folder_and_through_a_link(tmp_path: Path) -> None:
    link = tmp_path / "glioloop"
    link.symlink_to(LAUNCHER)
    assert _run("segment", "--help", folder=tmp_path).returncode == 0


def test_a_wrong_word_is_refused_with_status_2() -> None:
    answer = _run("no-such-command")
    assert answer.returncode == 2
    assert answer.stdout == ""


def test_the_environment_fits_the_python_inside_orthanc() -> None:
    linked = subprocess.run(["ldd", str(orthanc_plugin(PYTHON_PLUGIN))], capture_output=True, text=True, check=True)
    assert f"libpython{sys.version_info[0]}.{sys.version_info[1]}.so" in linked.stdout


@pytest.mark.parametrize("command", ["demo", "serve", "test", "bench"])
def test_without_apt_what_is_missing_is_told_and_nothing_is_run(clone: Path, command: str) -> None:
    answer = _run(command, folder=clone, GLIOLOOP_NO_APT="1", GLIOLOOP_ORTHANC="/nonexistent/Orthanc")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "missing on this machine: orthanc" in answer.stderr
    assert not (clone / ".venv").exists()


def test_a_lock_that_does_not_hold_stops_the_start(clone: Path) -> None:
    (clone / "requirements" / "runtime.lock").write_text("idna==3.10 --hash=sha256:" + "0" * 64 + "\n")
    answer = _run("--help", folder=clone, GLIOLOOP_NO_APT="1")
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "pip could not install requirements/runtime.lock" in answer.stderr
    assert not (clone / ".venv" / "stamps" / "runtime").exists()


def test_two_first_starts_at_once_wait_for_each_other(clone: Path) -> None:
    (clone / "requirements" / "runtime.lock").write_text("")
    starts = [
        subprocess.Popen(
            ["bash", str(clone / "glioloop"), "setup"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"GLIOLOOP_NO_APT": "1"},
        )
        for _ in range(3)
    ]
    told = [start.communicate(timeout=120)[1] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert sum("making .venv" in text for text in told) == 1
    assert sum("waiting for it" in text for text in told) == 2


def test_its_own_commands_help_without_setting_anything_up(clone: Path) -> None:
    for command in ("setup", "test", "lint", "worker"):
        answer = _run(command, "--help", folder=clone)
        assert answer.returncode == 0
        assert answer.stdout.startswith(f"Usage: glioloop {command}")
    assert not (clone / ".venv").exists()


def test_a_named_test_runs_alone_and_without_the_linters(tmp_path: Path) -> None:
    test = tmp_path / "test_one.py"
    test.write_text("def test_one() -> None:\n    pass\n")
    answer = _run("test", str(test), "-p", "no:cacheprovider")
    assert answer.returncode == 0, answer.stderr
    assert "1 passed" in answer.stdout
    assert "All checks passed" not in answer.stdout  # ruff's words
