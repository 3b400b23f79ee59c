"""The table of a run over the archive: a row a study, its columns as plain CSV or as REDCap takes them in.

Without identifiers a row names patient and study by the pseudonyms that corrections are kept under, and its date is put
back by as many days as every date of that patient: the time between two studies stays.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.errors.reasons import REASONS, Kind
from pipeline.names import DELINEATED_REGIONS, JobState, Region
from pipeline.research.archive_run import FORGOTTEN, Asked

#: Codes and words of what may become of a study; without one it was not asked for.
STATES: Final = {state.value: state.value for state in JobState} | {FORGOTTEN: "done before, and no longer kept"}
#: Codes and words of every flag.
FLAGS: Final = {code: reason.message for code, reason in REASONS.items() if reason.kind is Kind.FLAG}
_REGIONS: Final = {
    Region.WT: "whole_tumour",
    Region.TC: "tumour_core",
    Region.ET: "enhancing",
    Region.CAVITY: "cavity",
}


class ColumnKind(Enum):
    """What a column holds."""

    TEXT = "text"
    DATE = "date"
    NUMBER = "number"
    STATE = "state"
    FLAGS = "flags"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name
        As REDCap wants names of fields.
    label
        For people.
    kind
        What it holds: a date is ISO 8601, flags are codes between spaces.
    value
        The cell of a study; empty where there is nothing to say.
    identifier
        Whether it tells who the patient is.
    """

    name: str
    label: str
    kind: ColumnKind
    value: Callable[[Asked], str]
    identifier: bool = False


def columns(pseudonyms: Pseudonyms | None) -> tuple[Column, ...]:
    """The columns of a table; the first is the study's, and no two rows have the same there.

    Parameters
    ----------
    pseudonyms
        Of this installation; None writes who the patients are.
    """
    return (*(_identified() if pseudonyms is None else _pseudonymous(pseudonyms)), *_FOUND)


def rows(asked: Iterable[Asked], of: Iterable[Column]) -> list[list[str]]:
    """The cells of each study."""
    wanted = tuple(of)
    return [[column.value(one) for column in wanted] for one in asked]


def _identified() -> tuple[Column, ...]:
    def of_study(name: str) -> Callable[[Asked], str]:
        return lambda one: one.study.tags.get(name, "")

    def of_patient(name: str) -> Callable[[Asked], str]:
        return lambda one: one.study.patient_tags.get(name, "")

    text, date = ColumnKind.TEXT, ColumnKind.DATE
    return (
        Column("study", "Study, by the archive's id", text, lambda one: one.study.id, identifier=True),
        Column("study_instance_uid", "StudyInstanceUID", text, of_study("StudyInstanceUID"), identifier=True),
        Column("accession_number", "Accession number", text, of_study("AccessionNumber"), identifier=True),
        Column("patient_id", "Patient's number", text, of_patient("PatientID"), identifier=True),
        Column("patient_name", "Patient's name", text, of_patient("PatientName"), identifier=True),
        Column("study_date", "Date of the study", date, lambda one: _date(one, 0), identifier=True),
        # A hash of the images' UIDs: who has them could tell whose it is.
        Column("job", "Job of the node", text, _job, identifier=True),
    )


def _pseudonymous(pseudonyms: Pseudonyms) -> tuple[Column, ...]:
    def patient(one: Asked) -> str:
        return pseudonyms.patient(one.study.patient_tags.get("PatientID", ""))

    text, date = ColumnKind.TEXT, ColumnKind.DATE
    return (
        Column("study", "Pseudonym of the study", text, lambda one: pseudonyms.study(one.study.id)),
        Column("patient", "Pseudonym of the patient", text, patient),
        Column(
            "study_date", "Date of the study, put back", date, lambda one: _date(one, pseudonyms.days(patient(one)))
        ),
    )


def _date(one: Asked, days: int) -> str:
    try:
        day = datetime.strptime(one.study.tags.get("StudyDate", ""), "%Y%m%d")
        return f"{day - timedelta(days=days):%Y-%m-%d}"
    except (ValueError, OverflowError):
        return ""


def _job(one: Asked) -> str:
    return one.job.id if one.job else ""


def _model(one: Asked) -> str:
    return one.job.result.model if one.job and one.job.result else ""


def _flags(one: Asked) -> str:
    found = {flag.code for flag in one.job.result.flags} if one.job and one.job.result else set()
    return " ".join(sorted(found))


def _seconds(one: Asked) -> str:
    return f"{sum(one.job.timings_s.values()):.1f}" if one.job and one.job.timings_s else ""


def _volume(region: Region) -> Callable[[Asked], str]:
    def value(one: Asked) -> str:
        found = one.job.result.volumes_ml.get(region) if one.job and one.job.result else None
        return "" if found is None else f"{found:.3f}"

    return value


def _diameter(region: Region) -> Callable[[Asked], str]:
    def value(one: Asked) -> str:
        found = one.job.result.sizes.get(region) if one.job and one.job.result else None
        return "" if found is None else f"{found.diameter_mm:.1f}"

    return value


_FOUND: Final = (
    Column("state", "What became of the study", ColumnKind.STATE, lambda one: one.state),
    Column("reason", "Code of why there is no result", ColumnKind.TEXT, lambda one: one.reason),
    Column("flags", "What the contours are to be looked at for", ColumnKind.FLAGS, _flags),
    Column("model", "Network and version", ColumnKind.TEXT, _model),
    *(
        Column(f"{_REGIONS[region]}_ml", f"Volume of {region.value}, ml", ColumnKind.NUMBER, _volume(region))
        for region in DELINEATED_REGIONS
    ),
    *(
        Column(
            f"{_REGIONS[region]}_diameter_mm",
            f"Longest diameter of {region.value} in space, mm",
            ColumnKind.NUMBER,
            _diameter(region),
        )
        for region in DELINEATED_REGIONS
    ),
    Column("seconds", "Time of all stages, s", ColumnKind.NUMBER, _seconds),
)
