"""Command ``demo``: the whole loop on this machine, told as it happens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress

if TYPE_CHECKING:
    from pipeline.node.demo.outcome import Outcome

SAMPLE_STUDY = Path(__file__).resolve().parents[2] / "samples" / "synthetic-study"

#: Exit status by what became of the study; 0 only with the structure set at the workstation. 3 is what
#: every command of this program ends with where a study is refused.
EXIT_FAILED = 1
EXIT_REFUSED = 3
EXIT_NOT_DELIVERED = 4


def demo(
    study: Annotated[
        Path, typer.Option(exists=True, file_okay=False, help="Folder with the DICOM files of a study.")
    ] = SAMPLE_STUDY,
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything up until interrupted.")] = False,
    as_json: AsJson = False,
    timeout: Annotated[float, typer.Option(min=1, help="Longest time for the job, in seconds.")] = 3600,
) -> None:
    """Send a study through a node and a workstation on this machine, and show what comes out."""
    # Imported here: `--help` should not pay for them.
    from pipeline.cli.demo_report import on_termination, show, viewer_for, wait_for_interrupt  # noqa: PLC0415
    from pipeline.node.demo.loop import run, servers  # noqa: PLC0415
    from pipeline.node.demo.sender import study_in_folder  # noqa: PLC0415
    from pipeline.settings import load_settings  # noqa: PLC0415

    try:
        with on_termination(), live_progress() as progress:
            files = study_in_folder(study)
            state_root = load_settings().state_folder
            viewer = viewer_for(state_root, progress, fetch=keep)
            with servers(state_root, progress.report, viewer) as loop:
                outcome = run(loop, files, timeout)
                progress.finish()
                show(outcome, loop)
                answer(outcome.document().as_json(), "", as_json)
                if keep:
                    wait_for_interrupt(loop)
            if outcome.at_workstation:
                loop.remove_images()
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(_exit_status(outcome))


def _exit_status(outcome: "Outcome") -> int:
    if outcome.at_workstation:
        return 0
    return {"refused": EXIT_REFUSED, "done": EXIT_NOT_DELIVERED}.get(outcome.state.value, EXIT_FAILED)
