"""Which studies of a patient's number are one person's course."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.archive.protocol import Archive
from pipeline.course.records import LeftOut
from pipeline.settings import Priors

#: What must agree where both studies have it.
TRAITS = ("IssuerOfPatientID", "PatientBirthDate", "PatientSex")


@dataclass(frozen=True)
class StudyFacts:
    """What the header of an image says of its study.

    Attributes
    ----------
    study
        Orthanc's id.
    study_instance_uid, patient_id
        As in the header.
    at
        When it was taken; None where no date says so.
    traits
        Issuer of the number, date of birth and sex; empty where not given.
    """

    study: str
    study_instance_uid: str
    patient_id: str
    at: datetime | None
    traits: tuple[str, ...]

    def contradicts(self, other: "StudyFacts") -> bool:
        """Whether something that both give differs."""
        return any(one and two and one != two for one, two in zip(self.traits, other.traits, strict=True))

    def says_less_than(self, other: "StudyFacts") -> bool:
        """Whether it lacks something that the other gives."""
        return any(two and not one for one, two in zip(self.traits, other.traits, strict=True))


def facts_of(archive: Archive, study: str, instance: str) -> StudyFacts | None:
    """Read the facts of a study off one of its images; None where that is gone."""
    tags = archive.get(f"/instances/{instance}/simplified-tags")
    return None if tags is None else facts_from(study, tags)


def facts_from(study: str, tags: Mapping[str, object]) -> StudyFacts:
    """Read the facts of a study off the attributes of one of its images, by keyword."""

    def text(keyword: str) -> str:
        return str(tags.get(keyword) or "").strip()

    return StudyFacts(
        study=study,
        study_instance_uid=text("StudyInstanceUID"),
        patient_id=text("PatientID"),
        at=_moment(text("StudyDate"), text("StudyTime")) or _moment(text("AcquisitionDate"), text("AcquisitionTime")),
        traits=tuple(text(keyword).upper() for keyword in TRAITS),
    )


def _moment(date: str, time: str) -> datetime | None:
    try:
        day = datetime.strptime(date.replace(".", ""), "%Y%m%d")
    except ValueError:
        return None
    digits = time.replace(":", "").partition(".")[0][:6]
    try:
        return datetime.combine(day, datetime.strptime(digits, "%H%M%S"[: len(digits)]).time())
    except ValueError:
        return day


@dataclass(frozen=True)
class Group:
    """The studies of one person.

    Attributes
    ----------
    studies
        Oldest first.
    left_out
        Others of the same number that cannot be compared.
    patient_id, traits
        What is known of the person.
    """

    studies: tuple[StudyFacts, ...]
    left_out: tuple[LeftOut, ...]
    patient_id: str
    traits: tuple[str, ...]


def group_of(anchor: StudyFacts, others: Iterable[StudyFacts], policy: Priors) -> Group:
    """Find the studies of the same person as the anchor's.

    Issuer of the number, date of birth and sex must agree where both give them. Where another study contradicts the
    anchor, the number belongs to several people, and one that says less than the anchor may be of either: it is left
    out, too.
    """
    found, left_out = [], []
    known = sorted(others, key=lambda one: one.study)
    shared = any(one.contradicts(anchor) for one in known)
    for one in known:
        if one.contradicts(anchor):
            left_out.append(LeftOut(study=one.study, why="issuer of the number, date of birth or sex differ"))
        elif shared and one.says_less_than(anchor):
            left_out.append(
                LeftOut(study=one.study, why="the number belongs to several people, and it does not say whose")
            )
        elif one.at is None:
            left_out.append(LeftOut(study=one.study, why="it has no date"))
        elif one.study != anchor.study:
            found.append(one)
    if anchor.at is None:
        return Group((), (LeftOut(study=anchor.study, why="it has no date"),), anchor.patient_id, anchor.traits)
    studies = _newest((*found, anchor), policy)
    traits = tuple(
        next((one for one in said if one), "") for said in zip(*(each.traits for each in studies), strict=True)
    )
    return Group(studies, tuple(left_out), anchor.patient_id, traits)


def _newest(studies: Sequence[StudyFacts], policy: Priors) -> tuple[StudyFacts, ...]:
    ordered = sorted(studies, key=lambda one: (one.at or datetime.min, one.study))
    last = ordered[-1].at or datetime.max
    if policy.days:
        ordered = [one for one in ordered if one.at and last - one.at <= timedelta(days=policy.days)]
    return tuple(ordered[-policy.most - 1 :])
