"""Command ``check``: the running node delineates its sample study, and says whether as expected."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress

if TYPE_CHECKING:
    from pipeline.jobs.checks import CheckOutcome


def check(
    record: Annotated[
        bool, typer.Option("--record", help="Expect from now on what this check finds (after a new network).")
    ] = False,
    configuration: Annotated[
        Path | None, typer.Option(help="Orthanc configuration that the node was started from.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest time for the check, in seconds.")] = 3600,
    as_json: AsJson = False,
) -> None:
    """Send the sample study through the running node and compare its contours with the expected ones."""
    # Imported here: `--help` should not pay for them.
    from pipeline.errors import GlioLoopError  # noqa: PLC0415
    from pipeline.node.check import RunningNode  # noqa: PLC0415
    from pipeline.node.configuration import NODE_CONFIGURATION  # noqa: PLC0415

    with live_progress() as progress, RunningNode(configuration or NODE_CONFIGURATION) as node:
        identity = node.ask(record)
        progress.report("the node delineates its sample study", None)
        deadline = time.monotonic() + timeout
        while (state := node.state()).running or state.id != identity:
            if time.monotonic() > deadline:
                raise GlioLoopError("NODE_UNWELL", f"the check did not end within {timeout:g} s")
            time.sleep(1)
    if state.error:
        raise GlioLoopError("NODE_UNWELL", state.error.detail, {"check": state.as_json()})
    answer(state.as_json(), _summary(state.outcome) if state.outcome else "", as_json)


def _summary(outcome: "CheckOutcome") -> str:
    with_what = "the sample's truth; expected from now on" if outcome.recorded else "what was expected"
    dice = ", ".join(f"{region} {value:.3f}" for region, value in outcome.dice.items())
    return f"The node is well ({outcome.model}, {outcome.seconds:.0f} s). Dice to {with_what}: {dice}"
