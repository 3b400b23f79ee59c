"""The way into the node's database: SQLite in the state folder by default, PostgreSQL where hosts share the work.

Every process opens it itself. Who comes first makes the tables and takes over what earlier versions kept in files.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import psycopg
import sqlalchemy
from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool

from pipeline.database.tables import migrate, require_migrated
from pipeline.database.takeover import left_in_files, take_over
from pipeline.errors import GlioLoopError
from pipeline.settings import Settings

#: Writers wait for each other: their transactions are short, a slow disk under a storm is not.
_PATIENCE_SECONDS: Final = 150.0
#: A worker that looks whether the database is whole shows no sign of life meanwhile.
_LOOK_SECONDS: Final = 5.0
#: So long one waits for another that makes the file, and so often one looks.
_MAKING_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 0.02
#: A server that is restarted is back by then.
_AWAY_SECONDS: Final = 60.0


def database_of(settings: Settings) -> Engine:
    """Return the database that the settings name, its tables made and former files taken over.

    Raises
    ------
    GlioLoopError
        QUEUE_DAMAGED.
    """
    return _prepared(settings.queue_database_url, settings.state_folder)


def database_in(state_folder: Path) -> Engine:
    """Return the database that a state folder holds by default; see :func:`database_of`."""
    return _prepared(f"sqlite:///{state_folder / 'queue.sqlite'}", state_folder)


def made_by_worker(settings: Settings) -> Engine:
    """Return the database once a worker has made it; for the plugin, whose Orthanc must not wait for that.

    Raises
    ------
    GlioLoopError
        NODE_STARTING.
    """
    engine = _connected(settings.queue_database_url)
    require_migrated(engine)
    if left_in_files(settings.state_folder):
        raise GlioLoopError("NODE_STARTING", "the worker is taking over what an earlier version kept")
    return engine


def require_whole(settings: Settings) -> None:
    """Read through an SQLite database; others look after themselves.

    Raises
    ------
    GlioLoopError
        QUEUE_DAMAGED where the file is no SQLite database, or is damaged anywhere.
    OperationalError
        Locked, or no room: it passes.
    """
    found = _asked(settings, "PRAGMA quick_check(1)")
    if found not in ("ok", None):
        raise GlioLoopError("QUEUE_DAMAGED", str(found)[:200])


def require_readable(settings: Settings) -> None:
    """Like :func:`require_whole`, but only what every statement reads: quick enough to be asked again and again."""
    _asked(settings, "PRAGMA schema_version")


def _asked(settings: Settings, statement: str) -> object:
    url = settings.queue_database_url
    if not url.startswith("sqlite"):
        return None
    engine = _connected(url, _LOOK_SECONDS)
    with _damage_told(engine), engine.connect() as connection:
        return connection.exec_driver_sql(statement).scalar()


@contextmanager
def _damage_told(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError:  # locked, no room, not reached: it passes
        raise
    except DatabaseError as error:
        if engine.dialect.name != "sqlite":
            raise
        raise GlioLoopError("QUEUE_DAMAGED", str(error.orig)) from error


@lru_cache(maxsize=16)
def _prepared(url: str, state_folder: Path) -> Engine:
    engine = _connected(url)
    with _damage_told(engine):
        migrate(engine)
        take_over(engine, state_folder)
    return engine


@lru_cache(maxsize=16)
def _connected(url: str, patience_seconds: float = _PATIENCE_SECONDS) -> Engine:
    where = make_url(url)
    if where.get_backend_name() == "postgresql":
        engine = sqlalchemy.create_engine(
            where.set(drivername="postgresql+psycopg"), hide_parameters=True, pool_pre_ping=True
        )
        event.listen(engine, "do_connect", _connect_to_server)
        return engine
    file = Path(where.database or "")
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)  # it holds the key of the pseudonyms; SQLite gives its other files the same rights
    # No connection is kept: it would outlive a fork, or the file that an operator moved aside.
    engine = sqlalchemy.create_engine(
        where, hide_parameters=True, poolclass=NullPool, connect_args={"timeout": patience_seconds}
    )
    event.listen(engine, "connect", _set_up)
    return engine


def _connect_to_server(
    dialect: Dialect, _record: ConnectionPoolEntry, arguments: tuple[Any, ...], named: dict[str, Any]
) -> DBAPIConnection:
    """Connect; a server that is restarted meanwhile is waited for, so that no job fails for it."""
    return awaited(lambda: dialect.connect(*arguments, **named))


def awaited(
    connect: Callable[[], DBAPIConnection], seconds: float = _AWAY_SECONDS, pause: float = 0.5
) -> DBAPIConnection:
    """Try until a server is there, for so long at most; what another try cannot change is raised at once."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return connect()
        except psycopg.OperationalError as error:
            # A wrong password, a database that does not exist; while it starts or stops the class is 57.
            if (error.sqlstate or "57")[:2] != "57" or time.monotonic() > deadline:
                raise
            time.sleep(pause)


def _set_up(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    """Let readers and a writer not wait for each other; what is committed is on the disk."""
    cursor = connection.cursor()
    deadline = time.monotonic() + _MAKING_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # Of several that make the file at once, SQLite turns all but one away without waiting.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _forget() -> None:
    """A process that was forked opens connections of its own."""
    _prepared.cache_clear()
    _connected.cache_clear()


os.register_at_fork(after_in_child=_forget)
