"""The store of corrections: an index in the database, and one folder a case in the layout of the BraTS challenge.

::

    feedback/cases/<id>/<id>_t1.nii.gz … <id>_seg.nii.gz   what BraTS tools read
                        <id>_auto.nii.gz                   what the network had drawn
                        <id>_drawn.nii.gz                  the regions on the slices that they were drawn on
                        <id>_contours.json                 what was drawn, for the dashboard

A case's row says what is known of it, with a digest of every file; a folder without one is no case. Its folder is
written beside its place and renamed: it is there whole or not at all. A correction of a study that was corrected before
becomes its next version; older ones stay, and :mod:`pipeline.corrections.readers` tells which of them count. Rows and
files go together in each transaction here, which is why this file is long.
"""

import hashlib
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import ColumnElement, Connection, Engine, insert, select, update

from pipeline.corrections import rows
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.record import CASE_ID, CaseRecord, Role
from pipeline.corrections.verdicts import ObjectVerdict, Verdict
from pipeline.database.folders import SharedFolders
from pipeline.database.tables import CASES, GONE, ROLES
from pipeline.database.transactions import Tables, writing
from pipeline.errors import GlioLoopError
from pipeline.files.synced import digest_and_sync, sync_folder
from pipeline.settings.corrections import CorrectionPolicy

#: Begins the name of a folder that files are copied to.
_COPYING: Final = "copying-"
#: How long a process may take to copy a case's files before what it left is taken for that of one that died.
_COPYING_SECONDS: Final = 86_400.0
#: Where the store lies in the state folder.
_PLACE: Final = "feedback/"


