"""What is asked of other archives, by hand or by a schedule."""

import datetime
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_pascal

from pipeline.settings.destinations import Name

_DAYS: Final = {"today": 0, "yesterday": 1}
_DATE: Final = re.compile(r"\d{8}(-(\d{8})?)?|-\d{8}")


class StudyQuery(BaseModel):
    """Which studies of a modality: everything that is given has to match; the usual wildcards are DICOM's.

    Attributes
    ----------
    modality
        Name in Orthanc's ``DicomModalities``.
    study, patient, accession, description
        StudyInstanceUID, PatientID, AccessionNumber, StudyDescription.
    date
        StudyDate: ``20260131``, a range ``20260101-20260131``, ``today`` or ``yesterday``.
    kind
        One of the study's modalities.
    most
        A query that finds more is refused: it was meant otherwise.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)

    modality: Name
    study: str = Field(default="", max_length=64, pattern=r"^[0-9.]*$")
    patient: str = Field(default="", max_length=64)
    accession: str = Field(default="", max_length=16)
    description: str = Field(default="", max_length=64)
    date: str = Field(default="", max_length=17)
    kind: str = Field(default="MR", max_length=16, pattern=r"^[A-Z]*$")
    most: int = Field(default=20, ge=1, le=500)

    @field_validator("date")
    @classmethod
    def _is_date(cls, value: str) -> str:
        if value and value not in _DAYS and not _DATE.fullmatch(value):
            raise ValueError("a date is YYYYMMDD, a range of two, today or yesterday")
        return value

    @field_validator("patient", "accession", "description")
    @classmethod
    def _one_value(cls, value: str) -> str:
        if "\\" in value or not value.isprintable():
            raise ValueError("one value, without backslash")
        return value

    @model_validator(mode="after")
    def _not_everything(self) -> "StudyQuery":
        if not any(one.strip("*? ") for one in (self.study, self.patient, self.accession, self.date)):
            raise ValueError("a study, a patient, an accession number or a date has to be named")
        return self

    def attributes(self, today: datetime.date) -> dict[str, str]:
        """Values to match by keyword."""
        days = _DAYS.get(self.date)
        return {
            "StudyInstanceUID": self.study,
            "PatientID": self.patient,
            "AccessionNumber": self.accession,
            "StudyDescription": self.description,
            "StudyDate": self.date if days is None else f"{today - datetime.timedelta(days=days):%Y%m%d}",
            "ModalitiesInStudy": self.kind,
        }


class ScheduledQuery(StudyQuery):
    """A query that is asked every day.

    Attributes
    ----------
    name
        By which it is known.
    daily
        Hours and minutes, UTC.
    """

    name: Name
    daily: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
