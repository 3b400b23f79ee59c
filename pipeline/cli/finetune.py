"""Command ``finetune``: learn from the corrections now, in this process's own time."""

import time
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress


def finetune(
    model: Annotated[str, typer.Option(help="name@version to start from; default: the one in use.")] = "",
    steps: Annotated[int, typer.Option(help="Optimiser steps; 0: as configured.", min=0)] = 0,
    every: Annotated[bool, typer.Option("--all", help="Learn also from corrections nobody approved.")] = False,
    promote: Annotated[bool, typer.Option("--promote", help="Put it to use if the guard lets it pass.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune the network on the corrections in the store, and judge what comes out.

    Runs without a node; where one runs, POST /glioloop/finetune queues the same behind its clinical jobs.
    """
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
