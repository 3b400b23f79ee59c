"""Commands ``audit verify | show | export``."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipeline.audit.trail import AuditTrail, Entry
from pipeline.cli.console import AsJson, answer

app = typer.Typer(no_args_is_help=True)

#: Exit status of a trail that is not what was written.
TAMPERED = 4


def _trail() -> AuditTrail:
    from pipeline.database.engine import database_of  # noqa: PLC0415 - `--help` should not wait
    from pipeline.settings import load_settings  # noqa: PLC0415 - `--help` should not wait for pydicom

    return AuditTrail(database_of(load_settings()))


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check the chain of hashes; exit status 4 and the line's number where it is broken."""
    trail = _trail()
    faults = trail.verify()
    count = sum(1 for _ in trail.lines())
    text = "" if faults else f"whole: {count} entries, head {trail.head()}"
    answer({"lines": count, "head": trail.head(), "faults": [asdict(one) for one in faults]}, text, as_json)
    if faults:
        for fault in faults:
            print(f"line {fault.line}: {fault.what}", file=sys.stderr)
        raise typer.Exit(TAMPERED)


@app.command()
def show(
    subject: Annotated[str, typer.Argument(help="A job, study or model; empty: everything.")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many, from the end.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show the latest entries."""
    found = [one for one in _trail().entries() if not subject or subject in (one.subject, one.data.get("study"))]
    answer([asdict(entry) for entry in found[-last:]], "\n".join(map(_line, found[-last:])), as_json)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File that gets every line as it was hashed.")], as_json: AsJson = False
) -> None:
    """Write the trail to a file, for another host to keep or another program to check."""
    count = 0
    with out.open("w") as file:
        for line in _trail().lines():
            file.write(line + "\n")
            count += 1
    answer({"lines": count}, f"{count} lines in {out}", as_json)


def _line(entry: Entry) -> str:
    facts = json.dumps(dict(entry.data), separators=(",", ":"))
    return f"{entry.at} {entry.event} {entry.subject} by {entry.who} {facts}"
