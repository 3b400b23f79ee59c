"""Command ``bench``: the scripts of ``benchmarks/``, with the peers beside them in the same run.

A benchmark is a script of that folder with a function ``main`` and a docstring whose first line says what it
measures. It is run as ``python -m benchmarks.NAME``, with ``--json`` where one JSON document is wanted on stdout;
it tells its progress on stderr and ends with :data:`EXIT_SKIPPED`, its last line on stderr the reason, where
something that it needs is not on this machine.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress

#: Exit status of a benchmark that cannot run here, as automake has it.
EXIT_SKIPPED = 77

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Benchmark:
    """One script.

    Attributes
    ----------
    name
        File name without ending.
    title
        First line of its docstring.
    """

    name: str
    title: str


@dataclass(frozen=True)
class Ended:
    """How a benchmark ended.

    Attributes
    ----------
    seconds
        How long it ran.
    results
        Its JSON document, where that was wanted.
    skipped, failed
        Why there are none.
    """

    seconds: float
    results: object = None
    skipped: str = ""
    failed: str = ""

    @property
    def state(self) -> str:
        """In words."""
        return f"skipped: {self.skipped}" if self.skipped else f"failed: {self.failed}" if self.failed else "done"

    def as_json(self) -> dict[str, object]:
        """The document, without what there is none of."""
        return {key: value for key, value in asdict(self).items() if key == "seconds" or value not in (None, "")}


def benchmarks_in(folder: Path) -> list[Benchmark]:
    """Return the benchmarks of a folder by name; files without a function ``main`` are parts of others."""
    found = []
    for path in sorted(folder.glob("*.py")):
        tree = ast.parse(path.read_bytes())
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            found.append(Benchmark(path.stem, (ast.get_docstring(tree) or "").partition("\n")[0]))
    return found


def _told(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run_benchmark(name: str, as_json: bool, root: Path, note: Callable[[str], None] = _told) -> Ended:
    """Run one benchmark in a process of its own.

    Parameters
    ----------
    name
        Which.
    as_json
        Take its results as JSON; otherwise what it prints goes to this process's stdout.
    root
        The repository.
    note
        Takes each line of its stderr.

    """
    command = [sys.executable, "-P", "-m", f"benchmarks.{name}", *(["--json"] if as_json else [])]
    path = os.pathsep.join(part for part in (str(root), os.environ.get("PYTHONPATH")) if part)
    begin = time.monotonic()
    with tempfile.TemporaryFile() as kept:
        with subprocess.Popen(
            command,
            cwd=root,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=kept if as_json else None,
            stderr=subprocess.PIPE,
        ) as process:
            last = _passed_on(process, note)
        kept.seek(0)
        output = kept.read()
    seconds = round(time.monotonic() - begin, 1)
    if process.returncode == EXIT_SKIPPED:
        return Ended(seconds, skipped=last)
    if process.returncode:
        return Ended(seconds, failed=f"exit status {process.returncode}: {last}")
    if not as_json:
        return Ended(seconds)
    try:
        return Ended(seconds, results=json.loads(output))
    except ValueError as error:
        return Ended(seconds, failed=f"its output is not JSON: {error}")


def _passed_on(process: subprocess.Popen[bytes], note: Callable[[str], None]) -> str:
    """Hand the lines of a process's stderr on while it runs, and return the last."""
    last = ""
    assert process.stderr is not None  # it was asked for
    for line in process.stderr:
        text = line.decode(errors="replace").rstrip()
        last = text or last
        note(text)
    return last


def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Which; all of them where none is named.")] = None,
    only_list: Annotated[bool, typer.Option("--list", help="Say which there are, and run none.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the benchmarks, with peers side by side in the same run."""
    known = benchmarks_in(_ROOT / "benchmarks")
    titles = {one.name: one.title for one in known}
    if unknown := sorted(set(names or ()) - set(titles)):
        raise typer.BadParameter(f"no benchmark {', '.join(unknown)}; there are: {', '.join(titles) or 'none here'}")
    if only_list:
        answer(titles, "\n".join(f"{name:16}{title}" for name, title in titles.items()), as_json)
        return
    ended: dict[str, Ended] = {}
    with live_progress() as progress:
        for name in names or titles:
            # A bar would stand in the way of what the benchmark prints itself.
            (progress.report if as_json else _headline)(f"{name}: {titles[name]}", None)
            ended[name] = run_benchmark(name, as_json, _ROOT, progress.note)
    answer(_machine() | {"benchmarks": {name: one.as_json() for name, one in ended.items()}}, "", as_json)
    for name, one in ended.items():
        typer.echo(f"{name:16}{one.seconds:7.1f} s  {one.state}", err=True)
    raise typer.Exit(1 if any(one.failed for one in ended.values()) else 0)


def _headline(title: str, _fraction: float | None) -> None:
    _told(f"== {title}")


def _machine() -> dict[str, object]:
    return {"cores": len(os.sched_getaffinity(0)), "load_15_min": round(os.getloadavg()[2], 2)}
