"""Commands ``models list | show | import | promote | rollback``."""

import getpass
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
    folder: Annotated[Path, typer.Argument(help="Folder with model.json and the ONNX files it names.", exists=True)],
    as_json: AsJson = False,
) -> None:
    """Install a network of your own; it is not put to use before it is promoted."""
    imported = _registry().import_model(folder).card.identity
    answer({"imported": imported}, f"imported: {imported}", as_json)


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
