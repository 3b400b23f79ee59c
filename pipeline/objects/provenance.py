"""Who made an object, with what, when, and under which identifiers."""

import base64
import datetime
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from highdicom import AlgorithmIdentificationSequence
from highdicom.base_content import ContributingEquipment
from pydicom.sr.codedict import codes
from pydicom.uid import UID

from pipeline import __version__
from pipeline.names import MANUFACTURER, MANUFACTURER_MODEL_NAME

#: Root of the name space of seeded UIDs; a fixed, random UUID, so that seeds of other programs never collide.
_UID_NAMESPACE = uuid.UUID("5a1f3a4e-6f5e-4c69-9d0b-0d3b0a5d8a6e")


@dataclass(frozen=True)
class Provenance:
    """Where contours come from; written into every object.

    Attributes
    ----------
    model
        The network as ``name@version``.
    model_sha256
        Hash of the network's file, hexadecimal; empty where unknown.
    software_version
        Version of this product.
    instance
        What tells this installation from others (DeviceSerialNumber, the report's observer); never a person's name.
    created
        Time of creation; local time of the node where it names no zone. A job that resumes after a crash hands in
        the same time.
    options
        What else decides the result (thresholds, post-processing), for the descriptions.
    institution
        InstitutionName of the node, where configured.
    """

    model: str
    model_sha256: str = ""
    software_version: str = __version__
    instance: str = "glioloop"
    created: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))
    options: Mapping[str, str] = field(default_factory=dict)
    institution: str = ""

    @property
    def model_name(self) -> str:
        """The part of ``model`` before the @."""
        return self.model.partition("@")[0]

    @property
    def model_version(self) -> str:
        """The part of ``model`` after the @; "unknown" where there is none."""
        return self.model.partition("@")[2] or "unknown"

    @property
    def software_versions(self) -> list[str]:
        """SoftwareVersions: the product's and the network's, each cut to the 64 characters of a LO."""
        return [f"{MANUFACTURER} {self.software_version}"[:64], self.model[:64]]

    def label(self, length: int) -> str:
        """Return network and version in so many characters: no other network and version gives the same."""
        full = f"{self.model_name} {self.model_version}"
        if len(full) <= length:
            return full
        room = length - len(self.model_version) - 1
        digest = base64.b32encode(hashlib.sha256(self.model.encode()).digest()).decode().lower()
        if room >= 4:  # the version whole, what the name lost told by a digest
            return f"{self.model_name[: room - 3]}~{digest[:2]} {self.model_version}"
        return f"{self.model_version[: length - 5]}~{digest[:4]}"

    def stamp(self) -> str:
        """Return the time of creation as a radiologist reads it, to the minute."""
        return self.created.strftime("%Y-%m-%d %H:%M")


class UidSource:
    """Unique identifiers for the objects of one job.

    Parameters
    ----------
    seed
        Identity of the job. The same seed gives the same UIDs, so that a job resumed after a crash stores
        nothing twice; None gives fresh ones.

    Notes
    -----
    UIDs are UUID-derived (PS3.5, B.2): root 2.25 and the integer of a version 5 or version 4 UUID.
    """

    def __init__(self, seed: str | None = None) -> None:
        self._seed = seed

    def uid(self, role: str) -> UID:
        """Return the UID of what ``role`` names; one role is asked for once a job."""
        made = uuid.uuid4() if self._seed is None else uuid.uuid5(_UID_NAMESPACE, f"{self._seed}\n{role}")
        return UID(f"2.25.{made.int}")


def algorithm_identification(provenance: Provenance) -> AlgorithmIdentificationSequence:
    """Return the network as PS3.3's Algorithm Identification macro (10.16) has it.

    Returns
    -------
    AlgorithmIdentificationSequence
        One item: name, version, family *artificial intelligence*, and the file's hash among the parameters.
    """
    parameters = dict(provenance.options)
    if provenance.model_sha256:
        parameters["sha256"] = provenance.model_sha256
    return AlgorithmIdentificationSequence(
        name=provenance.model_name[:64] or "unknown",
        family=codes.cid7162.ArtificialIntelligence,
        version=provenance.model_version[:64],
        source=MANUFACTURER,
        parameters={key: str(value) for key, value in parameters.items()} or None,
    )


def contributing_equipment(provenance: Provenance) -> ContributingEquipment:
    """Return this node as an item of ContributingEquipmentSequence (PS3.3, C.12.1)."""
    return ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=codes.cid7005.ProcessingEquipment,
        manufacturer_model_name=MANUFACTURER_MODEL_NAME,
        software_versions=tuple(provenance.software_versions),
        device_serial_number=provenance.instance[:64],
        institution_name=provenance.institution[:64] or None,
        contribution_datetime=provenance.created,
        contribution_description="Automatic delineation by a neural network; research use only",
    )
