"""Commands ``backup`` and ``restore``: what the node remembers, in one file and back."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer

_Configuration = Annotated[
    Path | None, typer.Option(help="Orthanc configuration of the node; default: orthanc.json of this repository.")
]


def backup(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    archive: Annotated[
        bool, typer.Option("--archive", help="Orthanc's index and images, too; only while the node is stopped.")
    ] = False,
    configuration: _Configuration = None,
    as_json: AsJson = False,
) -> None:
    """Write what the node remembers into one file, while it runs."""
    # Imported here: `--help` should not pay for them.
    from pipeline.node.backup import back_up  # noqa: PLC0415
    from pipeline.node.configuration import NODE_CONFIGURATION, settings_of  # noqa: PLC0415

    made = back_up(settings_of(configuration or NODE_CONFIGURATION), file.resolve(), archive)
    where = "" if made.database else "; the database is a server's: back that up beside it"
    answer(made.as_json(), f"{len(made.files)} files in {file}{where}", as_json)


def restore(
    file: Annotated[Path, typer.Argument(help="File that `backup` wrote.", exists=True)],
    configuration: _Configuration = None,
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into the state folder, which must be empty."""
    from pipeline.node.backup import restore as bring_back  # noqa: PLC0415
    from pipeline.node.configuration import NODE_CONFIGURATION, state_folder_of  # noqa: PLC0415

    state = state_folder_of(configuration or NODE_CONFIGURATION)
    made = bring_back(file.resolve(), state)
    answer(made.as_json(), f"{len(made.files)} files in {state}", as_json)
