"""Taking over what versions before the tables kept in files of the state folder: each file once, in one transaction.

The files go to :data:`KEPT` as they were. A table that has something already is not changed: a second host's files then
stay files, and the row of :data:`pipeline.database.tables.TAKEN_OVER` says so.
"""

import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, JsonValue, TypeAdapter
from sqlalchemy import Connection, Engine, Table, func, insert, select, update

from pipeline.database.tables import (
    AUDIT,
    AUDIT_HEAD,
    CASES,
    CURSOR,
    GONE,
    INSTALLATION,
    NO_DIGEST,
    PROMOTIONS,
    PSEUDONYM_KEY,
    ROLES,
    SEEN,
    TAKEN_OVER,
    TRAIL,
    once_key,
)
from pipeline.database.transactions import Tables, writing

#: Where the files go, in the state folder.
KEPT: Final = "before-database"
_NOTE: Final = """What an earlier version of GlioLoop kept in files, as it was when it was taken over into the node's
database. Nothing reads it any more. The earlier version finds its state again where the files are put back.
"""
_ROWS_AT_ONCE: Final = 1000


def left_in_files(state_folder: Path) -> bool:
    """Tell whether there are files to be taken over."""
    return any((state_folder / file).is_file() for file in _FILES)


def take_over(engine: Engine, state_folder: Path) -> None:
    """Take over each file that is there, and move it out of the way.

    A process that dies before the end changes nothing, or has only files to move; several may come at once.
    """
    if not left_in_files(state_folder):
        return
    with writing(engine, Tables.ALL) as connection:
        for file, imported in _FILES.items():
            _import_once(connection, file, state_folder / file, imported)
    note = state_folder / KEPT / "README.txt"
    note.parent.mkdir(exist_ok=True, mode=0o700)
    note.write_text(_NOTE)
    for file in _FILES:
        kept = state_folder / KEPT / file
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            (state_folder / file).rename(kept)
        except FileNotFoundError:
            continue  # never there, or moved by another process


def _import_once(connection: Connection, file: str, path: Path, imported: Callable[[Connection, Path], str]) -> None:
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return
    row = {"file": file, "sha256": digest}
    if connection.execute(select(TAKEN_OVER).filter_by(**row)).first() is None:
        what = imported(connection, path)
        connection.execute(insert(TAKEN_OVER).values(**row, at=datetime.now(UTC).isoformat(), what=what))


def _has_rows(connection: Connection, table: Table) -> bool:
    return bool(connection.execute(select(func.count()).select_from(table)).scalar())


# --- the audit trail ---


class _Line(BaseModel):
    event: str
    subject: str
    data: dict[str, JsonValue] = {}
    digest: str


class _Head(BaseModel):
    number: int
    digest: str


def _import_trail(connection: Connection, path: Path) -> str:
    """Take the lines as they are: whether they may be believed is for the trail's own check to say."""
    if _has_rows(connection, AUDIT):
        return "left in the file: the database has a trail already, and two make no chain"
    rows: list[dict[str, object]] = []
    keys: set[str] = set()
    number, last, before = 0, NO_DIGEST, NO_DIGEST
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break  # cut off by a power cut, or by somebody: then the head has counted it
            number += 1
            entry = _line(line)
            key = entry and once_key(entry.event, entry.subject, str(entry.data.get("once", "")))
            rows.append({"number": number, "once": None if key in keys else key, "line": _as_text(line)})
            keys |= {key} if key else set()
            before, last = last, entry.digest if entry else last
            if len(rows) == _ROWS_AT_ONCE:
                connection.execute(insert(AUDIT), rows)
                rows.clear()
    if rows:
        connection.execute(insert(AUDIT), rows)
    head = _head(path.with_name("head.json"))
    if head is None or head.digest == before:  # a power cut between a line and the head
        head = _Head(number=number, digest=last)
    _set_head(connection, head)
    return f"{number} lines"


def _import_head(connection: Connection, path: Path) -> str:
    """Where the trail is gone, its head still tells that there was one."""
    head = _head(path)
    if head is not None and not _has_rows(connection, AUDIT):
        _set_head(connection, head)
    return "with the trail"


def _line(line: bytes) -> _Line | None:
    try:
        return _Line.model_validate_json(line)
    except ValueError:
        return None


def _head(path: Path) -> _Head | None:
    try:
        return _Head.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _set_head(connection: Connection, head: _Head) -> None:
    values = {"number": head.number, "digest": head.digest[: len(NO_DIGEST)]}
    connection.execute(update(AUDIT_HEAD).where(AUDIT_HEAD.c.trail == TRAIL).values(**values))


def _as_text(line: bytes) -> str:
    """The line without its end; bytes that were never written by the node are replaced, which breaks the chain too."""
    return line[:-1].decode("ascii", errors="replace").replace("\0", "\ufffd")


# --- the rest ---


class _Promotion(BaseModel):
    model: str
    at: str


