"""The rows of the store of corrections, read and written within somebody's transaction."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from pipeline.corrections.record import CaseRecord
from pipeline.corrections.verdicts import ObjectVerdict, Verdict
from pipeline.database.tables import CASES, GONE, SEEN

#: Names that one question asks for: databases take no more than some thousand.
_AT_ONCE: Final = 500


@dataclass(frozen=True)
class Gone:
    """A case that was dropped or deleted.

    Attributes
    ----------
    id, at, why, fingerprint
        The case; when, UTC; ``dropped`` or ``deleted``; which correction it was.
    """

    id: str
    at: str
    why: str
    fingerprint: str


# --- cases ---


def records(connection: Connection, *which: ColumnElement[bool]) -> list[CaseRecord]:
    """The records of cases, newest first."""
    return newest_first(map(_parsed, connection.execute(select(CASES.c.record).where(*which)).scalars()))


def of_studies(connection: Connection, keys: Iterable[str]) -> dict[str, CaseRecord]:
    """The records of some studies' cases by id, without those that are damaged."""
    found: dict[str, CaseRecord] = {}
    for some in _batches(keys):
        for identity, text in connection.execute(select(CASES.c.id, CASES.c.record).where(CASES.c.study.in_(some))):
            with suppress(ValueError):
                found[identity] = _parsed(text)
    return found


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    left = iter(keys)
    while some := list(islice(left, _AT_ONCE)):
        yield some


def newest_first(cases: Iterable[CaseRecord]) -> list[CaseRecord]:
    """In the order in which lists show them."""
    return sorted(cases, key=lambda one: (one.received, one.id), reverse=True)


@lru_cache(maxsize=2048)
def _parsed(text: str) -> CaseRecord:
    """Read a record once: lists are asked for every few seconds."""
    return CaseRecord.model_validate_json(text)


def write_case(connection: Connection, record: CaseRecord, size_bytes: int) -> None:
    """Add a case."""
    connection.execute(
        insert(CASES).values(
            id=record.id,
            patient=record.patient,
            study=record.study,
            fingerprint=record.fingerprint,
            bytes=size_bytes,
            record=record.model_dump_json(),
        )
    )


def is_there(connection: Connection, identity: str) -> bool:
    """Whether there is a case of this id."""
    return connection.execute(select(CASES.c.id).where(CASES.c.id == identity)).first() is not None


def size_of_all(connection: Connection) -> int:
    """Bytes that the files of all cases take."""
    return int(connection.execute(select(func.sum(CASES.c.bytes))).scalar() or 0)


def version_of(identity: str) -> int:
    """Number of a case among those of its study."""
    return int(identity.rpartition("-v")[2])


# --- those that are gone ---


def move_to_gone(connection: Connection, record: CaseRecord, why: str) -> None:
    """Take a case's row out and note that it was there."""
    number = int(connection.execute(select(func.max(GONE.c.number))).scalar() or 0) + 1
    connection.execute(delete(CASES).where(CASES.c.id == record.id))
    row = {"number": number, "id": record.id, "at": now(), "why": why, "fingerprint": record.fingerprint}
    connection.execute(insert(GONE).values(**row))


def all_gone(connection: Connection, *which: ColumnElement[bool]) -> list[Gone]:
    """What is gone, oldest first."""
    query = select(GONE.c.id, GONE.c.at, GONE.c.why, GONE.c.fingerprint).where(*which).order_by(GONE.c.number)
    return [Gone(*row) for row in connection.execute(query)]


def of_same_study(job: str, orthanc_id: str) -> bool:
    """Whether a job is of a study, by the part of its id that all jobs of a study share (see
    ``pipeline.jobs.queue``)."""
    return job.startswith(hashlib.sha256(orthanc_id.encode()).hexdigest()[:8])


# --- objects that were looked at ---


def write_verdict(connection: Connection, seen: ObjectVerdict) -> None:
    """Keep a decision, in place of an earlier one."""
    connection.execute(delete(SEEN).where(SEEN.c.instance == seen.instance, SEEN.c.digest == seen.digest))
    row = vars(seen) | {"case_id": seen.case, "verdict": seen.verdict.value}
    del row["case"]
    connection.execute(insert(SEEN).values(**row))


def all_verdicts(connection: Connection) -> list[ObjectVerdict]:
    """Every decision, the oldest first."""
    columns = (SEEN.c.instance, SEEN.c.digest, SEEN.c.verdict, SEEN.c.case_id, SEEN.c.detail, SEEN.c.at)
    return [
        ObjectVerdict(instance, digest, Verdict(verdict), case, detail, at)
        for instance, digest, verdict, case, detail, at in connection.execute(select(*columns).order_by(SEEN.c.at))
    ]


def now() -> str:
    """UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
