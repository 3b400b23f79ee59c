"""Command ``fetch``: the running node finds studies at a modality and brings them."""

import time
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress


def fetch(
    modality: Annotated[str, typer.Argument(help="Name in Orthanc's DicomModalities.")],
    study: Annotated[str, typer.Option(help="StudyInstanceUID.")] = "",
    patient: Annotated[str, typer.Option(help="PatientID.")] = "",
    accession: Annotated[str, typer.Option(help="Accession number.")] = "",
    description: Annotated[str, typer.Option(help="StudyDescription; * and ? as in DICOM.")] = "",
    date: Annotated[str, typer.Option(help="YYYYMMDD, a range of two, today or yesterday.")] = "",
    most: Annotated[int, typer.Option(min=1, max=500, help="A query that finds more is refused.")] = 20,
    configuration: Annotated[
        Path | None, typer.Option(help="Orthanc configuration that the node was started from.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest time, in seconds.")] = 3600,
    as_json: AsJson = False,
) -> None:
    """Find studies at a configured modality (C-FIND) and have it send them (C-MOVE)."""
    # Imported here: `--help` should not pay for them.
    from pipeline.errors import GlioLoopError  # noqa: PLC0415
    from pipeline.names import ENDED_JOBS  # noqa: PLC0415
    from pipeline.node.check import RunningNode  # noqa: PLC0415
    from pipeline.node.configuration import NODE_CONFIGURATION  # noqa: PLC0415

    given = {"study": study, "patient": patient, "accession": accession, "description": description, "date": date}
    body = {"modality": modality, "most": most, **{key: value for key, value in given.items() if value}}
    with live_progress() as progress, RunningNode(configuration or NODE_CONFIGURATION) as node:
        view = node.fetch(body)
        progress.report(f"{modality} is asked", None)
        deadline = time.monotonic() + timeout
        while view.state not in ENDED_JOBS:
            if time.monotonic() > deadline:
                raise GlioLoopError("RETRIEVE_FAILED", f"not ended within {timeout:g} s; it goes on at the node")
            time.sleep(0.5)
            view = node.fetched(view.id)
    if view.error:
        raise view.error.error
    outcome = view.outcome
    told = (
        f"{len(outcome.found)} found, {len(outcome.here)} here already, {len(outcome.fetched)} fetched"
        if outcome
        else ""
    )
    failed = [f"{uid}: {why}" for uid, why in outcome.failed.items()] if outcome else []
    answer(view.as_json(), "\n".join([told, *failed]), as_json)
