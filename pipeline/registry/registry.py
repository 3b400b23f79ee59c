"""The installed networks: those the product ships, those a site imported or fine-tuned, and which is in use.

Shipped ones lie in the models folder, read only; a site's own lie in the state folder. Which one the
next job uses is the last row of a table, which keeps those before it for the way back.
"""

import hashlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Engine, delete, func, insert, select

from pipeline.audit import AuditTrail
from pipeline.database.folders import SharedFolders
from pipeline.database.tables import PROMOTIONS
from pipeline.database.transactions import Tables, writing
from pipeline.errors import GlioLoopError
from pipeline.registry.card import ModelCard
from pipeline.registry.parts import NetworkFile

CARD: Final = "model.json"
_MOST_BYTES: Final = 2 * 1024**3
_NEWEST: Final = select(PROMOTIONS.c.number, PROMOTIONS.c.model).order_by(PROMOTIONS.c.number.desc())


@dataclass(frozen=True)
class InstalledModel:
    """A network on disk.

    Attributes
    ----------
    card
        Its card.
    folder
        Folder with the card and the files it names.
    """

    card: ModelCard
    folder: Path

    def path(self, file: NetworkFile) -> Path:
        """Return the path of one of its files, once its content is known to be what the card says.

        Raises
        ------
        GlioLoopError
            MODEL_DAMAGED.
        """
        path = self.folder / file.name
        try:
            status = path.stat()
            digest = _sha256(path, status.st_size, status.st_mtime_ns)
        except OSError as error:
            raise GlioLoopError("MODEL_DAMAGED", f"{self.card.identity}: {file.name}: {error.strerror}") from error
        if digest != file.sha256:
            raise GlioLoopError("MODEL_DAMAGED", f"{self.card.identity}: {file.name} is not what its card says")
        return path


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Registry:
    """The networks of this node.

    Parameters
    ----------
    root
        Folder of the shipped networks, ``<name>/<version>/model.json``.
    state
        The node's state folder; imported and fine-tuned networks go to ``models/`` in it.
    database
        The node's database, which knows what is in use.
    """

    def __init__(self, root: Path, state: Path, database: Engine) -> None:
        self._root = root
        self._own = state / "models"
        self._shared = SharedFolders(state, database.dialect.name != "sqlite", lambda: database)
        self._database = database
        self._audit = AuditTrail(database)

    def installed(self) -> list[InstalledModel]:
        """Every installed network whose card can be read, sorted by name and version; other hosts' own, too."""
        for name in self._shared.names("models/"):
            self._shared.folder(name)
        found: dict[str, InstalledModel] = {}
        for folder in (self._root, self._own):
            for path in sorted(folder.glob(f"*/*/{CARD}")):
                model = _read(path.parent)
                found.setdefault(model.card.identity, model)
        return [found[identity] for identity in sorted(found, key=_sort_key)]

    def get(self, identity: str | None) -> InstalledModel:
        """Return a network.

        Parameters
        ----------
        identity
            ``name@version``; ``name`` takes its newest version; None the one in use.

        Raises
        ------
        GlioLoopError
            MODEL_UNKNOWN.
        """
        models = {model.card.identity: model for model in self.installed()}
        if identity is None:
            identity = self._current() or next(reversed(self._shipped()), "")
        elif "@" not in identity:
            identity = next((one for one in reversed(models) if one.partition("@")[0] == identity), identity)
        if identity not in models:
            raise GlioLoopError("MODEL_UNKNOWN", identity or "no network is installed")
        return models[identity]

    def promote(self, identity: str, who: str = "node") -> InstalledModel:
        """Make a network the one in use, from the next job on; the audit trail tells who did it.

        Raises
        ------
        GlioLoopError
            MODEL_UNKNOWN; MODEL_DAMAGED: a damaged network is never put to use.
        """
        model = self.get(identity)
        for file in model.card.files:
            model.path(file)
        with writing(self._database, Tables.PROMOTIONS) as connection:
            number = (connection.execute(select(func.max(PROMOTIONS.c.number))).scalar() or 0) + 1
            at = datetime.now(UTC).isoformat()
            connection.execute(insert(PROMOTIONS).values(number=number, model=model.card.identity, at=at))
            facts = {"sha256": model.card.sha256}
            self._audit.append("promoted", model.card.identity, who, facts, within=connection)
        return model

    def rollback(self, who: str = "node") -> InstalledModel:
        """Go back to the network that was in use before the last promotion.

        Raises
        ------
        GlioLoopError
            MODEL_UNKNOWN where nothing was promoted.
        """
        with writing(self._database, Tables.PROMOTIONS) as connection:
            newest = connection.execute(_NEWEST.limit(2)).fetchall()
            if not newest:
                raise GlioLoopError("MODEL_UNKNOWN", "nothing was promoted, so there is no way back")
            model = self.get(newest[1].model if len(newest) > 1 else next(reversed(self._shipped()), ""))
            connection.execute(delete(PROMOTIONS).where(PROMOTIONS.c.number == newest[0].number))
            facts = {"sha256": model.card.sha256, "rollback": True}
            self._audit.append("promoted", model.card.identity, who, facts, within=connection)
        return model

    def import_model(self, folder: Path) -> InstalledModel:
        """Install a network from a folder with ``model.json`` and the files it names.

        Raises
        ------
        GlioLoopError
            MODEL_INVALID for a wrong card, a file that differs from it, or a version that is there already.
        """
        model = _read(folder)
        target = self._own / model.card.name / model.card.version
        if model.card.identity in {one.card.identity for one in self.installed()}:
            raise GlioLoopError("MODEL_INVALID", f"{model.card.identity} is installed already; versions never change")
        part = target.with_name(f".{target.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for file in model.card.files:
            path = model.path(file)
            if path.stat().st_size > _MOST_BYTES:
                raise GlioLoopError("MODEL_INVALID", f"{file.name} is larger than {_MOST_BYTES} bytes")
            shutil.copyfile(path, part / file.name)
        shutil.copyfile(folder / CARD, part / CARD)
        part.rename(target)
        self._shared.give(f"models/{model.card.name}/{model.card.version}")
        return _read(target)

    def _shipped(self) -> list[str]:
        return [model.card.identity for model in self.installed() if model.folder.is_relative_to(self._root)]

    def _current(self) -> str | None:
        with self._database.connect() as connection:
            newest = connection.execute(_NEWEST.limit(1)).first()
            return newest.model if newest else None


def _read(folder: Path) -> InstalledModel:
    try:
        return InstalledModel(ModelCard.model_validate_json((folder / CARD).read_text()), folder)
    except OSError as error:
        raise GlioLoopError("MODEL_INVALID", f"{folder.name}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise GlioLoopError("MODEL_INVALID", f"{folder.name}: {wrong}") from None


def _sort_key(identity: str) -> tuple[str, list[tuple[bool, int, str]]]:
    name, _, version = identity.partition("@")
    return name, [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in version.split(".")]
