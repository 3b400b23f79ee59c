"""Commands ``train | export | sample``; torch is imported only when one runs."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import AsJson, answer, live_progress
from pipeline.names import Region

if TYPE_CHECKING:
    from pipeline.training.network import NetworkShape


def train(
    heads: Annotated[Path, typer.Option(help="Folder of head label maps (NIfTI, 1 mm).", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, log.csv, curves.png and rendered samples.")],
    recipe: Annotated[str, typer.Option(help="real: as docs/training.md has it; what else is given goes first.")] = "",
    stage: Annotated[str, typer.Option(help="tumour (1.5 mm) or brain (whole head, 4 mm).")] = "tumour",
    cases: Annotated[Path | None, typer.Option(help="BraTS-layout cases to learn from.", exists=True)] = None,
    tuning: Annotated[
        Path | None, typer.Option(help="BraTS-layout cases to validate on; else rendered ones.", exists=True)
    ] = None,
    case_share: Annotated[float | None, typer.Option(min=0, max=1, help="Share of steps on a real case; 0.7.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the schedule; 6000.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after this long, 240; --resume goes on.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides weights, samples and their order.")] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint in --out.")] = False,
    workers: Annotated[int | None, typer.Option(min=0, help="Rendering processes; 1.")] = None,
    drawers: Annotated[int | None, typer.Option(min=1, help="Threads that draw samples of real cases; 1.")] = None,
    start: Annotated[
        Path | None, typer.Option(help="ONNX file of an earlier network to go on from.", exists=True)
    ] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Highest learning rate; 1.5e-3.")] = None,
    reuse: Annotated[int | None, typer.Option(min=1, help="Steps per rendered sample; 4.")] = None,
    patience: Annotated[
        int | None,
        typer.Option(min=0, help="Validations without gain until the rate is halved; after the third, stop."),
    ] = None,
    healthy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of rendered heads without a tumour; else a quarter.")
    ] = None,
    cavities: Annotated[
        float | None, typer.Option(min=0, max=1, help="Share of rendered heads after surgery; else about a tenth.")
    ] = None,
    validate_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints; 250.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Processor threads; else every core.")] = None,
    features: Annotated[
        str, typer.Option(help="Channels of the levels, finest first, like 32-64-128-160; else the stage's own.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Train a network on synthetic studies of label maps, real cases mixed in where given."""
    from pipeline.training.loop import TrainingPlan  # noqa: PLC0415 - torch takes seconds to import
    from pipeline.training.loop import train as run  # noqa: PLC0415
    from pipeline.training.recipes import RECIPES  # noqa: PLC0415

    if stage not in ("tumour", "brain"):
        raise typer.BadParameter("--stage is tumour or brain")
    if recipe and recipe not in RECIPES:
        raise typer.BadParameter(f"--recipe is one of {', '.join(RECIPES)}")
    if recipe and cases is None:
        raise typer.BadParameter("--recipe real learns from --cases")
    given = {
        "case_share": case_share,
        "steps": steps,
        "minutes": minutes,
        "seed": seed,
        "workers": workers,
        "drawers": drawers,
        "rate": rate,
        "reuse": reuse,
        "patience": patience,
        "healthy": healthy,
        "cavities": cavities,
        "validate_every": validate_every,
        "threads": threads,
    }
    shape = _shape(features, stage) if features else None
    plan = TrainingPlan(heads, out, whole=stage == "brain", cases=cases, tuning=tuning, start=start, shape=shape)
    chosen = (RECIPES[recipe] if recipe else {}) | {name: one for name, one in given.items() if one is not None}
    plan = replace(plan, **chosen)  # type: ignore[arg-type]  # numbers whose ranges typer has checked
    with live_progress() as progress:
        state = run(plan, resume, progress.note, progress.report)
    outcome = {"stage": stage, "step": state.learner.step, "best_dice": state.best, "out": str(out)}
    answer(outcome, f"step {state.learner.step}, best Dice {state.best:.3f}; checkpoints in {out}", as_json)


def _shape(features: str, stage: str) -> "NetworkShape":
    from pipeline.training.network import BRAIN_SHAPE, TUMOUR_SHAPE  # noqa: PLC0415 - torch takes seconds to import

    try:
        widths = tuple(int(width) for width in features.split("-"))
    except ValueError:
        raise typer.BadParameter("--features is like 32-64-128-160") from None
    return replace(BRAIN_SHAPE if stage == "brain" else TUMOUR_SHAPE, features=widths)


def export(
    tumour: Annotated[Path, typer.Option(help="Checkpoint of the tumour network.", exists=True)],
    brain: Annotated[Path, typer.Option(help="Checkpoint of the brain network.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder of the model: model.onnx, brain.onnx, model.json.")],
    name: Annotated[str, typer.Option(help="Name on the card.")] = "gliounet",
    version: Annotated[str, typer.Option(help="Version on the card.")] = "0.1.0",
    metrics: Annotated[Path | None, typer.Option(help="JSON list of the card's metrics.", exists=True)] = None,
    threshold: Annotated[
        list[str] | None, typer.Option(help="REGION=PROBABILITY of the card, repeatable; else 0.5.")
    ] = None,
    temperature: Annotated[
        list[str] | None, typer.Option(help="REGION=NUMBER that raw outputs are divided by, repeatable; else 1.")
    ] = None,
    parent: Annotated[str, typer.Option(help="name@version that the training went on from.")] = "",
    start: Annotated[Path | None, typer.Option(help="ONNX file of that network, for --share.", exists=True)] = None,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="How far from there to the trained weights the exported ones lie.")
    ] = 1.0,
    also: Annotated[
        list[Path] | None, typer.Option(help="ONNX file of a network to average with, repeatable.", exists=True)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export checkpoints to ONNX with a parity check and a model card."""
    from pipeline.registry import Metric  # noqa: PLC0415
    from pipeline.registry.parts import Lineage  # noqa: PLC0415
    from pipeline.training.export import CardFacts, write_model  # noqa: PLC0415 - torch takes seconds to import

    measured = [Metric.model_validate(m) for m in json.loads(metrics.read_text())] if metrics else []
    facts = CardFacts(
        name=name,
        version=version,
        metrics=measured,
        thresholds=_by_region("--threshold", threshold or []),
        temperatures=_by_region("--temperature", temperature or []),
        lineage=Lineage(parent=parent) if parent else None,
    )
    with live_progress() as progress:
        progress.report("export, and compare with PyTorch", None)
        card = write_model(tumour, brain, out, facts, start, share, tuple(also or ()))
    answer(card.model_dump(mode="json"), f"{card.identity} in {out}", as_json)


def _by_region(option: str, given: list[str]) -> dict[Region, float]:
    try:
        return {Region(name): float(value) for name, _, value in (one.partition("=") for one in given)}
    except ValueError as error:
        raise typer.BadParameter(f"{option} is like WT=0.4: {error}") from None


def sample(
    head: Annotated[Path, typer.Option(help="Head label map to render.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder for t1, t1c, t2, flair and the truth.")],
    seed: Annotated[int, typer.Option(help="Decides everything random.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Render a synthetic DICOM study with a tumour."""
    from pipeline.training.synthesis.study import write_study  # noqa: PLC0415 - torch takes seconds to import

    with live_progress() as progress:
        progress.report("render", None)
        truth = write_study(head, out, seed)
    answer(truth, f"a study and its truth in {out}", as_json)
