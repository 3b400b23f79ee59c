"""What the constructors of highdicom's objects are told alike: patient, study, series, equipment, time."""

from typing import Any

from pipeline.names import MANUFACTURER, MANUFACTURER_MODEL_NAME
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.source import ReferenceSeries


def patient_and_study(series: ReferenceSeries) -> dict[str, Any]:
    """Return patient and study of the reference series, for objects that do not copy them from their sources."""
    first = series.first
    return {
        "study_instance_uid": series.volume.study_instance_uid,
        "patient_id": first.PatientID,
        "patient_birth_date": first.PatientBirthDate,
        "patient_sex": first.PatientSex,
        "accession_number": first.AccessionNumber,
        "study_id": first.StudyID,
        "study_date": first.StudyDate or None,
        "study_time": first.StudyTime or None,
        "referring_physician_name": first.ReferringPhysicianName,
    }


def series_of_one(kind: str, number: int, provenance: Provenance, uids: UidSource, title: str) -> dict[str, Any]:
    """Return a new series with one instance.

    Parameters
    ----------
    kind
        Names the object among those of the job, for its UIDs.
    number
        SeriesNumber.
    provenance
        Network and time, for the description.
    uids
        Source of the UIDs.
    title
        SeriesDescription's beginning.
    """
    return {
        "series_instance_uid": uids.uid(f"{kind}/series"),
        "series_number": number,
        "sop_instance_uid": uids.uid(f"{kind}/instance"),
        "instance_number": 1,
        "series_description": f"{title} {provenance.model} {provenance.stamp()}"[:64],
    }


def equipment(provenance: Provenance) -> dict[str, Any]:
    """Return this node as the equipment."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER_MODEL_NAME,
        "software_versions": provenance.software_versions,
        "device_serial_number": provenance.instance[:64],
        "institution_name": provenance.institution[:64] or None,
    }


def content_time(provenance: Provenance) -> dict[str, Any]:
    """Return the time of creation as that of content and series."""
    date, time = provenance.created.date(), provenance.created.time()
    return {"content_date": date, "content_time": time, "series_date": date, "series_time": time}
