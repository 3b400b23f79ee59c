"""Identifiers that say nothing to who does not hold this installation's secret.

A pseudonym is a keyed hash (HMAC-SHA-256, RFC 2104): without the key nobody can try patient numbers
until one fits, and two installations give the same patient different pseudonyms.
"""

import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine

from pipeline.database.installation import kept
from pipeline.database.tables import PSEUDONYM_KEY

_BYTES: Final = 32
_DIGITS: Final = 16
_MOST_DAYS: Final = 730


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
    def of_installation(cls, database: Engine) -> "Pseudonyms":
        """Read the installation's secret from its database, made at the first call."""
        return cls(bytes.fromhex(kept(database, PSEUDONYM_KEY, lambda: secrets.token_hex(_BYTES))))

    def patient(self, patient_id: str) -> str:
        """Pseudonym of a PatientID."""
        return self._of("patient", patient_id)

    def study(self, study: str) -> str:
        """Pseudonym of a study, by the archive's id of it: a StudyInstanceUID may name the studies of two patients."""
        return self._of("study", study)

    def person_of(self, patient_id: str, *traits: str) -> str:
        """Pseudonym of the person behind a PatientID, told from others of the same number by traits."""
        return self._of("patient", "\0".join((patient_id, *traits)))

    def share(self, patient: str) -> float:
        """A number from 0 to 1 that belongs to a patient (by pseudonym) for ever, and that nobody can choose."""
        return int(self._of("role", patient), 16) / 16**_DIGITS

    def days(self, patient: str) -> int:
        """By how many days a patient's dates (by pseudonym) are put back, 1 to 730: the time between them stays."""
        return 1 + int(self._of("days", patient), 16) % _MOST_DAYS

    def person(self, name: str) -> str:
        """Pseudonym of who reviewed; empty for an empty name."""
        return self._of("person", name.strip().upper()) if name.strip() else ""

    def reader(self, name: str, equipment: str) -> str:
        """Pseudonym of whose contours they are: of the person, or where none is named of what they were drawn with."""
        return self.person(name.rstrip("^ ")) or self._of("equipment", equipment.strip().upper())

    def _of(self, kind: str, value: str) -> str:
        return hmac.new(self.key, f"{kind}:{value}".encode(), "sha256").hexdigest()[:_DIGITS]
