"""Writing to the node's tables: short transactions, one writer of the same tables at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Final

from sqlalchemy import Connection, Engine, text

#: The first key of PostgreSQL's advisory locks: ours.
_LOCKS: Final = 7268


class Tables(IntEnum):
    """Which tables a writer keeps others from."""

    ALL = 0
    AUDIT = 1
    PROMOTIONS = 2
    CASES = 3
    INSTALLATION = 4
    COURSE = 5


@contextmanager
def writing(engine: Engine, tables: Tables) -> Iterator[Connection]:
    """Write in one transaction, beside no other writer of the same tables on any host.

    SQLite has one writer at a time, whatever it writes.
    """
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCKS}, {int(tables)})"))
        else:
            # Where a transaction began by reading, SQLite would refuse to write what another has written since.
            connection.execute(text("BEGIN IMMEDIATE"))
        yield connection
