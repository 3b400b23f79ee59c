"""The store of corrections: one folder a case, in the layout of the BraTS challenge, with a record beside it.

::

    feedback/
      pseudonym.key           secret of the pseudonyms
      cases/<id>/case.json    the record, with a digest of every file
                 <id>_t1.nii.gz … <id>_seg.nii.gz   what BraTS tools read
                 <id>_auto.nii.gz                   what the network had drawn
                 <id>_contours.json                 what was drawn, for the dashboard
      seen.jsonl              what was decided about which object, last line counts
      ledger.jsonl            what was dropped or deleted, when and why
      roles.jsonl             which patient (by pseudonym) is learnt from and which held back, for ever

A case is written beside its place and renamed; it is there whole or not at all. A correction of a study
that was corrected before becomes its next version; older ones stay, and learning takes the newest.
"""

import fcntl
import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.record import CASE_ID, CaseRecord, Role
from pipeline.corrections.verdicts import Seen, Verdict
from pipeline.errors import GlioLoopError
from pipeline.files.lines import append_line, read_lines
from pipeline.files.synced import digest_and_sync, sync_folder, write_synced
from pipeline.settings.corrections import FeedbackPolicy

CASE: Final = "case.json"


@dataclass(frozen=True)
class FeedbackStore:
    """The store in one folder.

    Attributes
    ----------
    folder
        ``feedback/`` in the state folder; made when first written to.
    policy
        Bounds and shares.
    """

    folder: Path
    policy: FeedbackPolicy = field(default_factory=FeedbackPolicy)

    @property
    def cases_folder(self) -> Path:
        """Folder of the cases: BraTS layout, so that ``evaluate --cases`` reads it as it is."""
        return self.folder / "cases"

    # --- reading ---

    def cases(self) -> list[CaseRecord]:
        """Every case, newest first."""
        records = []
        for folder in self._folders():
            with suppress(FileNotFoundError):  # deleted meanwhile by another process
                records.append(self._read(folder))
        return sorted(records, key=lambda one: (one.received, one.id), reverse=True)

    def of_study(self, orthanc_id: str, study_instance_uid: str) -> list[CaseRecord]:
        """The cases of one study, newest first; the others are not read."""
        if not self.cases_folder.is_dir():
            return []
        pseudonyms = Pseudonyms.of_installation(self.folder)
        found = self._named(pseudonyms.study(orthanc_id))
        found += [
            one for one in self._named(pseudonyms.study(study_instance_uid)) if of_same_study(one.job, orthanc_id)
        ]
        return sorted(found, key=lambda one: (one.received, one.id), reverse=True)

    def study_key(self, pseudonyms: Pseudonyms, orthanc_id: str, study_instance_uid: str) -> str:
        """Pseudonym that a study's next case is kept under.

        Once the StudyInstanceUID made it. A study whose cases are kept under that goes on so, unless another study of
        the same UID has cases there, too.
        """
        former = self._named(pseudonyms.study(study_instance_uid))
        goes_on = former and all(of_same_study(one.job, orthanc_id) for one in former)
        return pseudonyms.study(study_instance_uid if goes_on else orthanc_id)

    def _named(self, study: str) -> list[CaseRecord]:
        return [self._read(path.parent) for path in self.cases_folder.glob(f"{study}-v*/{CASE}")]

    def versions(self) -> dict[str, list[str]]:
        """Ids of the cases of each study, by its pseudonym, newest version first; no case is read."""
        found: dict[str, list[str]] = {}
        for path in self.cases_folder.iterdir() if self.cases_folder.is_dir() else ():
            if re.fullmatch(CASE_ID, path.name):
                found.setdefault(path.name.partition("-v")[0], []).append(path.name)
        return {
            study: sorted(names, key=lambda one: int(one.rpartition("-v")[2]), reverse=True)
            for study, names in found.items()
        }

    def case(self, identity: str) -> CaseRecord:
        """One case.

        Raises
        ------
        GlioLoopError
            FEEDBACK_UNKNOWN.
        """
        if not re.fullmatch(CASE_ID, identity) or not (self.path(identity) / CASE).exists():
            raise GlioLoopError("FEEDBACK_UNKNOWN", identity[:64])
        return self._read(self.path(identity))

    def path(self, identity: str) -> Path:
        """Folder of a case."""
        return self.cases_folder / identity

    def check(self, record: CaseRecord) -> Path:
        """Return the folder of a case whose files are what its record says.

        Raises
        ------
        GlioLoopError
            FEEDBACK_DAMAGED.
        """
        folder = self.path(record.id)
        for name, digest in record.files.items():
            try:
                with (folder / name).open("rb") as file:
                    same = hashlib.file_digest(file, "sha256").hexdigest() == digest
            except OSError as error:
                raise GlioLoopError("FEEDBACK_DAMAGED", f"{name}: {error.strerror}") from error
            if not same:
                raise GlioLoopError("FEEDBACK_DAMAGED", name)
        return folder

    def newest(self) -> list[CaseRecord]:
        """The newest version of every study, oldest first."""
        latest: dict[str, CaseRecord] = {}
        for record in self.cases():
            latest.setdefault(record.study, record)
        return sorted(latest.values(), key=lambda one: (one.received, one.id))

    def find(self, fingerprint: str) -> CaseRecord | None:
        """The case that a correction became, if it was kept."""
        return next((one for one in self.cases() if one.fingerprint == fingerprint), None)

    def was_deleted(self, fingerprint: str) -> bool:
        """Whether a correction was kept once and then deleted on purpose."""
        return any(line["why"] == "deleted" and line["fingerprint"] == fingerprint for line in self.ledger())

    def ledger(self) -> list[dict[str, Any]]:
        """What was dropped or deleted, oldest first."""
        return read_lines(self.folder / "ledger.jsonl")

    def size_bytes(self) -> int:
        """Size of all cases."""
        total = 0
        for folder in self._folders():
            with suppress(FileNotFoundError):
                total += sum(path.stat().st_size for path in folder.iterdir())
        return total

    def _folders(self, unfinished: bool = False) -> list[Path]:
        """Folders of the cases, or those on their way into the store or out of it."""
        found = self.cases_folder.iterdir() if self.cases_folder.is_dir() else ()
        return [folder for folder in found if folder.name.startswith(".") is unfinished]

    # --- writing ---

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this host from writing meanwhile, and clear away what one left that died writing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            for folder in self._folders(unfinished=True):
                shutil.rmtree(folder)
            yield

    def keep(self, record: CaseRecord, files: Path) -> CaseRecord:
        """Put a case into the store, once, and drop the oldest beyond the bounds.

        Parameters
        ----------
        record
            ``id``, ``role`` and ``files`` are decided here.
        files
            Folder with the case's files, named ``<suffix>.nii.gz`` and ``contours.json``; copied from there.

        Returns
        -------
        CaseRecord
            As it was kept; where the same correction was kept before, that one.
        """
        with self.locked():
            known = self.find(record.fingerprint)
            if known is not None:
                return known
            identity = f"{record.study}-v{self._next_version(record.study)}"
            part = self.cases_folder / f".{identity}.part"
            part.mkdir(parents=True)
            digests = {}
            for path in sorted(files.iterdir()):
                name = f"{identity}_{path.name}"
                shutil.copyfile(path, part / name)
                digests[name] = digest_and_sync(part / name)
            whole = record.model_copy(update={"id": identity, "role": self._role(record.patient), "files": digests})
            write_synced(part / CASE, whole.model_dump_json(indent=1))
            part.rename(self.path(identity))
            sync_folder(self.cases_folder)
            self._prune(keep=identity)
            return whole

    def trust(self, identity: str) -> CaseRecord:
        """Mark a case as one to learn from, although the object did not say that it was approved.

        Raises
        ------
        GlioLoopError
            FEEDBACK_UNKNOWN.
        """
        with self.locked():
            record = self.case(identity).model_copy(update={"trusted": True})
            part = self.path(identity) / f".{CASE}.part"
            write_synced(part, record.model_dump_json(indent=1))
            part.rename(self.path(identity) / CASE)
            sync_folder(self.path(identity))
            return record

    def delete(self, identity: str, why: str = "deleted") -> CaseRecord:
        """Take a case out for good; the ledger notes that it was there, and it is not taken up again.

        Raises
        ------
        GlioLoopError
            FEEDBACK_UNKNOWN.
        """
        with self.locked():
            record = self.case(identity)
            self._remove(record, why)
            return record

    def delete_patient(self, patient: str) -> list[CaseRecord]:
        """Take out every case of a patient, given by pseudonym."""
        with self.locked():
            found = [record for record in self.cases() if record.patient == patient]
            for record in found:
                self._remove(record, "deleted")
            return found

    def _remove(self, record: CaseRecord, why: str) -> None:
        line = {"id": record.id, "at": _now(), "why": why, "fingerprint": record.fingerprint}
        append_line(self.folder / "ledger.jsonl", line)
        doomed = self.cases_folder / f".{record.id}.gone"
        self.path(record.id).rename(doomed)
        sync_folder(self.cases_folder)
        shutil.rmtree(doomed)

    def _prune(self, keep: str) -> None:
        oldest_first = [record for record in reversed(self.cases()) if record.id != keep]
        most_bytes = self.policy.most_gigabytes * 1e9
        while oldest_first and (len(oldest_first) + 1 > self.policy.most_cases or self.size_bytes() > most_bytes):
            self._remove(oldest_first.pop(0), "dropped")

    def _next_version(self, study: str) -> int:
        # Deleted versions count, so that an id never names two things.
        names = [record.id for record in self.cases()] + [line["id"] for line in self.ledger()]
        taken = [int(name.rpartition("-v")[2]) for name in names if name.startswith(f"{study}-v")]
        return max(taken, default=0) + 1

    def _role(self, patient: str) -> Role:
        """Hold a patient back or not, for good: what was learnt from is never judged by.

        The patient's own number decides, made with this installation's key: it stays when every case is deleted. What
        was decided is written down, so that neither another share nor what an earlier version decided changes it.
        """
        path = self.folder / "roles.jsonl"
        roles: dict[str, Role] = {line["patient"]: line["role"] for line in read_lines(path)}
        for record in self.cases():
            if record.patient not in roles:
                roles[record.patient] = record.role
                append_line(path, {"patient": record.patient, "role": record.role})
        if patient not in roles:
            share = Pseudonyms.of_installation(self.folder).share(patient)
            roles[patient] = "held_back" if share < self.policy.held_back_share else "learn"
            append_line(path, {"patient": patient, "role": roles[patient]})
        return roles[patient]

    def _read(self, folder: Path) -> CaseRecord:
        found = (folder / CASE).stat()
        return _read_once(folder / CASE, found.st_mtime_ns, found.st_ino)

    # --- what was looked at ---

    def note(self, instance: str, digest: str, verdict: Verdict, case: str | None = None, detail: str = "") -> Seen:
        """Remember what was decided about an object, so that it is not read again at every event."""
        seen = Seen(instance, digest, verdict, case, detail, _now())
        with self.locked():
            append_line(self.folder / "seen.jsonl", seen.as_json())
        return seen

    def seen(self) -> dict[tuple[str, str], Seen]:
        """The last decision about each object and content."""
        return {
            (line["instance"], line["digest"]): Seen(
                line["instance"], line["digest"], Verdict(line["verdict"]), line["case"], line["detail"], line["at"]
            )
            for line in read_lines(self.folder / "seen.jsonl")
        }


def of_same_study(job: str, orthanc_id: str) -> bool:
    """Whether a job is of a study, by the part of its id that all jobs of a study share (see
    ``pipeline.jobs.queue``)."""
    return job.startswith(hashlib.sha256(orthanc_id.encode()).hexdigest()[:8])


@lru_cache(maxsize=2048)
def _read_once(path: Path, _changed: int, _inode: int) -> CaseRecord:
    """Read a record, which is only ever replaced as a whole: lists are asked for every few seconds."""
    return CaseRecord.model_validate_json(path.read_text())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
