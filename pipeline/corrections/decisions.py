"""What people decide about a result without drawing: it is accepted as it is, or sent back."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, Engine, delete, insert, select

from pipeline.database.tables import DECISIONS
from pipeline.database.transactions import Tables, writing
from pipeline.errors import GlioLoopError
from pipeline.records import Record


class Decision(Record):
    """A person's decision about the contours of a job.

    Attributes
    ----------
    reason
        Why they were sent back.
    by, at
        Orthanc's user, and when: UTC, ISO 8601.
    """

    verdict: Literal["accepted", "sent_back"]
    reason: str
    by: str
    at: str


class Decisions:
    """The decisions, one a job.

    Parameters
    ----------
    database
        The node's.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def of(self, jobs: Iterable[str]) -> dict[str, Decision]:
        """Decisions about jobs, by the jobs' ids."""
        row = DECISIONS.c
        with self._database.connect() as connection:
            found = connection.execute(select(DECISIONS).where(row.job.in_(list(jobs)))).mappings()
            return {str(one["job"]): _decision(dict(one)) for one in found}

    def accept(self, job: str, by: str) -> Decision:
        """Accept a result; where it is accepted already, that stands."""
        with writing(self._database, Tables.CASES) as connection:
            before = _before(connection, job)
            if before is not None and before.verdict == "accepted":
                return before
            return _put(connection, job, Decision(verdict="accepted", reason="", by=by, at=_now()))

    def send_back(self, job: str, by: str, reason: str, failed: bool = False) -> Decision:
        """Send a result back; the last reason stands.

        Parameters
        ----------
        failed
            Whether it was accepted, and what was accepted could not be written.

        Raises
        ------
        GlioLoopError
            REVIEW_ENDED where it is accepted.
        """
        with writing(self._database, Tables.CASES) as connection:
            before = _before(connection, job)
            if before is not None and before.verdict == "accepted" and not failed:
                raise GlioLoopError("REVIEW_ENDED", f"accepted by {before.by}")
            return _put(connection, job, Decision(verdict="sent_back", reason=reason, by=by, at=_now()))


def _before(connection: Connection, job: str) -> Decision | None:
    found = connection.execute(select(DECISIONS).where(DECISIONS.c.job == job)).mappings().first()
    return None if found is None else _decision(dict(found))


def _put(connection: Connection, job: str, decision: Decision) -> Decision:
    connection.execute(delete(DECISIONS).where(DECISIONS.c.job == job))
    connection.execute(insert(DECISIONS).values(job=job, **decision.model_dump()))
    return decision


def _decision(row: dict[str, object]) -> Decision:
    return Decision.model_validate({name: value for name, value in row.items() if name != "job"})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
