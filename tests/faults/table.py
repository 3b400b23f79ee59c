"""The campaign's table: every cell with how it ended, when, on what, and how long it took."""

import fcntl
import json
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipeline import __version__
from pipeline.node.installation import orthanc_executable
from pipeline.settings import ROOT

#: Set by `./glioloop test --faults`: rewrite the table.
WRITE_VARIABLE: Final = "GLIOLOOP_FAULT_TABLE"
CELLS: Final = ROOT / "docs" / "faults.json"
PAGE: Final = ROOT / "docs" / "faults.md"
_MEANINGLESS: Final = "n/a: "
_BEGIN: Final = "<!-- campaign -->\n"
_END: Final = "<!-- /campaign -->"


@dataclass(frozen=True)
class Cell:
    """A fault at a stage, and how it ended.

    Attributes
    ----------
    fault, stage
        Which.
    outcome
        In a few words; begins with ``FAILED`` where it is not what must be.
    seconds
        How long the cell took; 0 where there is nothing to run.
    day
        UTC date of the run.
    """

    fault: str
    stage: str
    outcome: str
    seconds: float = 0.0
    day: str = ""


def today() -> str:
    """The date that a cell is noted with."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def versions() -> str:
    """What the campaign ran on."""
    said = subprocess.run([str(orthanc_executable()), "--version"], capture_output=True, text=True, check=False).stdout
    return f"GlioLoop {__version__}, {said.splitlines()[0]}, Python {platform.python_version()}"


def write(ran: Iterable[Cell], faults: list[str], stages: list[str], cells: Path = CELLS, page: Path = PAGE) -> None:
    """Put cells that were run among those of earlier runs, and draw the table anew.

    Parameters
    ----------
    ran
        Cells of this run; each replaces the one of an earlier run.
    faults, stages
        Rows and columns, in their order; cells of none of them are dropped.
    """
    with page.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the campaign's parts may run side by side
        stored = json.loads(cells.read_text()) if cells.exists() else []
        known = {(one["fault"], one["stage"]): Cell(**one) for one in stored}
        known |= {(one.fault, one.stage): one for one in ran}
        kept = [known[fault, stage] for fault in faults for stage in stages if (fault, stage) in known]
        part = cells.with_suffix(f".{os.getpid()}.part")
        part.write_text("[\n" + ",\n".join(json.dumps(asdict(one)) for one in kept) + "\n]\n")
        part.replace(cells)
        head, _, rest = page.read_text().partition(_BEGIN)
        page.write_text(head + _BEGIN + _draw(kept, faults, stages) + _END + rest.partition(_END)[2])


def _draw(cells: list[Cell], faults: list[str], stages: list[str]) -> str:
    by_place = {(one.fault, one.stage): one for one in cells}
    reasons = list(dict.fromkeys(one.outcome for one in cells if one.outcome.startswith(_MEANINGLESS)))
    ran = [one for one in cells if one.seconds]
    days = sorted({one.day for one in ran})
    lines = [
        f"{len(ran)} cells run, {sum(one.outcome.startswith('FAILED') for one in ran)} failed; "
        f"{sum(one.seconds for one in ran):.0f} s together; {' to '.join(dict.fromkeys((days[0], days[-1])))}; "
        f"{versions()}."
        if ran
        else "Not run yet.",
        "",
        "| fault | " + " | ".join(stages) + " |",
        "| --- |" + " --- |" * len(stages),
    ]
    for fault in faults:
        outcomes = [by_place[fault, stage].outcome if (fault, stage) in by_place else "not run" for stage in stages]
        drawn = [f"n/a ({reasons.index(one) + 1})" if one in reasons else one for one in outcomes]
        lines.append(f"| {fault} | " + " | ".join(drawn) + " |")
    lines += ["", *(f"({n}) {one.removeprefix(_MEANINGLESS)}.<br>" for n, one in enumerate(reasons, start=1))]
    return "\n".join(lines) + "\n"
