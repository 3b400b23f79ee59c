"""Commands ``models list | show | import | promote | rollback``."""

import getpass
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.console import AsJson, answer
from pipeline.registry.registry import InstalledModel, Registry

app = typer.Typer(no_args_is_help=True)


def _registry() -> Registry:
    from pipeline.database.engine import database_of  # noqa: PLC0415 - see below
    from pipeline.settings import load_settings  # noqa: PLC0415 - half a second that `--help` should not pay

    settings = load_settings()
    return Registry(settings.models_folder, settings.state_folder, database_of(settings))


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the installed networks; a star marks the one in use."""
    registry = _registry()
    current = registry.get(None).card.identity
    cards = [model.card for model in registry.installed()]
    listed = [card.model_dump(mode="json") | {"current": card.identity == current} for card in cards]
    lines = [f"{'*' if card.identity == current else ' '} {card.identity}  {card.description}" for card in cards]
    answer(listed, "\n".join(lines), as_json)


def _user() -> str:
    return f"command line, {getpass.getuser()}"


@app.command()
def show(model: Annotated[str, typer.Argument(help="name@version, or a name")], as_json: AsJson = False) -> None:
    """Show a network's card."""
    card = _registry().get(model).card
    answer(card.model_dump(mode="json"), card.model_dump_json(indent=2), as_json)


@app.command("import")
def import_model(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder with model.json and the ONNX files it names.", exists=True)
    ] = None,
    nnunet: Annotated[Path | None, typer.Option(help="Results folder of nnU-Net v2.", exists=True)] = None,
    monai: Annotated[Path | None, typer.Option(help="MONAI bundle.", exists=True)] = None,
    name: Annotated[str, typer.Option(help="Name of the network here.")] = "",
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    licence: Annotated[str, typer.Option(help="Its licence, where the folder does not say it.")] = "",
    channel: Annotated[
        list[str] | None, typer.Option(help="NAME=SEQUENCE of an input channel (t1, t1c, t2, flair).")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="NAME=REGION of an output (WT, TC, ET, cavity, none).")
    ] = None,
    orientation: Annotated[str, typer.Option(help="Where axes x, y, z of the training images grow to, as LPS.")] = "",
    spacing: Annotated[str, typer.Option(help="Voxel size x,y,z in mm, where the folder does not say it.")] = "",
    fold: Annotated[list[str] | None, typer.Option(help="A fold of nnU-Net; all where none is named.")] = None,
    checkpoint: Annotated[str | None, typer.Option(help="final or best, of nnU-Net.")] = None,
    mirror: Annotated[bool, typer.Option(help="Mirror as nnU-Net does: up to eight times the time.")] = True,
    postprocessing: Annotated[bool, typer.Option(help="Take nnU-Net's own post-processing.")] = True,
    skull: Annotated[
        bool | None, typer.Option(help="Show it the skull, or the brain alone; default: as in its training.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the folder here and install nothing.")] = None,
    as_json: AsJson = False,
) -> None:
    """Install a network of your own; it is not put to use before it is promoted."""
    if sum(one is not None for one in (folder, nnunet, monai)) != 1:
        raise typer.BadParameter("give one of FOLDER, --nnunet DIR and --monai DIR")
    source = nnunet or monai
    if source is None:
        assert folder is not None  # one of three
        imported = _registry().import_model(folder).card.identity
        answer({"imported": imported}, f"imported: {imported}", as_json)
        return
    values: dict[str, object] = {
        "tool": "nnunet" if nnunet is not None else "monai",
        "folder": source.resolve(),
        "name": name,
        "version": version,
        "licence": licence,
        "channels": _pairs(channel),
        "labels": {key: None if value.lower() == "none" else value for key, value in _pairs(label).items()},
        "orientation": orientation.upper(),
        "spacing_mm": tuple(spacing.split(",")) if spacing else None,
        "folds": fold or (),
        "checkpoint": checkpoint,
        "mirror": mirror,
        "postprocessing": postprocessing,
    }
    _convert(values, skull, out, as_json)


def _pairs(words: list[str] | None) -> dict[str, str]:
    pairs = [word.rpartition("=") for word in words or ()]
    if wrong := [value for name, _, value in pairs if not name]:
        raise typer.BadParameter(f"{wrong[0]}: write it as NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _convert(values: dict[str, object], skull: bool | None, out: Path | None, as_json: bool) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - `--help` must be quick

    from pipeline.conversion.apart import add_brain, convert_apart  # noqa: PLC0415 - as above
    from pipeline.conversion.request import ConversionRequest  # noqa: PLC0415 - as above

    registry = _registry()
    with tempfile.TemporaryDirectory() as work:
        target = Path(work, "model") if out is None else out.resolve()
        try:
            request = ConversionRequest.model_validate({**values, "out": target})
        except ValidationError as error:
            wrong = error.errors(include_input=False)[0]
            raise typer.BadParameter(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
        print("reading it in a process of its own", file=sys.stderr, flush=True)
        done = convert_apart(request)
        notes = list(done.notes)
        if not (skull if skull is not None else not done.skull_stripped):
            notes.append(f"it is shown the brain alone, as {add_brain(target, registry)} finds it (--skull)")
        imported = str(target) if out is not None else registry.import_model(target).card.identity
    lines = [f"written: {imported}" if out is not None else f"imported: {imported}", *(f"  {note}" for note in notes)]
    answer({"imported": imported, "notes": notes}, "\n".join(lines), as_json)


@app.command()
def promote(model: Annotated[str, typer.Argument(help="name@version")], as_json: AsJson = False) -> None:
    """Make a network the one that the next job uses."""
    _in_use(_registry().promote(model, _user()), as_json)


@app.command()
def rollback(as_json: AsJson = False) -> None:
    """Go back to the network that was in use before."""
    _in_use(_registry().rollback(_user()), as_json)


def _in_use(model: InstalledModel, as_json: bool) -> None:
    answer({"current": model.card.identity}, f"in use from the next job on: {model.card.identity}", as_json)
