"""The command that runs the benchmarks, and what every benchmark must keep to."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.cli import bench
from pipeline.cli.application import app
from pipeline.cli.bench import benchmarks_in, run_benchmark
from pipeline.settings import ROOT

SCRIPT = '''"""Measures {name}.

More of it.
"""
import sys

def main():
    print({output!r})
    print("on its way", file=sys.stderr)
    sys.exit({status})

if __name__ == "__main__":
    main()
'''


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a benchmark that works, one that cannot run, one that fails, and a part of others."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for name, output, status in (("good", '{"dice": 1}', 0), ("lacking", "", 77), ("wrong", "", 3), ("words", "x", 0)):
        (folder / f"{name}.py").write_text(SCRIPT.format(name=name, output=output, status=status))
    (folder / "part.py").write_text('"""No benchmark."""\n')
    monkeypatch.setattr(bench, "_ROOT", tmp_path)
    return tmp_path


def test_scripts_with_a_main_are_benchmarks(repository: Path) -> None:
    found = {one.name: one.title for one in benchmarks_in(repository / "benchmarks")}
    assert list(found) == ["good", "lacking", "words", "wrong"]
    assert found["good"] == "Measures good."


def test_what_became_of_a_run(repository: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ended = {name: run_benchmark(name, True, repository) for name in ("good", "lacking", "wrong", "words")}
    assert ended["good"].results == {"dice": 1}
    assert ended["lacking"].skipped == "on its way"
    assert ended["wrong"].failed == "exit status 3: on its way"
    assert "not JSON" in ended["words"].failed
    assert capfd.readouterr().err.count("on its way") == 4


def test_command_prints_one_document_and_tells_failure_by_its_status(repository: Path) -> None:
    answer = CliRunner().invoke(app, ["bench", "good", "lacking", "--json"])
    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["benchmarks"]["good"]["results"] == {"dice": 1}
    assert CliRunner().invoke(app, ["bench", "wrong", "--json"]).exit_code == 1
    assert CliRunner().invoke(app, ["bench", "unknown"]).exit_code == 2
    assert "Measures good." in CliRunner().invoke(app, ["bench", "--list"]).stdout


def test_every_benchmark_says_what_it_measures_and_can_give_json() -> None:
    found = benchmarks_in(ROOT / "benchmarks")
    assert {"rtstruct", "readers"} <= {one.name for one in found}
    for one in found:
        assert len(one.title) > 20, one.name
        source = (ROOT / "benchmarks" / f"{one.name}.py").read_text()
        options = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.args[0]) == "'--json'"
        ]
        keywords = {word.arg: ast.unparse(word.value) for option in options for word in option.keywords}
        assert keywords.get("action") == "'store_true'", f"{one.name}: --json must print one document on stdout"
        assert "required" not in source or "required=True" not in source, f"{one.name} must run without options"


def test_what_the_node_logs_is_no_part_of_a_benchmark_s_document() -> None:
    code = "import benchmarks.environment, structlog; structlog.get_logger().warning('logged'); print('{}')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "{}\n"
    assert "logged" in done.stderr
