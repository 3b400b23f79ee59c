"""Command ``run-archive``: every study of the running node's archive, in quiet hours, and a table at the end."""

import csv
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress

if TYPE_CHECKING:
    from pipeline.corrections.pseudonyms import Pseudonyms
    from pipeline.research.archive_run import ArchiveRun, Asked


def run_archive(
    out: Annotated[Path, typer.Argument(help="Table to write (CSV), a row a study.")],
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="First day of the studies.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day of the studies.")
    ] = None,
    modality: Annotated[str, typer.Option(help="One of the study's modalities.")] = "MR",
    description: Annotated[str, typer.Option(help="StudyDescription; * and ? as in DICOM.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the studies and ask for nothing.")] = False,
    destination: Annotated[
        list[str] | None, typer.Option(help="Send results there, too (several times for several); else to nobody.")
    ] = None,
    model: Annotated[str, typer.Option(help="name@version; default: the promoted one.")] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Also studies that another network or version has delineated.")
    ] = False,
    at_any_time: Annotated[bool, typer.Option("--now", help="Do not wait for QuietHours.")] = False,
    ahead: Annotated[int, typer.Option(min=1, max=100, help="Most jobs that are open at the same time.")] = 4,
    identifiers: Annotated[
        bool, typer.Option("--identifiers", help="Write who the patients are, in the place of pseudonyms.")
    ] = False,
    redcap: Annotated[
        bool, typer.Option("--redcap", help="Write it as REDCap imports it, with a data dictionary beside.")
    ] = False,
    configuration: Annotated[
        Path | None, typer.Option(help="Orthanc configuration that the node was started from.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Have every study of the archive delineated, behind all others, and write what came of each as a table.

    It may be stopped and begun again: what was asked for is known, and nothing is done twice.
    """
    # Imported here: `--help` should not pay for them.
    from pipeline.node.check import RunningNode  # noqa: PLC0415
    from pipeline.node.configuration import NODE_CONFIGURATION  # noqa: PLC0415
    from pipeline.research.archive_run import ArchiveQuery, ArchiveRun, find_studies  # noqa: PLC0415

    base = configuration or NODE_CONFIGURATION
    query = ArchiveQuery(_day(since), _day(until), modality, description)
    pseudonyms = None if identifiers else _pseudonyms(base)
    with live_progress() as progress, RunningNode(base) as node:
        run = ArchiveRun.of(node, find_studies(node, query))
        run.destinations, run.model, run.again = tuple(destination or ()), model, again
        run.at_any_time, run.ahead = at_any_time, ahead
        written: list[Path] = []
        try:
            if not dry_run:
                total = len(run.asked)
                progress.report(f"{total} studies", 0.0)
                run.run(lambda ended, _: progress.report(f"{total} studies", ended / total))
        finally:
            # What a run that is stopped has found so far is found.
            written = _write(out, run.asked, pseudonyms, redcap)
    answer(_document(run, written), _summary(run, written), as_json)


def _day(moment: datetime | None) -> date | None:
    return moment.date() if moment else None


def _pseudonyms(base: Path) -> "Pseudonyms":
    from pipeline.corrections.pseudonyms import Pseudonyms  # noqa: PLC0415 - see above
    from pipeline.database.engine import database_of  # noqa: PLC0415
    from pipeline.node.configuration import read_commented_json  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415

    return Pseudonyms.of_installation(database_of(load_settings(read_commented_json(base).get("GlioLoop", {}))))


def _write(out: Path, asked: "list[Asked]", pseudonyms: "Pseudonyms | None", redcap: bool) -> list[Path]:
    from pipeline.research import redcap as form  # noqa: PLC0415 - see above
    from pipeline.research.table import columns, rows  # noqa: PLC0415

    wanted = columns(pseudonyms)
    if not redcap:
        return [_table(out, [column.name for column in wanted], rows(asked, wanted))]
    table = _table(out, form.head(wanted), [form.row(one, wanted) for one in asked])
    dictionary = out.with_name(f"{out.stem}_data_dictionary.csv")
    return [table, _table(dictionary, form.DICTIONARY_HEAD, form.dictionary(wanted))]


def _table(path: Path, head: Iterable[str], lines: Iterable[Iterable[str]]) -> Path:
    from pipeline.records.cells import harmless  # noqa: PLC0415 - see above

    with path.open("w", newline="", encoding="utf-8") as file:
        write = csv.writer(file).writerow
        write(head)
        for line in lines:
            write(map(harmless, line))
    return path


def _counts(run: "ArchiveRun") -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in run.asked:
        counts[one.state or "not asked for"] = counts.get(one.state or "not asked for", 0) + 1
    return counts


def _document(run: "ArchiveRun", written: list[Path]) -> dict[str, object]:
    return {"studies": len(run.asked), "states": _counts(run), "files": [str(path) for path in written]}


def _summary(run: "ArchiveRun", written: list[Path]) -> str:
    told = ", ".join(f"{count} {state}" for state, count in _counts(run).items())
    return f"{len(run.asked)} studies{': ' if told else ''}{told}; {', '.join(map(str, written))}"
