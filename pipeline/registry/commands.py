"""Commands ``models list | show | import | promote | rollback``."""

import getpass
import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.registry.registry import Registry

app = typer.Typer(no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def _registry() -> Registry:
    from pipeline.settings import load_settings  # noqa: PLC0415 - half a second that `--help` should not pay

    settings = load_settings()
    return Registry(settings.models_folder, settings.state_folder)


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """List the installed networks; a star marks the one in use."""
    registry = _registry()
    current = registry.get(None).card.identity
    cards = [model.card for model in registry.installed()]
    if as_json:
        print(json.dumps([card.model_dump(mode="json") | {"current": card.identity == current} for card in cards]))
        return
    for card in cards:
        print(f"{'*' if card.identity == current else ' '} {card.identity}  {card.description}")


def _user() -> str:
    return f"command line, {getpass.getuser()}"


@app.command()
def show(model: Annotated[str, typer.Argument(help="name@version, or a name")], as_json: AsJson = False) -> None:
    """Show a network's card."""
    card = _registry().get(model).card
    print(card.model_dump_json(indent=None if as_json else 2))


@app.command("import")
def import_model(
    folder: Annotated[Path, typer.Argument(help="Folder with model.json and the ONNX files it names.", exists=True)],
    as_json: AsJson = False,
) -> None:
    """Install a network of your own; it is not put to use before it is promoted."""
    _tell("imported", _registry().import_model(folder).card.identity, as_json)


@app.command()
def promote(model: Annotated[str, typer.Argument(help="name@version")], as_json: AsJson = False) -> None:
    """Make a network the one that the next job uses."""
    _tell("current", _registry().promote(model, _user()).card.identity, as_json)


@app.command()
def rollback(as_json: AsJson = False) -> None:
    """Go back to the network that was in use before."""
    _tell("current", _registry().rollback(_user()).card.identity, as_json)


def _tell(what: str, identity: str, as_json: bool) -> None:
    print(json.dumps({what: identity}) if as_json else f"{what}: {identity}")
