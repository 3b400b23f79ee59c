"""One JSON object a line, each bound to the one before by its SHA-256 (a hash chain).

A line is a row of the node's database, as it was hashed. Whoever changes, inserts, removes or reorders one breaks
the chain from there on; a row of its own holds the last hash, so that lines cut off at the end are missed too. The
chain shows tampering by all who can't also rewrite that row; for those who can, note the head hash elsewhere (it
stands in the worker's log at every start) or ship the lines to another host (``./glioloop audit export``).

No patient's name enters the trail: studies and objects are named by their UIDs and Orthanc ids.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection, Engine, insert, select, update

from pipeline.database.tables import AUDIT, AUDIT_HEAD, NO_DIGEST, TRAIL, once_key
from pipeline.database.transactions import Tables, writing

EVENTS: Final = (
    "asked", "received", "decided", "segmented", "stored", "forwarded", "committed", "ended", "corrected", "approved",
    "promoted", "repaired", "removed", "checked", "followed", "fetched", "denied",
)  # fmt: skip
FIRST: Final = NO_DIGEST
_LINES_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Entry:
    """One event.

    Attributes
    ----------
    number
        Counts from 1.
    at
        UTC time of writing, ISO 8601. The order is that of the lines: a clock may jump.
    event
        One of :data:`EVENTS`.
    subject
        What it is about: a job's id, an Orthanc study id, a model's ``name@version``.
    who
        Orthanc's user where somebody asked, otherwise the part of the node that acted.
    data
        Facts: UIDs, hashes, destinations.
    previous, digest
        SHA-256 of the line before and of this one, hexadecimal.
    """

    number: int
    at: str
    event: str
    subject: str
    who: str
    data: Mapping[str, object] = field(default_factory=dict)
    previous: str = FIRST
    digest: str = ""

    def computed_digest(self) -> str:
        """SHA-256 over everything but ``digest`` itself."""
        content = {key: value for key, value in asdict(self).items() if key != "digest"}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_line(self) -> str:
        """The line in the trail."""
        return json.dumps(asdict(self), separators=(",", ":"))


@dataclass(frozen=True)
class Fault:
    """Where the trail is not what was written.

    Attributes
    ----------
    line
        Number of the line, from 1; one beyond the last where lines are missing at the end.
    what
        What is wrong there.
    """

    line: int
    what: str


class AuditTrail:
    """The trail of one node; any process on any host may append.

    Parameters
    ----------
    database
        The node's database; see :mod:`pipeline.database.engine`.
    """

    def __init__(self, database: Engine) -> None:
        self._database = database

    def append(
        self,
        event: str,
        subject: str,
        who: str,
        data: Mapping[str, object] | None = None,
        once: str = "",
        within: Connection | None = None,
    ) -> Entry | None:
        """Write an event; it is on the disk when this returns.

        Parameters
        ----------
        event
            One of :data:`EVENTS`.
        once
            A key: the same event of the same subject with the same key is written once, whichever process
            or try comes first. Empty: always written.
        within
            The transaction of :func:`pipeline.database.transactions.writing` that does what is put on record: both
            are done or neither. None: one of its own.

        Returns
        -------
        Entry or None
            What was written; None where it was there already.

        Raises
        ------
        ValueError
            For an event that is none.
        sqlalchemy.exc.SQLAlchemyError
            Where it can't be written: what must be on record must then not be done.
        """
        if event not in EVENTS:
            raise ValueError(event)
        facts = dict(data or {}) | ({"once": once} if once else {})
        key = once_key(event, subject, once)
        if within is not None:
            return _append(within, event, subject, who, facts, key)
        with writing(self._database, Tables.AUDIT) as connection:
            return _append(connection, event, subject, who, facts, key)

    def lines(self) -> Iterator[str]:
        """Every line as it was hashed, oldest first."""
        with self._database.connect() as connection:
            query = select(AUDIT.c.line).order_by(AUDIT.c.number)
            yield from connection.execution_options(yield_per=_LINES_AT_ONCE).execute(query).scalars()

    def entries(self) -> Iterator[Entry]:
        """Every whole entry, as it stands; :meth:`verify` tells whether it may be believed."""
        return (entry for line in self.lines() if (entry := _parse(line)) is not None)

    def after(self, number: int, most: int) -> list[Entry]:
        """Whole entries beyond one, oldest first."""
        query = select(AUDIT.c.line).where(AUDIT.c.number > number).order_by(AUDIT.c.number).limit(most)
        with self._database.connect() as connection:
            lines = connection.execute(query).scalars().all()
        return [entry for line in lines if (entry := _parse(line)) is not None]

    def head(self) -> str:
        """Hash of the last line."""
        with self._database.connect() as connection:
            return _head(connection).digest

    def verify(self) -> list[Fault]:
        """Check every line against its hash and the one before, and the last against the head.

        Returns
        -------
        list of Fault
            The first fault of each kind of damage, by line; empty where the trail is whole.
        """
        # Before the lines: what is written meanwhile makes more of them, never fewer.
        with self._database.connect() as connection:
            head = _head(connection)
        number, last, at_head = 0, FIRST, FIRST
        faults: list[Fault] = []
        for number, line in enumerate(self.lines(), 1):
            fault = _check(line, number, last)
            if fault is not None:
                return [*faults, fault]
            entry = _read(line)
            if entry.event == "repaired" and "missing" in entry.data:
                faults.append(Fault(number, f"{entry.data['missing']} lines before it had been cut off"))
            last = entry.digest
            if number == head.number:
                at_head = last
        if number < head.number or at_head != head.digest:
            faults.append(Fault(number + 1, "lines are missing at the end, or the head was changed"))
        return faults


def _append(
    connection: Connection, event: str, subject: str, who: str, data: Mapping[str, object], key: str | None
) -> Entry | None:
    # Its row is what writers on several hosts wait for.
    head = _head(connection, to_write=True)
    if key is not None and connection.execute(select(AUDIT.c.number).where(AUDIT.c.once == key)).first() is not None:
        return None
    found = connection.execute(select(AUDIT.c.number, AUDIT.c.line).order_by(AUDIT.c.number.desc()).limit(1)).first()
    number, last = (int(found.number), _parse(found.line)) if found else (0, None)
    digest = last.digest if last else head.digest if found else FIRST
    if head.number > number:
        # Somebody cut lines off that the head counts: going on as if nothing was, the new head would match.
        cut = {"missing": head.number - number, "head": head.digest}
        number, digest = number + 1, _write(connection, number + 1, "repaired", "trail", "node", cut, digest).digest
    return _write(connection, number + 1, event, subject, who, data, digest, key)


def _write(
    connection: Connection,
    number: int,
    event: str,
    subject: str,
    who: str,
    data: Mapping[str, object],
    previous: str,
    key: str | None = None,
) -> Entry:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    open_entry = Entry(number, at, event, subject, who, data, previous)
    entry = replace(open_entry, digest=open_entry.computed_digest())
    connection.execute(insert(AUDIT).values(number=number, once=key, line=entry.as_line()))
    head = update(AUDIT_HEAD).where(AUDIT_HEAD.c.trail == TRAIL)
    connection.execute(head.values(number=number, digest=entry.digest))
    return entry


@dataclass(frozen=True)
class _Head:
    number: int
    digest: str


def _head(connection: Connection, to_write: bool = False) -> _Head:
    query = select(AUDIT_HEAD.c.number, AUDIT_HEAD.c.digest).where(AUDIT_HEAD.c.trail == TRAIL)
    row = connection.execute(query.with_for_update() if to_write else query).one()
    return _Head(int(row.number), str(row.digest))


def _read(line: str) -> Entry:
    return Entry(**json.loads(line))


def _parse(line: str) -> Entry | None:
    try:
        return _read(line)
    except (ValueError, TypeError):
        return None  # left as it is: verify names the line


def _check(line: str, number: int, last: str) -> Fault | None:
    entry = _parse(line)
    if entry is None:
        return Fault(number, "not a whole entry")
    if entry.digest != entry.computed_digest() or line != entry.as_line():
        return Fault(number, "its content was changed: the hash does not match")
    if entry.previous != last or entry.number != number:
        return Fault(number, "the chain is broken: a line before it was removed, inserted or moved")
    return None