@dataclass(frozen=True)
class CorrectionStore:
    """The store of one node.

    Attributes
    ----------
    folder
        ``feedback/`` in the state folder; made when first written to.
    database
        The node's database.
    policy
        Bounds and shares.
    """

    folder: Path
    database: Engine
    policy: CorrectionPolicy = field(default_factory=CorrectionPolicy)

    @property
    def cases_folder(self) -> Path:
        """Folder of the cases: BraTS layout, so that ``evaluate --cases`` reads it as it is."""
        return self.folder / "cases"

    # --- reading ---

    def cases(self) -> list[CaseRecord]:
        """Every case, newest first."""
        return self._records()

    def of_study(self, orthanc_id: str, study_instance_uid: str) -> list[CaseRecord]:
        """The cases of one study, newest first; the others are not read."""
        pseudonyms = Pseudonyms.of_installation(self.database)
        found = self._records(CASES.c.study == pseudonyms.study(orthanc_id))
        former = self._records(CASES.c.study == pseudonyms.study(study_instance_uid))
        return rows.newest_first([*found, *(one for one in former if rows.of_same_study(one.job, orthanc_id))])

    def study_key(self, pseudonyms: Pseudonyms, orthanc_id: str, study_instance_uid: str) -> str:
        """Pseudonym that a study's next case is kept under.

        Once the StudyInstanceUID made it. A study whose cases are kept under that goes on so, unless another study of
        the same UID has cases there, too.
        """
        former = self._records(CASES.c.study == pseudonyms.study(study_instance_uid))
        goes_on = former and all(rows.of_same_study(one.job, orthanc_id) for one in former)
        return pseudonyms.study(study_instance_uid if goes_on else orthanc_id)

    def _records(self, *which: ColumnElement[bool]) -> list[CaseRecord]:
        with self.database.connect() as connection:
            return rows.records(connection, *which)

    def of_studies(self, keys: Iterable[str]) -> Iterator[CaseRecord]:
        """The cases of studies by their pseudonyms, the newest version first; one that is damaged is left out."""
        with self.database.connect() as connection:
            found = rows.of_studies(connection, keys)
        return (record for _, record in sorted(found.items(), key=lambda one: rows.version_of(one[0]), reverse=True))

    def case(self, identity: str) -> CaseRecord:
        """One case.

        Raises
        ------
        GlioLoopError
            FEEDBACK_UNKNOWN.
        """
        with self.database.connect() as connection:
            return _case(connection, identity)

    def path(self, identity: str) -> Path:
        """Folder of a case."""
        return self.cases_folder / identity

    @property
    def _shared(self) -> SharedFolders:
        return SharedFolders(self.folder, self.database.dialect.name != "sqlite", lambda: self.database, _PLACE)

    def brought(self, identity: str) -> Path:
        """Folder of a case, brought here where another host keeps it."""
        return self._shared.folder(f"cases/{identity}")

    def check(self, record: CaseRecord) -> Path:
        """Return the folder of a case whose files are what its record says.

        Raises
        ------
        GlioLoopError
            FEEDBACK_DAMAGED.
        """
        folder = self.brought(record.id)
        for name, digest in record.files.items():
            try:
                with (folder / name).open("rb") as file:
                    same = hashlib.file_digest(file, "sha256").hexdigest() == digest
            except OSError as error:
                raise GlioLoopError("FEEDBACK_DAMAGED", f"{name}: {error.strerror}") from error
            if not same:
                raise GlioLoopError("FEEDBACK_DAMAGED", name)
        return folder

    def find(self, fingerprint: str) -> CaseRecord | None:
        """The case that a correction became, if it was kept."""
        return next(iter(self._records(CASES.c.fingerprint == fingerprint)), None)

    def was_deleted(self, fingerprint: str) -> bool:
        """Whether a correction was kept once and then deleted on purpose."""
        with self.database.connect() as connection:
            return bool(rows.all_gone(connection, GONE.c.fingerprint == fingerprint, GONE.c.why == "deleted"))

    def withdrawn(self, identities: Iterable[str]) -> list[str]:
        """Which of some cases were deleted on purpose."""
        deleted = {one.id for one in self.gone() if one.why == "deleted"}
        return [identity for identity in identities if identity in deleted]

    def gone(self) -> list[rows.Gone]:
        """What was dropped or deleted, oldest first."""
        with self.database.connect() as connection:
            return rows.all_gone(connection)

    def size_bytes(self) -> int:
        """Size of all cases."""
        with self.database.connect() as connection:
            return rows.size_of_all(connection)

    # --- writing ---

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Write beside no other; what a process left on this disk that died in the middle is put right before."""
        with writing(self.database, Tables.CASES) as connection:
            for folder in self.cases_folder.glob(".*"):
                with suppress(FileNotFoundError):  # who left it lives, and has just finished
                    self._put_right(connection, folder)
            yield connection

    def _put_right(self, connection: Connection, folder: Path) -> None:
        identity = folder.stem.removeprefix(".")
        if re.fullmatch(CASE_ID, identity) and rows.is_there(connection, identity):
            folder.rename(self.path(identity))
        elif not identity.startswith(_COPYING) or folder.stat().st_mtime < time.time() - _COPYING_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, record: CaseRecord, files: Path) -> CaseRecord:
        """Put a case into the store, once, and drop the oldest beyond the bounds.

        Parameters
        ----------
        record
            ``id``, ``role`` and ``files`` are decided here.
        files
            Folder with the case's files, named ``<suffix>.nii.gz``, ``contours.json``, ``surfaces.bin``; copied.

        Returns
        -------
        CaseRecord
            As it was kept; where the same correction was kept before, that one.
        """
        copied, digests, size = self._copy(files)  # before the transaction: others write meanwhile
        share = Pseudonyms.of_installation(self.database).share(record.patient)
        with self._writing() as connection:
            known = rows.records(connection, CASES.c.fingerprint == record.fingerprint)
            if known:
                shutil.rmtree(copied)
                return known[0]
            identity = f"{record.study}-v{self._next_version(connection, record.study)}"
            for name in digests:
                (copied / name).rename(copied / f"{identity}_{name}")
            whole = record.model_copy(
                update={
                    "id": identity,
                    "role": self._role(connection, record.patient, share),
                    "files": {f"{identity}_{name}": digest for name, digest in digests.items()},
                }
            )
            part = copied.rename(self.cases_folder / f".{identity}.part")
            sync_folder(self.cases_folder)
            rows.write_case(connection, whole, size)
            self._shared.give_within(connection, f"cases/{identity}", part)
            doomed = self._prune(connection, keep=identity)
        with suppress(FileNotFoundError):  # done by another process, which found the row
            part.rename(self.path(identity))
        _clear(doomed)
        return whole

    def _copy(self, files: Path) -> tuple[Path, dict[str, str], int]:
        """Bring files to this disk; returns their folder, the digest of each and their size."""
        copied = self.cases_folder / f".{_COPYING}{uuid.uuid4().hex}.part"
        copied.mkdir(parents=True)
        digests, size = {}, 0
        try:
            for path in sorted(files.iterdir()):
                shutil.copyfile(path, copied / path.name)
                digests[path.name] = digest_and_sync(copied / path.name)
                size += path.stat().st_size
        except BaseException:
            shutil.rmtree(copied, ignore_errors=True)
            raise
        return copied, digests, size

    def trust(self, identity: str) -> CaseRecord:
        """Mark a case as one to learn from, although its object was not approved; holes were filled on purpose, then.

        Raises
        ------
        GlioLoopError
            FEEDBACK_UNKNOWN.
        """
        with self._writing() as connection:
            record = _case(connection, identity).as_meant()
            connection.execute(update(CASES).where(CASES.c.id == identity).values(record=record.model_dump_json()))
            return record

    def delete(self, identity: str) -> list[CaseRecord]:
        """Take a case out for good, and every consensus that holds it.

        That they were there is noted, and they are not taken up again. Returns them.

        Raises
        ------
        GlioLoopError
            FEEDBACK_UNKNOWN.
        """
        with self._writing() as connection:
            record = _case(connection, identity)
            of_study = rows.records(connection, CASES.c.study == record.study)
            found = [record, *(one for one in of_study if identity in one.consensus_of)]
            doomed = [self._remove(connection, one, "deleted") for one in found]
        _clear(doomed)
        return found

    def delete_patient(self, patient: str) -> list[CaseRecord]:
        """Take out every case of a patient, given by pseudonym."""
        with self._writing() as connection:
            found = rows.records(connection, CASES.c.patient == patient)
            doomed = [self._remove(connection, record, "deleted") for record in found]
        _clear(doomed)
        return found

    def _remove(self, connection: Connection, record: CaseRecord, why: str) -> Path:
        """Take a case out, once the transaction ends; its folder is cleared after that, and put back otherwise."""
        rows.move_to_gone(connection, record, why)
        self._shared.forget_within(connection, f"cases/{record.id}")
        doomed = self.cases_folder / f".{record.id}.gone"
        with suppress(FileNotFoundError):  # on another host's disk
            self.path(record.id).rename(doomed)
            sync_folder(self.cases_folder)
        return doomed

    def _next_version(self, connection: Connection, study: str) -> int:
        # Deleted versions count, and folders that belong to another database, so that an id never names two things.
        names = [
            *connection.execute(select(CASES.c.id).where(CASES.c.study == study)).scalars(),
            *connection.execute(select(GONE.c.id).where(GONE.c.id.startswith(f"{study}-v", autoescape=True))).scalars(),
            *(path.name for path in self.cases_folder.glob(f"{study}-v*")),
        ]
        return max(map(rows.version_of, names), default=0) + 1

    def _prune(self, connection: Connection, keep: str) -> list[Path]:
        oldest_first = rows.records(connection, CASES.c.id != keep)[::-1]
        most_bytes = self.policy.most_gigabytes * 1e9
        doomed = []
        while oldest_first and (
            len(oldest_first) + 1 > self.policy.most_cases or rows.size_of_all(connection) > most_bytes
        ):
            doomed.append(self._remove(connection, oldest_first.pop(0), "dropped"))
        return doomed

    def _role(self, connection: Connection, patient: str, share: float) -> Role:
        """Hold a patient back or not, for good: what was learnt from is never judged by.

        The patient's own number decides, made with this installation's key: it stays when every case is deleted. What
        was decided is written down, so that neither another share nor what an earlier version decided changes it.
        """
        known = connection.execute(select(ROLES.c.role).where(ROLES.c.patient == patient)).scalar()
        if known is not None:
            return "held_back" if known == "held_back" else "learn"
        role: Role = "held_back" if share < self.policy.held_back_share else "learn"
        connection.execute(insert(ROLES).values(patient=patient, role=role))
        return role

    # --- what was looked at ---

    def write_verdict(
        self, instance: str, digest: str, verdict: Verdict, case: str | None = None, detail: str = ""
    ) -> ObjectVerdict:
        """Remember what was decided about an object, so that it is not read again at every event."""
        seen = ObjectVerdict(instance, digest, verdict, case, detail, rows.now())
        with writing(self.database, Tables.CASES) as connection:
            rows.write_verdict(connection, seen)
        return seen

    def verdicts(self) -> dict[tuple[str, str], ObjectVerdict]:
        """The last decision about each object and content."""
        with self.database.connect() as connection:
            return {(one.instance, one.digest): one for one in rows.all_verdicts(connection)}


def _clear(folders: Iterable[Path]) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _case(connection: Connection, identity: str) -> CaseRecord:
    for record in rows.records(connection, CASES.c.id == identity):
        return record
    raise GlioLoopError("FEEDBACK_UNKNOWN", identity[:64])
