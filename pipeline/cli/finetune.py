"""Command ``finetune``: learn from the corrections now, in this process's own time, or look how far the node is."""

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress

if TYPE_CHECKING:
    from pipeline.jobs.finetuning import RunView


def finetune(
    model: Annotated[str, typer.Option(help="name@version to start from; default: the one in use.")] = "",
    steps: Annotated[int, typer.Option(help="Optimiser steps; 0: as configured.", min=0)] = 0,
    every: Annotated[bool, typer.Option("--all", help="Learn also from corrections nobody approved.")] = False,
    promote: Annotated[bool, typer.Option("--promote", help="Put it to use if the guard lets it pass.")] = False,
    status: Annotated[
        bool, typer.Option("--status", help="List the running node's fine-tunings, and learn nothing.")
    ] = False,
    configuration: Annotated[
        Path | None, typer.Option(help="With --status: Orthanc configuration that the node was started from.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the network on the corrections in the store, and judge what comes out.

    Runs without a node; where one runs, POST /glioloop/finetune queues the same behind its clinical jobs.
    """
    if status:
        return _tell_runs(configuration, as_json)
    from pipeline.finetune.direct import finetune_now  # noqa: PLC0415 - torch takes seconds to import

    asked = {"steps": steps} if steps else {}
    if every:
        asked["learn_from"] = "all"  # type: ignore[assignment]
    with live_progress() as progress:
        result = finetune_now(f"command-{time.time_ns()}", model or None, asked, promote, progress.report)
    decision = result.decision
    lines = [f"{result.model}: {'passed' if decision.passed else 'not passed'}. {decision.reason}"]
    if result.promoted:
        lines.append("It is in use from the next job on; `glioloop models rollback` goes back.")
    elif decision.passed:
        lines.append(f"`glioloop models promote {result.model}` puts it to use.")
    answer(result.as_json(), "\n".join(lines), as_json)


def _tell_runs(configuration: Path | None, as_json: bool) -> None:
    from pipeline.node.check import RunningNode  # noqa: PLC0415 - see above
    from pipeline.node.configuration import NODE_CONFIGURATION  # noqa: PLC0415

    with RunningNode(configuration or NODE_CONFIGURATION) as node:
        runs = node.finetunings()
    lines = [_line(one) for one in runs] or ["Nothing has been learnt yet."]
    answer([one.as_json() for one in runs], "\n".join(lines), as_json)


def _line(run: "RunView") -> str:
    """One fine-tuning: how far it is, who asked for it, what it waits for."""
    began = datetime.fromisoformat(run.created).astimezone() if run.created else None
    told = [
        run.id,
        run.state.value,
        f"{run.phase} {run.progress:.0%}" if run.phase else "",
        f"asked for by {run.asked_by}" if run.asked_by else "begun by itself",
        f"queued {began:%Y-%m-%d %H:%M}" if began else "",
    ]
    if run.waits_until:
        told.append(f"waits for quiet hours, from {datetime.fromisoformat(run.waits_until).astimezone():%H:%M}")
    elif run.waits_for:
        told.append("waits for clinical jobs")
    if run.result and run.result.model:
        told.append(run.result.model)
    if run.error:
        told.append(run.error.code)
    return ", ".join(one for one in told if one)