def _import_promotions(connection: Connection, path: Path) -> str:
    if _has_rows(connection, PROMOTIONS):
        return "left in the file: the database knows the network in use already"
    try:
        promotions = TypeAdapter(list[_Promotion]).validate_json(path.read_bytes())
    except ValueError:
        return "left in the file: damaged"
    for number, one in enumerate(promotions, 1):
        connection.execute(insert(PROMOTIONS).values(number=number, model=one.model, at=one.at))
    return f"{len(promotions)} promotions"


def _import_cursor(connection: Connection, path: Path) -> str:
    text = path.read_text(errors="replace").strip()
    if _has_rows(connection, CURSOR) or not text.isdecimal():
        return "left in the file: damaged, or the database has a place already"
    connection.execute(insert(CURSOR).values(log="orthanc", sequence=int(text)))
    return f"change {text}"


def _import_installation(connection: Connection, path: Path) -> str:
    try:
        name = uuid.UUID(path.read_text().strip()).hex
    except ValueError:
        return "left in the file: no UUID"
    return _import_value(connection, "id", name)


def _import_value(connection: Connection, name: str, value: str) -> str:
    known = connection.execute(select(INSTALLATION.c.value).where(INSTALLATION.c.name == name)).scalar()
    if known is None:
        connection.execute(insert(INSTALLATION).values(name=name, value=value))
    return "taken" if known in (None, value) else "left in the file: the database has another one"


# --- corrections ---


class _Case(BaseModel):
    id: str
    patient: str
    study: str
    fingerprint: str
    role: str


class _Role(BaseModel):
    patient: str
    role: str


class _Gone(BaseModel):
    id: str
    at: str
    why: str
    fingerprint: str


class _JudgedObject(BaseModel):
    instance: str
    digest: str
    verdict: str
    case: str | None
    detail: str
    at: str


_Row = TypeVar("_Row", bound=BaseModel)


def _import_key(connection: Connection, path: Path) -> str:
    """The cases come with the key that made their names."""
    said = _import_value(connection, PSEUDONYM_KEY, path.read_bytes().hex())
    cases, damaged = 0, []
    for file in sorted(path.parent.glob("cases/*/case.json")):
        try:
            text = file.read_text()
            case = _Case.model_validate_json(text)
        except (OSError, ValueError):
            damaged.append(file.parent.name)
            continue
        if connection.execute(select(CASES.c.id).where(CASES.c.id == case.id)).first() is None:
            size = sum(one.stat().st_size for one in file.parent.iterdir())
            row = {"id": case.id, "patient": case.patient, "study": case.study, "fingerprint": case.fingerprint}
            connection.execute(insert(CASES).values(**row, bytes=size, record=text))
            _keep_role(connection, _Role(patient=case.patient, role=case.role))
            cases += 1
    return f"{said}; {cases} cases" + (f"; damaged: {', '.join(damaged)}" if damaged else "")


def _import_roles(connection: Connection, path: Path) -> str:
    roles = list(_lines_of(path, _Role))
    for one in roles:
        _keep_role(connection, one)
    return _counted(roles)


def _keep_role(connection: Connection, one: _Role) -> None:
    if connection.execute(select(ROLES).where(ROLES.c.patient == one.patient)).first() is None:
        connection.execute(insert(ROLES).values(patient=one.patient, role=one.role))


def _import_deleted(connection: Connection, path: Path) -> str:
    before = int(connection.execute(select(func.max(GONE.c.number))).scalar() or 0)
    rows = [one.model_dump() for one in _lines_of(path, _Gone)]
    return _counted(
        connection.execute(insert(GONE).values(number=number, **row)) for number, row in enumerate(rows, before + 1)
    )


def _import_verdicts(connection: Connection, path: Path) -> str:
    last = {(one.instance, one.digest): one for one in _lines_of(path, _JudgedObject)}
    known = {tuple(row) for row in connection.execute(select(SEEN.c.instance, SEEN.c.digest))}
    return _counted(
        connection.execute(insert(SEEN).values(case_id=one.case, **one.model_dump(exclude={"case"})))
        for key, one in last.items()
        if key not in known
    )


def _lines_of(path: Path, kind: type[_Row]) -> Iterator[_Row]:
    for line in path.read_bytes().splitlines():
        with suppress(ValueError):  # the last line of a write that a power cut ended
            yield kind.model_validate_json(line)


def _counted(done: Iterable[object]) -> str:
    return f"{sum(1 for _ in done)} lines"


_FILES: Final[dict[str, Callable[[Connection, Path], str]]] = {
    "audit/trail.jsonl": _import_trail,
    "audit/head.json": _import_head,
    "models/current.json": _import_promotions,
    "changes.seq": _import_cursor,
    "installation": _import_installation,
    "feedback/roles.jsonl": _import_roles,
    "feedback/pseudonym.key": _import_key,
    "feedback/ledger.jsonl": _import_deleted,
    "feedback/seen.jsonl": _import_verdicts,
}
