"""The rows of patients' courses."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, update

from pipeline.course.records import TimePoint
from pipeline.database.tables import COURSE
from pipeline.database.transactions import Tables, writing


@dataclass(frozen=True)
class Row:
    """A study of a course.

    Attributes
    ----------
    patient
        Orthanc's id of the patient.
    person
        Pseudonym of the person: two may share a number.
    point
        What is kept of it.
    """

    patient: str
    person: str
    point: TimePoint


def rows_of(database: Engine, patient: str) -> list[Row]:
    """Every study of the people with a patient's number, oldest first."""
    query = select(COURSE.c.person, COURSE.c.record).where(COURSE.c.patient == patient)
    with database.connect() as connection:
        found = [
            Row(patient, person, TimePoint.model_validate_json(text)) for person, text in connection.execute(query)
        ]
    return sorted(found, key=lambda one: (one.point.at, one.point.study))


def points_of(database: Engine, patient: str, study: str = "", there: Collection[str] | None = None) -> list[TimePoint]:
    """The course of one person with a patient's number, oldest study first.

    Parameters
    ----------
    study
        One of the person's, by either of its names; empty: the newest of all.
    there
        The studies that the archive still has; None: whatever is kept.
    """
    found = [row for row in rows_of(database, patient) if there is None or row.point.study in there]
    named = [row for row in found if study in ("", row.point.study, row.point.study_instance_uid)]
    return [row.point for row in found if named and row.person == named[-1].person]


def patient_of(database: Engine, study: str) -> str | None:
    """The patient of a study that is in a course; also where the archive has it no more."""
    with database.connect() as connection:
        found: str | None = connection.execute(select(COURSE.c.patient).where(COURSE.c.study == study)).scalar()
        return found


def write(database: Engine, patient: str, person: str, points: Iterable[TimePoint]) -> None:
    """Keep a person's course in place of what was kept of it."""
    with writing(database, Tables.COURSE) as connection:
        connection.execute(delete(COURSE).where(COURSE.c.patient == patient, COURSE.c.person == person))
        for point in points:
            forget(connection, point.study)
            values = {"study": point.study, "patient": patient, "person": person}
            connection.execute(insert(COURSE).values(**values, record=point.model_dump_json()))


def sent(database: Engine, study: str, objects: Collection[str]) -> None:
    """Note that the deliveries of a study's objects are queued."""
    with writing(database, Tables.COURSE) as connection:
        found = connection.execute(select(COURSE.c.record).where(COURSE.c.study == study)).scalar()
        if found is not None:
            point = TimePoint.model_validate_json(found)
            left = tuple(one for one in point.unsent if one not in objects)
            record = point.model_copy(update={"unsent": left}).model_dump_json()
            connection.execute(update(COURSE).where(COURSE.c.study == study).values(record=record))


def forget(connection: Connection, study: str) -> None:
    """Take a study out."""
    connection.execute(delete(COURSE).where(COURSE.c.study == study))
