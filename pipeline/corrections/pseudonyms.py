"""Identifiers that say nothing to who does not hold this installation's secret.

A pseudonym is a keyed hash (HMAC-SHA-256, RFC 2104): without the key nobody can try patient numbers
until one fits, and two installations give the same patient different pseudonyms.
"""

import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BYTES: Final = 32
_DIGITS: Final = 16


@dataclass(frozen=True)
class Pseudonyms:
    """Makes the pseudonyms of one installation.

    Attributes
    ----------
    key
        The installation's secret.
    """

    key: bytes

    @classmethod
    def of_installation(cls, folder: Path) -> "Pseudonyms":
        """Read the secret of a feedback folder, making it at the first call, for its owner's eyes only."""
        path = folder / "pseudonym.key"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            part = folder / f"pseudonym.key.{secrets.token_hex(4)}"
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                # A link fails where another process was first; its key then counts.
                os.link(part, path)
            except FileExistsError:
                pass
            finally:
                part.unlink()
        return cls(path.read_bytes())

    def patient(self, patient_id: str) -> str:
        """Pseudonym of a PatientID."""
        return self._of("patient", patient_id)

    def study(self, study: str) -> str:
        """Pseudonym of a study, by the archive's id of it: a StudyInstanceUID may name the studies of two patients."""
        return self._of("study", study)

    def share(self, patient: str) -> float:
        """A number from 0 to 1 that belongs to a patient (by pseudonym) for ever, and that nobody can choose."""
        return int(self._of("role", patient), 16) / 16**_DIGITS

    def person(self, name: str) -> str:
        """Pseudonym of who reviewed; empty for an empty name."""
        return self._of("person", name.strip().upper()) if name.strip() else ""

    def _of(self, kind: str, value: str) -> str:
        return hmac.new(self.key, f"{kind}:{value}".encode(), "sha256").hexdigest()[:_DIGITS]
