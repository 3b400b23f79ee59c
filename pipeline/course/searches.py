"""The rows of searches for earlier studies in other archives, and of the studies that were fetched."""

from sqlalchemy import Engine, delete, insert, select

from pipeline.course.archives import PriorSearch
from pipeline.database.tables import FETCHED, SEARCHES
from pipeline.database.transactions import Tables, writing


def note(database: Engine, study: str, search: PriorSearch) -> None:
    """Keep what a search for a study's priors has come to, in place of the one before."""
    with writing(database, Tables.COURSE) as connection:
        connection.execute(delete(SEARCHES).where(SEARCHES.c.study == study))
        connection.execute(insert(SEARCHES).values(study=study, record=search.model_dump_json()))


def search_of(database: Engine, study: str) -> PriorSearch:
    """What the last search for a study's priors has come to; nothing where there was none."""
    with database.connect() as connection:
        found = connection.execute(select(SEARCHES.c.record).where(SEARCHES.c.study == study)).scalar()
    return PriorSearch() if found is None else PriorSearch.model_validate_json(found)


def expect(database: Engine, study: str) -> None:
    """Note that a study comes as a prior: before it does, for what is done of it follows from that."""
    with writing(database, Tables.COURSE) as connection:
        connection.execute(delete(FETCHED).where(FETCHED.c.study == study))
        connection.execute(insert(FETCHED).values(study=study))


def forget(database: Engine, study: str) -> None:
    """Drop both of a study that is gone: should it come again, it is a new one."""
    with writing(database, Tables.COURSE) as connection:
        for table in (SEARCHES, FETCHED):
            connection.execute(delete(table).where(table.c.study == study))


def is_prior(database: Engine, study: str) -> bool:
    """Whether a study was fetched as a prior."""
    with database.connect() as connection:
        return connection.execute(select(FETCHED.c.study).where(FETCHED.c.study == study)).first() is not None
