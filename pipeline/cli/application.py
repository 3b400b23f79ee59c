"""The commands of ``./glioloop``. Each imports what it needs when it runs: ``--help`` must be quick."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.audit import app as audit
from pipeline.cli.backup import backup, restore
from pipeline.cli.bench import bench
from pipeline.cli.check import check
from pipeline.cli.console import AsJson, answer, explain, live_progress, unforeseen
from pipeline.cli.corrections import app as feedback
from pipeline.cli.demo import demo
from pipeline.cli.evaluate import evaluate
from pipeline.cli.fetch import fetch
from pipeline.cli.finetune import finetune
from pipeline.cli.follow import follow
from pipeline.cli.models import app as models
from pipeline.cli.run_archive import run_archive
from pipeline.cli.serve import serve
from pipeline.cli.train import export, sample, train
from pipeline.errors import GlioLoopError

if TYPE_CHECKING:
    from pipeline.case.outcomes import SegmentationResult

#: Exit status of a study that was refused, apart from 1 for what failed and 2 for wrong words.
EXIT_REFUSED = 3

app = typer.Typer(
    name="glioloop",
    help="Brain tumours on MRI, delineated as RT Structure Sets inside Orthanc. Research use only.",
    epilog="The launcher script also knows: setup [dev] [train] [import], test [pytest arguments], lint, worker.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(serve)
app.command()(check)
app.command()(backup)
app.command()(restore)
app.command()(evaluate)
app.command()(train)
app.command()(export)
app.command()(sample)
app.command()(finetune)
app.command()(follow)
app.command()(fetch)
app.command("run-archive")(run_archive)
app.command()(bench)
app.add_typer(feedback, name="feedback", help="Corrections that came back: list, export, trust, delete.")
app.add_typer(models, name="models", help="The networks: list, show, import, promote, rollback.")
app.add_typer(audit, name="audit", help="The audit trail: verify, show.")


@app.command()
def segment(
    study: Annotated[Path, typer.Argument(help="Folder with the DICOM files of one study.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for rtstruct.dcm, seg.dcm, report.dcm, preview.png, result.json.")],
    model: Annotated[str, typer.Option(help="name@version; default: the promoted one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Run the pipeline on a folder, with no server."""
    from pipeline.case.segment import segment_folder  # noqa: PLC0415 - SimpleITK and the rest take a second to import

    with live_progress() as progress:
        result = segment_folder(study, out, model or None, progress.report)
    answer(result.as_json(), _summary(result, out), as_json)


def _summary(result: "SegmentationResult", out: Path) -> str:
    volumes = ", ".join(f"{region} {ml:.1f} ml" for region, ml in result.volumes_ml.items())
    found = volumes if result.tumour_found else "no tumour found by the network"
    flags = "".join(f"\n{flag.code}: {flag.message} {flag.detail}".rstrip() for flag in result.flags)
    return f"{found} ({result.model}), in {out}{flags}"


def main() -> None:
    """Run the command line; what goes wrong is told with its code and what to do, not as a traceback."""
    as_json = "--json" in sys.argv
    try:
        # The name that completion is installed for, however this was started.
        app(prog_name="glioloop")
    except GlioLoopError as error:
        explain(error, as_json)
        sys.exit(EXIT_REFUSED if error.reason.kind == "refusal" else 1)
    except Exception as error:
        explain(unforeseen(error, bool(os.environ.get("GLIOLOOP_TRACEBACK"))), as_json)
        sys.exit(1)
