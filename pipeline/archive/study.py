"""A study as the archive lists it, found by either of its names."""

import hashlib
import re
from dataclasses import dataclass

from pipeline.archive.orthanc import PatientRecord, SeriesRecord, StudyRecord
from pipeline.archive.protocol import Archive
from pipeline.errors import GlioLoopError
from pipeline.names import TEST_PATIENT_ID

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_UID = re.compile(r"[0-9]+(\.[0-9]+)+")
_MAX_UID = 64


@dataclass(frozen=True)
class Study:
    """A study as the archive lists it.

    Attributes
    ----------
    orthanc_id, study_instance_uid
        Its two names.
    stable
        Whether the archive has seen nothing new for it during its stable age.
    series
        Orthanc's records of the series, by Orthanc id.
    patient_id
        PatientID.
    description
        StudyDescription; empty where there is none.
    """

    orthanc_id: str
    study_instance_uid: str
    stable: bool
    series: dict[str, SeriesRecord]
    patient_id: str = ""
    description: str = ""

    @property
    def instance_count(self) -> int:
        """Number of instances of all series."""
        return sum(len(one.instances) for one in self.series.values())

    @property
    def is_test(self) -> bool:
        """Whether this is the node's own test study: it is sent to nobody, and nothing is learnt from it."""
        return self.patient_id == TEST_PATIENT_ID


def find_study(archive: Archive, study: str) -> Study:
    """Look a study up.

    Parameters
    ----------
    archive
        Where to look.
    study
        Orthanc id or StudyInstanceUID; anything else is refused before it reaches a path.

    Raises
    ------
    GlioLoopError
        STUDY_UNKNOWN; STUDY_AMBIGUOUS where the UID names the studies of several patients.
    """
    orthanc_id = study if _ORTHANC_ID.fullmatch(study) else _lookup(archive, study)
    found = archive.get(f"/studies/{orthanc_id}") if orthanc_id else None
    if found is None:
        raise GlioLoopError("STUDY_UNKNOWN", study[:_MAX_UID])
    record = StudyRecord.model_validate(found)
    series = archive.get(f"/studies/{orthanc_id}/series")
    if series is None:
        raise GlioLoopError("STUDY_UNKNOWN", study[:_MAX_UID])
    return Study(
        orthanc_id=record.id,
        study_instance_uid=record.tags["StudyInstanceUID"],
        stable=record.stable,
        series={one.id: one for one in map(SeriesRecord.model_validate, series)},
        patient_id=record.patient_tags.get("PatientID", ""),
        description=record.tags.get("StudyDescription", ""),
    )


def orthanc_patient_id(patient: str) -> str:
    """Return the id that Orthanc gives a PatientID; an id stays as it is.

    Examples
    --------
    >>> orthanc_patient_id("P1")
    'bdaf1eca-33d4619e-80e8ca68-9a1b74a4-febbbb29'
    """
    if _ORTHANC_ID.fullmatch(patient):
        return patient
    digest = hashlib.sha1(patient.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def find_patient(archive: Archive, patient: str) -> PatientRecord:
    """Look a patient up.

    Parameters
    ----------
    archive
        Where to look.
    patient
        Orthanc id or PatientID; only the former reaches a path.

    Raises
    ------
    GlioLoopError
        PATIENT_UNKNOWN.
    """
    found = [patient] if _ORTHANC_ID.fullmatch(patient) else []
    if not found:
        looked_up = archive.post("/tools/lookup", patient) or []
        found = [str(one["ID"]) for one in looked_up if one["Type"] == "Patient"]
    record = archive.get(f"/patients/{found[0]}") if found else None
    if record is None:
        raise GlioLoopError("PATIENT_UNKNOWN")
    return PatientRecord.model_validate(record)


def _lookup(archive: Archive, uid: str) -> str | None:
    if len(uid) > _MAX_UID or not _UID.fullmatch(uid):
        return None
    found = archive.post("/tools/lookup", uid) or []
    studies = sorted(str(one["ID"]) for one in found if one["Type"] == "Study")
    if len(studies) > 1:
        raise GlioLoopError("STUDY_AMBIGUOUS", ", ".join(studies), {"studies": studies})
    return studies[0] if studies else None
