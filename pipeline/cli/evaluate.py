"""Command ``evaluate``."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress
from pipeline.names import MRSequence


def evaluate(
    cases: Annotated[
        Path, typer.Option(help="Folder of BraTS-layout cases, or of groups of them.", exists=True, file_okay=False)
    ],
    model: Annotated[str, typer.Option(help="name@version; default: the promoted one.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for report.md, evaluation.json and pictures.")] = None,
    labels: Annotated[
        str, typer.Option(help="brats, brats2023, brats2024 or brats2013; default: by values and images.")
    ] = "",
    without: Annotated[
        list[MRSequence] | None, typer.Option(case_sensitive=False, help="Leave this sequence out of every case.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a network: Dice, HD95, surface Dice, volume error and lesions per region, with intervals."""
    # Imported here: `--help` should not pay for SimpleITK and onnxruntime.
    from pipeline.database.engine import database_of  # noqa: PLC0415
    from pipeline.evaluation.evaluate import evaluate as run  # noqa: PLC0415
    from pipeline.evaluation.labels import SCHEMES  # noqa: PLC0415
    from pipeline.evaluation.report import means_table  # noqa: PLC0415
    from pipeline.registry import Registry  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415

    if labels and labels not in SCHEMES:
        raise typer.BadParameter(f"--labels is one of {', '.join(SCHEMES)}")
    settings = load_settings()
    registry = Registry(settings.models_folder, settings.state_folder, database_of(settings))
    installed = registry.get(model or settings.model or None)
    with live_progress() as progress:
        summary = run(cases, installed, out, SCHEMES.get(labels), progress.note, progress.report, without or ())
    parts = {"": summary, **(summary["groups"] if len(summary["groups"]) > 1 else {})}
    tables = ["\n".join([name, *means_table(part)]).lstrip() for name, part in parts.items()]
    answer(summary, "\n\n".join(tables), as_json)
