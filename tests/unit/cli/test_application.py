"""The command line: --help and --json everywhere, reasons instead of tracebacks, completion by the launcher's name."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from pipeline.cli.application import app
from pipeline.cli.console import live_progress
from pipeline.settings import ROOT


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Commands of a group, of its groups, and so on, each with its words."""
    if hasattr(command, "commands"):
        for name, one in command.commands.items():
            yield from _commands(one, (*path, name))
    else:
        yield path, command


COMMANDS = dict(_commands(typer.main.get_command(app)))


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "pipeline", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_helps_and_prints_json(path: tuple[str, ...]) -> None:
    options = [name for parameter in COMMANDS[path].params for name in parameter.opts]
    assert "--json" in options
    helped = CliRunner().invoke(app, [*path, "--help"])
    assert helped.exit_code == 0
    assert (COMMANDS[path].help or "").split(".")[0].split("\n")[0][:40] in helped.stdout.replace("\n", " ")


def test_promised_commands_are_there() -> None:
    named = {" ".join(path) for path in COMMANDS}
    assert named >= {"demo", "serve", "segment", "evaluate", "train", "finetune", "export", "bench"}
    assert named >= {f"models {one}" for one in ("list", "show", "import", "promote", "rollback")}
    assert named >= {"feedback list", "feedback export", "feedback trust", "feedback delete", "audit verify"}


@pytest.mark.parametrize("words", [("models", "show", "nobody@9"), ("feedback", "trust", "nothing")], ids=" ".join)
def test_what_is_refused_is_explained(words: tuple[str, ...], tmp_path: Path) -> None:
    """Code, message and what to do on stderr; the same as JSON on stdout where that is wanted; no traceback."""
    plain = _run(*words, GLIOLOOP_STATE_FOLDER=str(tmp_path))
    assert plain.returncode == 3
    assert plain.stdout == ""
    code = "MODEL_UNKNOWN" if words[0] == "models" else "FEEDBACK_UNKNOWN"
    assert plain.stderr.startswith(f"{code}: ")
    assert "What to do: " in plain.stderr and "Traceback" not in plain.stderr
    error = json.loads(_run(*words, "--json", GLIOLOOP_STATE_FOLDER=str(tmp_path)).stdout)["error"]
    assert error["code"] == code and error["message"] in plain.stderr and error["hint"] in plain.stderr


def test_what_nobody_foresaw_has_a_code_too(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").mkdir()
    words = ("audit", "verify", "--json")
    answer = _run(*words, GLIOLOOP_STATE_FOLDER=str(tmp_path))
    assert answer.returncode == 1
    error = json.loads(answer.stdout)["error"]
    assert (error["code"], error["detail"].partition(" at ")[0]) == (
        "COMMAND_FAILED",
        "OperationalError",
    )
    assert "Traceback" not in answer.stderr and "GLIOLOOP_TRACEBACK" in answer.stderr
    told = _run(*words, GLIOLOOP_STATE_FOLDER=str(tmp_path), GLIOLOOP_TRACEBACK="1")
    assert "Traceback" in told.stderr


def test_answers_are_one_document_and_progress_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with live_progress() as progress:
        progress.report("first", None)
        progress.report("first", 0.5)
        progress.note("a line [not markup]")
        progress.report("second", 1.0)
    out, told = capfd.readouterr()
    assert out == ""
    lines = told.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["first", "a line [not markup]", "first", "second", "second"]
    assert lines[2].endswith(" s")


def test_bash_completes_the_launcher(tmp_path: Path) -> None:
    """Installed with the launcher's own option, bash completes commands and options after ``./glioloop``."""
    script = """
        ./glioloop --install-completion >/dev/null && source ~/.bash_completions/glioloop.sh
        complete -p glioloop >/dev/null || exit 1
        complete_as() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _glioloop_completion "$1"; echo "${COMPREPLY[*]}"; }
        complete_as ./glioloop mod
        complete_as ./glioloop models r
        complete_as ./glioloop segment --j
    """
    environment = os.environ | {"HOME": str(tmp_path), "SHELL": "/bin/bash"}
    answer = subprocess.run(
        ["bash", "-c", script],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120, check=False,
    )  # fmt: skip
    assert answer.stdout.split() == ["models", "rollback", "--json"], answer.stderr
    assert "glioloop.sh" in (tmp_path / ".bashrc").read_text()
