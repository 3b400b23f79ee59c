"""The node's own tables, beside DBOS's in the same database: SQLite by default, PostgreSQL where hosts share the work.

They are made and changed by :data:`MIGRATIONS`, in order, each once; the worker does it before anything else uses them.
"""

from typing import Final

import sqlalchemy
from sqlalchemy import BigInteger, Column, Engine, MetaData, String, Table, insert, select

from pipeline.errors import GlioLoopError

_METADATA: Final = MetaData()

MIGRATED: Final = Table("glioloop_migrations", _METADATA, Column("version", BigInteger, primary_key=True))
#: How far Orthanc's log of changes was followed: one row.
CURSOR: Final = Table(
    "glioloop_change_cursor", _METADATA, Column("log", String(32), primary_key=True), Column("sequence", BigInteger)
)
#: Studies looked at beyond the cursor: up to which change.
LOOKS: Final = Table(
    "glioloop_looks", _METADATA, Column("study", String(64), primary_key=True), Column("sequence", BigInteger)
)

#: Questions that were answered by jobs of which nothing else is kept: see
#: :attr:`pipeline.jobs.request.JobRequest.question`.
ANSWERED: Final = Table(
    "glioloop_answered",
    _METADATA,
    Column("study", String(64), primary_key=True),
    Column("question", String(32), primary_key=True),
    Column("job", String(64)),
)

#: SQL that both databases understand. Never change one that was released: add the next.
MIGRATIONS: Final = (
    (
        "CREATE TABLE glioloop_change_cursor (log VARCHAR(32) PRIMARY KEY, sequence BIGINT NOT NULL)",
        "CREATE TABLE glioloop_looks (study VARCHAR(64) PRIMARY KEY, sequence BIGINT NOT NULL)",
    ),
    (
        "CREATE TABLE glioloop_answered (study VARCHAR(64), question VARCHAR(32), job VARCHAR(64) NOT NULL,"
        " PRIMARY KEY (study, question))",
    ),
)


def migrate(engine: Engine) -> None:
    """Bring the tables up to this version; several workers may start at once."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sqlalchemy.text("SELECT pg_advisory_xact_lock(7267)"))
        else:
            connection.execute(sqlalchemy.text("BEGIN IMMEDIATE"))
        MIGRATED.create(connection, checkfirst=True)
        done = connection.execute(select(sqlalchemy.func.max(MIGRATED.c.version))).scalar() or 0
        for version, statements in enumerate(MIGRATIONS[done:], start=done + 1):
            for statement in statements:
                connection.execute(sqlalchemy.text(statement))
            connection.execute(insert(MIGRATED).values(version=version))


def require_migrated(engine: Engine) -> None:
    """Raise while a worker has not made every table.

    Raises
    ------
    GlioLoopError
        NODE_STARTING.
    """
    with engine.connect() as connection:
        there = sqlalchemy.inspect(connection).has_table(MIGRATED.name)
        done = connection.execute(select(sqlalchemy.func.max(MIGRATED.c.version))).scalar() if there else None
    if (done or 0) < len(MIGRATIONS):
        raise GlioLoopError("NODE_STARTING", "the worker is making the node's tables")
