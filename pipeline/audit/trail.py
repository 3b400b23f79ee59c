"""One JSON object a line, each bound to the one before by its SHA-256 (a hash chain).

Whoever changes, inserts, removes or reorders a line breaks the chain from there on; the file ``head.json``
beside the trail holds the last hash, so that lines cut off at the end are missed too. The chain shows
tampering by all who can't also rewrite both files; for those who can, note the head hash elsewhere (it
stands in the worker's log at every start) or ship the lines to another host.

No patient's name enters the trail: studies and objects are named by their UIDs and Orthanc ids.
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

EVENTS: Final = (
    "asked", "received", "decided", "segmented", "stored", "forwarded", "ended", "corrected", "promoted", "repaired",
    "removed", "checked",
)  # fmt: skip
FIRST: Final = "0" * 64
#: A slow disk under a storm takes seconds a line; a halted holder is ended by its supervisor meanwhile.
_PATIENCE_SECONDS: Final = 150.0
#: Of so many latest keys a process knows that they were written: some ten thousand jobs. An older one would be written
#: a second time only if a step of a job that old ran again.
_MOST_KEYS: Final = 100_000


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
    data: dict[str, Any] = field(default_factory=dict)
    previous: str = FIRST
    digest: str = ""

    def computed_digest(self) -> str:
        """SHA-256 over everything but ``digest`` itself."""
        content = {key: value for key, value in asdict(self).items() if key != "digest"}
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def as_line(self) -> bytes:
        """The line in the file."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


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
    """The trail of one state folder; any process may append.

    Parameters
    ----------
    state_folder
        The node's state folder; the trail lies in ``audit/`` in it, readable by the owner only.
    """

    def __init__(self, state_folder: Path) -> None:
        self.folder = state_folder / "audit"
        self.file = self.folder / "trail.jsonl"
        self._head = self.folder / "head.json"
        self._seen: dict[bytes, None] = {}  # in the order of writing
        self._read_to = 0
        self._number = 0
        self._last = FIRST

    def append(
        self, event: str, subject: str, who: str, data: Mapping[str, Any] | None = None, once: str = ""
    ) -> Entry | None:
        """Write an event; it is on the disk when this returns.

        Parameters
        ----------
        event
            One of :data:`EVENTS`.
        once
            A key: the same event of the same subject with the same key is written once, whichever process
            or try comes first. Empty: always written.

        Returns
        -------
        Entry or None
            What was written; None where it was there already.

        Raises
        ------
        ValueError
            For an event that is none.
        OSError
            Where it can't be written: what must be on record must then not be done.
        """
        if event not in EVENTS:
            raise ValueError(event)
        with self._locked() as file:
            self._catch_up(file)
            if once and _key(event, subject, once) in self._seen:
                return None
            return self._write(file, event, subject, who, dict(data or {}) | ({"once": once} if once else {}))

    def entries(self) -> Iterator[Entry]:
        """Every whole line, as it stands; :meth:`verify` tells whether it may be believed."""
        for line in self._lines():
            if line.endswith(b"\n"):
                yield Entry(**json.loads(line))

    def head(self) -> str:
        """Hash of the last line."""
        return str(json.loads(self._head.read_text())["digest"]) if self._head.exists() else FIRST

    def verify(self) -> list[Fault]:
        """Check every line against its hash and the one before, and the last against the head.

        Returns
        -------
        list of Fault
            The first fault of each kind of damage, by line; empty where the trail is whole.
        """
        number, last, before = 0, FIRST, FIRST
        faults: list[Fault] = []
        for number, line in enumerate(self._lines(), 1):
            fault = _check(line, number, last)
            if fault is not None:
                return [*faults, fault]
            entry = Entry(**json.loads(line))
            if entry.event == "repaired" and "missing" in entry.data:
                faults.append(Fault(number, f"{entry.data['missing']} lines before it had been cut off"))
            before, last = last, entry.digest
        # A power cut between a line and the head leaves the head one line behind: nothing is missing then.
        if self.head() not in (last, before):
            faults.append(Fault(number + 1, "lines are missing at the end, or head.json was changed"))
        return faults

    def _lines(self) -> Iterator[bytes]:
        if self.file.exists():
            with self.file.open("rb") as file:
                yield from file

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            _lock(file)
            yield file

    def _catch_up(self, file: IO[bytes]) -> None:
        """Read what other processes wrote since; drop a line that a power cut left half written."""
        file.seek(self._read_to)
        torn = b""
        for line in file:
            entry = _parse(line)
            if not line.endswith(b"\n"):
                torn = line
                break
            if entry is not None:
                self._note(entry)
            self._read_to += len(line)
        # A line that the head counts was whole once: no power cut, somebody cut it off.
        missing = self._head_number() - self._number
        found: dict[str, Any] = {"dropped_bytes": len(torn)} if torn else {}
        if missing > 0:
            # Going on as if nothing was would hide it: the new head would match.
            found |= {"missing": missing, "head": self.head()}
        if torn:
            file.truncate(self._read_to)
        if found:
            self._write(file, "repaired", "trail", "node", found)

    def _head_number(self) -> int:
        return int(json.loads(self._head.read_text())["number"]) if self._head.exists() else 0

    def _write(self, file: IO[bytes], event: str, subject: str, who: str, data: dict[str, Any]) -> Entry:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = Entry(self._number + 1, at, event, subject, who, data, self._last)
        entry = Entry(**asdict(entry) | {"digest": entry.computed_digest()})
        line = entry.as_line()
        file.seek(0, os.SEEK_END)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
        self._note(entry)
        self._read_to += len(line)
        self._write_head(entry)
        return entry

    def _write_head(self, entry: Entry) -> None:
        part = self._head.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps({"number": entry.number, "digest": entry.digest}))
        part.rename(self._head)

    def _note(self, entry: Entry) -> None:
        self._number, self._last = entry.number, entry.digest
        once = str(entry.data.get("once", ""))
        if once:
            self._seen[_key(entry.event, entry.subject, once)] = None
            if len(self._seen) > _MOST_KEYS:
                del self._seen[next(iter(self._seen))]


def _key(event: str, subject: str, once: str) -> bytes:
    """Short, since a process keeps many."""
    return hashlib.blake2b("\0".join((event, subject, once)).encode(), digest_size=12).digest()


def _lock(file: IO[bytes]) -> None:
    """Wait for the lock, not for ever: its holder may be a process that was halted."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _parse(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line))
    except (ValueError, TypeError):
        return None  # left as it is: verify names the line


def _check(line: bytes, number: int, last: str) -> Fault | None:
    entry = _parse(line)
    if entry is None or not line.endswith(b"\n"):
        return Fault(number, "not a whole entry")
    if entry.digest != entry.computed_digest() or line != entry.as_line():
        return Fault(number, "its content was changed: the hash does not match")
    if entry.previous != last or entry.number != number:
        return Fault(number, "the chain is broken: a line before it was removed, inserted or moved")
    return None
