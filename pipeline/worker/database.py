"""Whether the queue's database is whole, and whether each of its jobs has somebody at work on it."""

from collections.abc import Callable, Collection

from sqlalchemy import create_engine, text
from sqlalchemy.exc import DatabaseError, OperationalError

from pipeline.errors import GlioLoopError
from pipeline.jobs.queue import JobQueue
from pipeline.settings import Settings


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


def prepare_database(settings: Settings) -> None:
    """Make the state folder; let SQLite's readers (the plugin) and its writer (the worker) not wait for each other.

    Raises
    ------
    GlioLoopError
        QUEUE_DAMAGED where the file is no whole SQLite database.
    """
    settings.state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.queue_database_url.startswith("sqlite"):
        check_database(settings, "PRAGMA journal_mode=WAL")
        found = check_database(settings, "PRAGMA quick_check(1)")
        if found != "ok":
            raise GlioLoopError("QUEUE_DAMAGED", str(found)[:200])


class Desertion:
    """Jobs that count as this worker's and that no thread is at work on: their end could not be written down.

    Only another process takes them up: DBOS hands a worker the jobs of its name when it starts.

    Parameters
    ----------
    queue
        The durable queue.
    executor
        This worker's name in it.
    at_work
        Ids of the workflows that threads of this process are at work on.
    """

    def __init__(self, queue: JobQueue, executor: str, at_work: Callable[[], Collection[str]]) -> None:
        self._queue = queue
        self._executor = executor
        self._at_work = at_work
        self._before: set[str] = set()

    def found(self) -> set[str]:
        """Those of two looks in a row: one that is only just starting or ending is seen once."""
        now = set(self._queue.at_work(self._executor)) - set(self._at_work())
        lasting, self._before = now & self._before, now
        return lasting
