"""A copy of the node's database, for the day on which its file is damaged."""

from pathlib import Path

from sqlalchemy import Engine, text


def back_up(database: Engine, state_folder: Path) -> Path | None:
    """Copy SQLite's database to ``backup/queue.sqlite`` while others write to it, in place of the copy before.

    Returns
    -------
    Path or None
        The copy; None where the database is no file: a server has backups of its own.
    """
    if database.dialect.name != "sqlite":
        return None
    copy = state_folder / "backup" / "queue.sqlite"
    copy.parent.mkdir(exist_ok=True, mode=0o700)
    part = copy.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600)  # SQLite fills an empty file
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM INTO :part"), {"part": str(part)})
    return part.rename(copy)
