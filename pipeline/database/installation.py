"""What belongs to one installation, made on first use: its name, the key of its pseudonyms."""

import uuid
from collections.abc import Callable

from sqlalchemy import Connection, Engine, delete, insert, select

from pipeline.database.tables import INSTALLATION
from pipeline.database.transactions import Tables, writing


def kept(database: Engine, name: str, make: Callable[[], str]) -> str:
    """Return a value that is made once: whoever asks first makes it, all get the same."""
    with database.connect() as connection:
        found = _value(connection, name)
    if found is None:
        with writing(database, Tables.INSTALLATION) as connection:
            found = _value(connection, name)
            if found is None:
                found = make()
                connection.execute(insert(INSTALLATION).values(name=name, value=found))
    return found


def installation_id(database: Engine) -> str:
    """Return this installation's identifier, 32 hexadecimal digits.

    It stands in objects as DeviceSerialNumber and, as a UID, for the observer of reports: objects of two
    installations can be told apart. Workers that share a database are one installation.
    """
    return kept(database, "id", lambda: uuid.uuid4().hex)


def noted(database: Engine, name: str, value: str | None = None) -> str | None:
    """Return a value that changes; note another one where it is given."""
    if value is None:
        with database.connect() as connection:
            return _value(connection, name)
    with writing(database, Tables.INSTALLATION) as connection:
        connection.execute(delete(INSTALLATION).where(INSTALLATION.c.name == name))
        connection.execute(insert(INSTALLATION).values(name=name, value=value))
    return value


def _value(connection: Connection, name: str) -> str | None:
    value: str | None = connection.execute(select(INSTALLATION.c.value).where(INSTALLATION.c.name == name)).scalar()
    return value
