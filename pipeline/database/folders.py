"""Folders that one host made and others need: results for the pages, corrections to learn from, a site's networks.

Hosts that share the database need not share a disk: what one keeps in its state folder lies packed in the database,
too, and is unpacked by the next one that asks for it. Where the database is a file, its folder is the only one.
"""

import io
import shutil
import uuid
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, delete, insert, select

from pipeline.database.tables import FOLDERS
from pipeline.settings import Settings

#: Begins the name of a folder that is being unpacked.
_UNPACKING: Final = ".unpacking-"


@dataclass(frozen=True)
class SharedFolders:
    """The folders of hosts that share a database.

    Attributes
    ----------
    root
        This host's state folder, or a part of it.
    shared
        Whether there may be other hosts.
    database
        Asked only where there may be.
    prefix
        Place of ``root`` in the state folder: begins the names in the database.
    """

    root: Path
    shared: bool
    database: Callable[[], Engine]
    prefix: str = ""

    @classmethod
    def of(cls, settings: Settings, database: Callable[[], Engine]) -> "SharedFolders":
        """The folders of the state folder."""
        return cls(settings.state_folder, settings.shares_database, database)

    def give(self, name: str, files: Iterable[Path] | None = None) -> None:
        """Let others have a folder as it is now, or some files of it."""
        if self.shared:
            with self.database().begin() as connection:
                self.give_within(connection, name, self.root / name, files)

    def give_within(self, connection: Connection, name: str, folder: Path, files: Iterable[Path] | None = None) -> None:
        """The same as a part of a transaction, from a folder that may still have another name."""
        if self.shared:
            content = _pack(folder, files)
            self.forget_within(connection, name)
            connection.execute(insert(FOLDERS).values(name=self.prefix + name, content=content))

    def forget_within(self, connection: Connection, name: str) -> None:
        """Let others not have a folder any more."""
        if self.shared:
            connection.execute(delete(FOLDERS).where(FOLDERS.c.name == self.prefix + name))

    def names(self, beginning: str) -> list[str]:
        """Names of the folders that others gave and that begin so."""
        if not self.shared:
            return []
        query = select(FOLDERS.c.name).where(FOLDERS.c.name.startswith(self.prefix + beginning, autoescape=True))
        with self.database().connect() as connection:
            return [str(name).removeprefix(self.prefix) for name in connection.execute(query).scalars()]

    def folder(self, name: str) -> Path:
        """Path of a folder, brought here where another host made it; it may be that nobody did."""
        path = self.root / name
        if not path.exists():
            self._fetch(name)
        return path

    def file(self, name: str, file: str) -> Path:
        """Path of a file in a folder, as :meth:`folder`; this host may have some of that folder already."""
        path = self.root / name / file
        if not path.exists():
            self._fetch(name)
        return path

    def _fetch(self, name: str) -> None:
        if not self.shared:
            return
        with self.database().connect() as connection:
            query = select(FOLDERS.c.content).where(FOLDERS.c.name == self.prefix + name)
            content = connection.execute(query).scalar()
        if content is None:
            return
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        unpacked = target.parent / f"{_UNPACKING}{uuid.uuid4().hex}"
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                packed.extractall(unpacked)
            if not target.exists():
                unpacked.rename(target)
                return
            for path in (one for one in unpacked.rglob("*") if one.is_file()):
                there = target / path.relative_to(unpacked)
                there.parent.mkdir(parents=True, exist_ok=True)
                path.replace(there)
        except OSError:
            if not target.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)


def _pack(folder: Path, files: Iterable[Path] | None) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        for path in sorted(one for one in files or folder.rglob("*") if one.is_file()):
            packed.write(path, path.relative_to(folder))
    return content.getvalue()
