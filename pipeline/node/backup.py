"""What the node remembers, in one file, while it runs; and back into an empty folder.

The database is copied before the files: a row of it never speaks of a file that is not there yet. Working files of jobs
stay behind; a job that was at work makes them again. Orthanc keeps its index to itself while it runs, so that its
archive goes along only while it is stopped. Where the database is a server's, that server's own backup has it.
"""

import hashlib
import json
import shutil
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from pipeline.database.backup import back_up as copy_database
from pipeline.database.engine import database_of
from pipeline.errors import GlioLoopError
from pipeline.node.foreground import only_one
from pipeline.records import StoredRecord
from pipeline.settings import Settings

_MANIFEST: Final = "manifest.json"
_DATABASE: Final = "queue.sqlite"
_FORM: Final = 1
_BLOCK: Final = 1 << 20
#: Of no use elsewhere, made again, or copied in another way; by the first part of their path.
_LEFT_OUT: Final = ("backup", "logs", "orthanc", "viewer", "serve.lock")
_LEFT_OUT_NAMES: Final = (".*", "*.log", "*.alive", "*.part", f"{_DATABASE}*")
_WORKING_FILES: Final = ("jobs/*/*.mha", "jobs/*/done-*", "jobs/*/source/*/*", "feedback/work/**")
_ARCHIVE: Final = "orthanc"


class Backup(StoredRecord):
    """What a backup holds.

    Attributes
    ----------
    form
        Of the file.
    made
        Seconds since 1970.
    database
        Whether the node's tables are in it.
    archive
        Whether the images are in it.
    files
        SHA-256 of each file by its place in the state folder.
    """

    form: int
    made: float
    database: bool
    archive: bool
    files: dict[str, str]


def back_up(settings: Settings, target: Path, archive: bool = False) -> Backup:
    """Write a backup; the node may run.

    Parameters
    ----------
    settings
        Of the node.
    target
        The file; readable by its owner only, and there whole or not at all.
    archive
        Take Orthanc's index and images along, too; only while the node is stopped.

    Raises
    ------
    GlioLoopError
        NODE_NOT_STARTED where the archive is wanted and the node runs.
    """
    state = settings.state_folder
    with ExitStack() as stack:
        if archive:
            stack.enter_context(only_one(state))
        copied = copy_database(database_of(settings), state)
        part = target.with_name(f".{target.name}.part")
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        digests: dict[str, str] = {}
        with zipfile.ZipFile(part, "w") as packed:
            if copied is not None:
                digests[_DATABASE] = _add(packed, copied, _DATABASE)
            for path in _files(state, archive):
                name = path.relative_to(state).as_posix()
                try:
                    digests[name] = _add(packed, path, name)
                except FileNotFoundError:
                    continue  # let go of meanwhile
            made = Backup(form=_FORM, made=time.time(), database=copied is not None, archive=archive, files=digests)
            packed.writestr(_MANIFEST, json.dumps(made.as_json()))
    part.rename(target)
    return made


def _files(state: Path, archive: bool) -> Iterator[Path]:
    for path in sorted(state.rglob("*")):
        place = path.relative_to(state)
        first = place.parts[0]
        if path.is_symlink() or not path.is_file() or (first in _LEFT_OUT and not (archive and first == _ARCHIVE)):
            continue
        hidden = any(Path(part).match(pattern) for part in place.parts for pattern in _LEFT_OUT_NAMES)
        working = any(place.match(pattern) for pattern in _WORKING_FILES)
        if first == _ARCHIVE or not (hidden or working):
            yield path


def _add(packed: zipfile.ZipFile, path: Path, name: str) -> str:
    """Put a file in; what is hashed is what is written, whoever writes the file meanwhile."""
    digest = hashlib.sha256()
    with path.open("rb") as file, packed.open(name, "w", force_zip64=True) as written:
        while block := file.read(_BLOCK):
            digest.update(block)
            written.write(block)
    return digest.hexdigest()


def restore(source: Path, state: Path) -> Backup:
    """Bring a backup back; every file is compared with its digest before any is put in place.

    Parameters
    ----------
    source
        The file.
    state
        State folder of the node to be; must not exist, or be empty.

    Raises
    ------
    GlioLoopError
        BACKUP_UNUSABLE where the file is damaged or cut off, or where the folder is not empty.
    """
    if state.exists() and any(state.iterdir()):
        raise GlioLoopError("BACKUP_UNUSABLE", f"{state} is not empty")
    state.parent.mkdir(parents=True, exist_ok=True)
    part = state.with_name(f".{state.name}.restoring")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(source) as packed:
            packed.extractall(part)
        made = Backup.model_validate_json((part / _MANIFEST).read_bytes())
        (part / _MANIFEST).unlink()
        _compare(part, made)
        if state.exists():
            state.rmdir()
        part.rename(state)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise GlioLoopError("BACKUP_UNUSABLE", f"{source.name}: {type(error).__name__}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def _compare(folder: Path, made: Backup) -> None:
    if made.form != _FORM:
        raise GlioLoopError("BACKUP_UNUSABLE", f"it is of form {made.form}, this version reads {_FORM}")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if found != made.files.keys():
        raise GlioLoopError("BACKUP_UNUSABLE", f"{len(found ^ made.files.keys())} files more or fewer than it names")
    for name, digest in made.files.items():
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise GlioLoopError("BACKUP_UNUSABLE", f"{name} is not what was written")
        (folder / name).chmod(0o600)
