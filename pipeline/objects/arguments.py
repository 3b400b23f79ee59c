"""What the objects say alike: patient, study, series, equipment, and one clock for all their times."""

import datetime
from dataclasses import replace
from typing import Any, TypedDict

from pydicom import Dataset
from pydicom.valuerep import DA, TM

from pipeline.names import MANUFACTURER, MANUFACTURER_MODEL_NAME
from pipeline.objects.provenance import Provenance, UidSource
from pipeline.objects.source import ReferenceSeries


class PatientAndStudy(TypedDict):
    """Arguments by which highdicom's objects are told patient and study."""

    study_instance_uid: str
    patient_id: str
    patient_birth_date: str
    patient_sex: str
    accession_number: str
    study_id: str
    study_date: str | None
    study_time: str | None
    referring_physician_name: str


class SeriesOfOne(TypedDict):
    """Arguments by which highdicom's objects are told a series with one instance."""

    series_instance_uid: str
    series_number: int
    sop_instance_uid: str
    instance_number: int
    series_description: str


class Equipment(TypedDict):
    """Arguments by which highdicom's objects are told what made them."""

    manufacturer: str
    manufacturer_model_name: str
    software_versions: Any  # a list of several; highdicom's annotation knows one
    device_serial_number: str
    institution_name: str | None


class ContentTime(TypedDict):
    """Arguments by which highdicom's objects are told when they were made."""

    content_date: datetime.date
    content_time: datetime.time
    series_date: datetime.date
    series_time: datetime.time


def patient_and_study(series: ReferenceSeries) -> PatientAndStudy:
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


def series_of_one(kind: str, number: int, provenance: Provenance, uids: UidSource, title: str) -> SeriesOfOne:
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


def equipment(provenance: Provenance) -> Equipment:
    """Return this node as the equipment."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER_MODEL_NAME,
        "software_versions": provenance.software_versions,
        "device_serial_number": provenance.instance[:64],
        "institution_name": provenance.institution[:64] or None,
    }


def on_clock_of(series: ReferenceSeries, provenance: Provenance) -> Provenance:
    """Put the time of creation on the clock of the images, so that objects sort after what they were made from.

    That is the offset from UTC that the images name, or else the local time of the node. A time without a zone is
    taken for local.
    """
    try:
        zone = datetime.datetime.strptime(str(series.first.get("TimezoneOffsetFromUTC", "")), "%z").tzinfo
    except ValueError:  # none, or no offset
        zone = None
    return replace(provenance, created=provenance.created.astimezone(zone))


def content_time(provenance: Provenance) -> ContentTime:
    """Return the time of creation as that of content and series."""
    date, time = provenance.created.date(), provenance.created.replace(microsecond=0).time()
    return {"content_date": date, "content_time": time, "series_date": date, "series_time": time}


def set_clock(dataset: Dataset, provenance: Provenance) -> None:
    """Bring every time of an object onto the clock of its provenance, and say which clock that is."""
    date, time = DA(provenance.created.date()), TM(provenance.created.strftime("%H%M%S"))
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = date, time
    dataset.SeriesDate, dataset.SeriesTime = date, time
    dataset.TimezoneOffsetFromUTC = provenance.created.strftime("%z")[:5]
    for item in dataset.ContributingEquipmentSequence:
        if item.get("ManufacturerModelName") == "highdicom":  # says when it ran, by the clock of the node
            item.ContributionDateTime = provenance.created.strftime("%Y%m%d%H%M%S%z")
