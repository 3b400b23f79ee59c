"""Storage commitment (DICOM PS3.4, J) through Orthanc: asked of a modality, and what it answered.

Orthanc keeps the answers in memory: after its restart a transaction is unknown, and is asked for again.
"""

import json
from typing import Final

from pydantic import Field

from pipeline.archive.orthanc import Answer
from pipeline.archive.protocol import Archive
from pipeline.errors import GlioLoopError

PENDING: Final = "Pending"
COMMITTED: Final = "Success"


class RefusedInstance(Answer):
    """An instance that the modality does not keep."""

    sop_instance_uid: str = Field(validation_alias="SOPInstanceUID")
    description: str = Field(validation_alias="Description", default="")


class Commitment(Answer):
    """What a modality answered: ``Pending``, ``Success`` or ``Failure``."""

    status: str = Field(validation_alias="Status")
    refused: tuple[RefusedInstance, ...] = Field(validation_alias="Failures", default=())

    @property
    def reason(self) -> str:
        """Why it does not keep all."""
        why = sorted({one.description for one in self.refused} - {""})
        return f"{len(self.refused)} objects not committed" + (f": {', '.join(why)}" if why else "")


def ask_commitment(archive: Archive, modality: str, resources: list[str]) -> str:
    """Ask a modality to commit to instances; return the transaction.

    Raises
    ------
    GlioLoopError
        COMMITMENT_MISSING where it could not be asked; what ``archive`` raises.
    """
    answer = archive.post(f"/modalities/{modality}/storage-commitment", json.dumps({"Resources": resources}))
    if not answer:
        raise GlioLoopError("COMMITMENT_MISSING", f"Orthanc does not know {modality}, or an object was deleted")
    return str(answer["ID"])


def commitment_of(archive: Archive, transaction: str) -> Commitment | None:
    """Return what was answered; None where Orthanc does not remember the transaction."""
    found = archive.get(f"/storage-commitment/{transaction}")
    return None if found is None else Commitment.model_validate(found)
