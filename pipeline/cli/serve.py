"""Command ``serve``: the node in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer


def serve(
    configuration: Annotated[
        Path | None, typer.Option(help="Orthanc configuration to start from; default: orthanc.json of this repository.")
    ] = None,
    http_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Instead of the configuration's.")] = None,
    dicom_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Instead of the configuration's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the node (Orthanc with the plugin and its worker) until interrupted."""
    # Imported here: `--help` should not pay for them.
    from pipeline.node.configuration import NODE_CONFIGURATION  # noqa: PLC0415
    from pipeline.node.foreground import run_until_interrupted  # noqa: PLC0415

    def announce(facts: dict[str, object]) -> None:
        typer.echo("\n".join(f"{name.replace('_', ' ')}: {value}" for name, value in facts.items()), err=True)
        answer(facts, "", as_json)

    run_until_interrupted(configuration or NODE_CONFIGURATION, http_port, dicom_port, announce)
