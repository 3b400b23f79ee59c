"""What a worker looks for in itself, and ends over: where only a fresh process helps, and a fresh one finds it all.

The supervisor starts it again; DBOS hands the fresh process the jobs of the one that ended.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

import structlog
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError, OperationalError

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import memory_lacks
from pipeline.jobs.deadline import DAMAGED_STATUS, OVERDUE_STATUS, WATCH
from pipeline.jobs.queue import JobQueue
from pipeline.settings import Settings

_REPORT_SECONDS: Final = 5.0
_DATABASE_CHECK_SECONDS: Final = 5.0
#: Memory lacks for so many looks in a row: it does not pass.
_MOST_STARVED_LOOKS: Final = 3


class Watchdog:
    """Looks when it is told to; ends the process where it finds what does not pass.

    Parameters
    ----------
    settings
        The worker's settings.
    executor
        This worker's name in the queue.
    active
        Ids of the workflows that this process is at work on.
    """

    def __init__(self, settings: Settings, executor: str, active: Callable[[], Collection[str]]) -> None:
        self._settings = settings
        self._executor = executor
        self._active = active
        self._queue = JobQueue(settings.queue_database_url)
        self._looked = time.monotonic()
        self._starved = 0
        self._deserted: set[str] = set()

    def look(self) -> None:
        """Look once; call it every second or so."""
        self._end_if_overdue()
        self._end_if_starved()
        if time.monotonic() - self._looked > _DATABASE_CHECK_SECONDS:
            self._looked = time.monotonic()
            try:
                check_database(self._settings, "PRAGMA schema_version")
                self._end_if_deserted()
            except GlioLoopError as error:
                _end(DAMAGED_STATUS, "queue damaged", **error.as_json())
            except OperationalError as error:  # locked, or no room: it passes
                structlog.get_logger().warning("queue not checked", error=type(error.orig).__name__)

    def _end_if_overdue(self) -> None:
        """A stage is over its deadline: nothing else ends the thread it runs in."""
        overdue = WATCH.overdue(self._settings.stage_deadline_seconds)
        for identity, stage in overdue:
            structlog.get_logger().error("stage over its deadline", job=identity, stage=stage)
            # In a thread of its own: what hangs may be the database.
            note = threading.Thread(target=self._queue.note_timeout, args=(identity, stage), daemon=True)
            note.start()
            note.join(_REPORT_SECONDS)
        if overdue:
            _end(OVERDUE_STATUS, "ended for a stage over its deadline")

    def _end_if_starved(self) -> None:
        """No memory is left, not even to write down how a job ended."""
        self._starved = self._starved + 1 if memory_lacks() else 0
        if self._starved >= _MOST_STARVED_LOOKS:
            _end(OVERDUE_STATUS, "ended for want of memory")

    def _end_if_deserted(self) -> None:
        """A job counts as this worker's, but no thread is at it: its end could not be written down."""
        mine = set(self._queue.at_work(self._executor)) - set(self._active())
        if mine & self._deserted:
            _end(OVERDUE_STATUS, "ended for a job that nobody is at work on", jobs=sorted(mine & self._deserted))
        self._deserted = mine


def check_database(settings: Settings, statement: str) -> object:
    """Ask SQLite something on a connection of its own, and return the answer; None on other databases.

    Raises
    ------
    GlioLoopError
        QUEUE_DAMAGED where the file is no SQLite database, or is damaged where that had to be read.
    OperationalError
        Locked, or no room: it passes.
    """
    if not settings.queue_database_url.startswith("sqlite"):
        return None
    engine = create_engine(settings.queue_database_url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(statement)).scalar()
    except OperationalError:
        raise
    except DatabaseError as error:
        raise GlioLoopError("QUEUE_DAMAGED", str(error.orig)) from error
    finally:
        engine.dispose()


def _end(status: int, event: str, **facts: object) -> None:
    try:
        structlog.get_logger().error(event, **facts)
        logging.shutdown()
    finally:
        os._exit(status)
