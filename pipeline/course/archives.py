"""Earlier studies that lie in other archives: which of them belong to a person's course, and their series."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import Field
from pydicom import Dataset
from pydicom.uid import MRImageStorage

from pipeline.archive.client import HttpArchive
from pipeline.archive.orthanc import PatientRecord, SeriesRecord
from pipeline.archive.query import asked, retrieve
from pipeline.course.priors import TRAITS, StudyFacts, facts_from, facts_of, group_of
from pipeline.course.records import LeftOut
from pipeline.errors import GlioLoopError
from pipeline.identify import SeriesHeader, identify
from pipeline.names import TEST_PATIENT_ID
from pipeline.records import StoredRecord
from pipeline.settings import IdentificationRules, Priors, Settings

#: What is asked of a study; archives that know less leave it out.
_STUDY: Final = ("StudyInstanceUID", "StudyDate", "StudyTime", "ModalitiesInStudy", *TRAITS)
_SERIES: Final = ("SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "ProtocolName", "BodyPartExamined")
#: Instances that a series is taken to have: of multi-frame ones there may be one, and no answer tells.
_ENOUGH: Final = 100


class RemoteStudy(StoredRecord):
    """A study in another archive.

    Attributes
    ----------
    modality
        Orthanc's name of the archive.
    study_instance_uid, patient_id
        The study.
    """

    modality: str
    study_instance_uid: str
    patient_id: str

    @property
    def orthanc_id(self) -> str:
        """The id that Orthanc gives the study once it is there."""
        told = f"{self.patient_id}|{self.study_instance_uid}"
        digest = hashlib.sha1(told.encode(), usedforsecurity=False).hexdigest()
        return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


class PriorSearch(StoredRecord):
    """What a search for earlier studies in other archives has come to.

    Attributes
    ----------
    wanted
        Studies to fetch, the newest first.
    left_out
        Studies of the patient's number that are not the person's, or hold nothing to compare.
    failed
        What kept an archive from answering or from handing out, by its name.
    """

    wanted: tuple[RemoteStudy, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    failed: dict[str, str] = Field(default_factory=dict)

    @property
    def is_told(self) -> bool:
        """Whether there is something that the course must tell."""
        return bool(self.left_out or self.failed)


def search(archive: HttpArchive, settings: Settings, study: str) -> PriorSearch:
    """Ask every archive for earlier studies of the person whom a study is of.

    Parameters
    ----------
    study
        Orthanc's id of the study.

    Raises
    ------
    GlioLoopError
        STUDY_UNKNOWN; what Orthanc's own answers raise. What the other archives do is told in what is returned.
    """
    anchor = _facts(archive, study)
    if anchor is None or anchor.patient_id in ("", TEST_PATIENT_ID) or anchor.at is None:
        return PriorSearch()
    here = _facts_here(archive, study)
    known = {one.study_instance_uid for one in (anchor, *here)}
    found: dict[str, tuple[str, StudyFacts]] = {}
    failed: dict[str, str] = {}
    for modality in settings.priors.archives:
        try:
            for facts in _facts_there(archive, modality, anchor.patient_id):
                found.setdefault(facts.study_instance_uid, (modality, facts))
        except GlioLoopError as error:
            if error.code not in ("QUERY_FAILED", "MODALITY_UNKNOWN"):
                raise
            failed[modality] = f"{error.code}: {error.reason.message}"
    earlier = [
        facts
        for _, facts in found.values()
        if facts.study_instance_uid not in known and (facts.at is None or facts.at <= anchor.at)
    ]
    return _sorted_out(anchor, here, earlier, found, settings.priors).model_copy(update={"failed": failed})


def _sorted_out(
    anchor: StudyFacts,
    here: Sequence[StudyFacts],
    earlier: Sequence[StudyFacts],
    found: dict[str, tuple[str, StudyFacts]],
    policy: Priors,
) -> PriorSearch:
    group = group_of(anchor, [anchor, *here, *earlier], policy)
    remote = {one.study for one in earlier}
    wanted = [
        RemoteStudy(modality=found[one.study][0], study_instance_uid=one.study_instance_uid, patient_id=one.patient_id)
        for one in reversed(group.studies)
        if one.study in remote
    ]
    return PriorSearch(wanted=tuple(wanted), left_out=tuple(one for one in group.left_out if one.study in remote))


def fetch(archive: HttpArchive, settings: Settings, anchor: str, wanted: RemoteStudy) -> str:
    """Fetch the series of a study that its course needs.

    The first that comes is looked at before the others: what an archive says of a study may be another's.

    Returns
    -------
    str
        Why there is nothing to compare with; empty where it is there.

    Raises
    ------
    GlioLoopError
        QUERY_FAILED, RETRIEVE_FAILED; what Orthanc's own answers raise.
    """
    query = {"StudyInstanceUID": wanted.study_instance_uid, "Modality": "MR", **dict.fromkeys(_SERIES, "")}
    with asked(archive, wanted.modality, "Series", query) as found:
        places = needed_series(found.answers, settings.identification)
        if not places:
            return "it holds no series that could be needed"
        try:
            retrieve(archive, found, places[:1], settings.stage_deadline_seconds)
            why = _another_person(archive, anchor, wanted)
            if not why:
                retrieve(archive, found, places[1:], settings.stage_deadline_seconds)
        except GlioLoopError as error:
            if error.code == "RETRIEVE_FAILED":
                # A part of it would count as being here, and the rest never be asked for again.
                archive.delete(f"/studies/{wanted.orthanc_id}")
            raise
        return why


def needed_series(answers: Sequence[Mapping[str, str]], rules: IdentificationRules) -> list[int]:
    """Places of the series that are needed: those of the four sequences by their words, else all that may be.

    Examples
    --------
    >>> words = ("DWI", "T1", "T1 +C", "T2", "FLAIR", "MIP")
    >>> series = [{"SeriesInstanceUID": f"1.{n}", "SeriesDescription": text} for n, text in enumerate(words, start=1)]
    >>> needed_series(series, IdentificationRules())
    [1, 2, 3, 4]
    """
    places = {one["SeriesInstanceUID"]: place for place, one in enumerate(answers) if one.get("SeriesInstanceUID")}
    decision = identify([_header(answers[place]) for place in places.values()], rules)
    if decision.missing:
        needed = {one.series_instance_uid for one in decision.verdicts if one.verdict != "excluded"}
    else:
        spare = {one.series_instance_uid for choices in decision.others.values() for one in choices}
        needed = set(decision.chosen.values()) | spare
    return [place for uid, place in places.items() if uid in needed]


def _header(answer: Mapping[str, str]) -> SeriesHeader:
    header = Dataset()
    header.Modality, header.SOPClassUID = "MR", MRImageStorage
    for keyword in _SERIES:
        value = answer.get(keyword, "")
        if value and (keyword != "SeriesNumber" or value.isdigit()):
            setattr(header, keyword, value)
    return SeriesHeader(answer["SeriesInstanceUID"], _ENOUGH, header)


def _facts(archive: HttpArchive, study: str) -> StudyFacts | None:
    """The facts of a study that is here, off an image of its own; None where there is none."""
    series = archive.get(f"/studies/{study}/series") or []
    images = [one.instances[0] for one in map(SeriesRecord.model_validate, series) if one.instances]
    return facts_of(archive, study, images[0]) if images else None


def _facts_here(archive: HttpArchive, study: str) -> list[StudyFacts]:
    record = archive.get(f"/studies/{study}/patient")
    studies = PatientRecord.model_validate(record).studies if record else ()
    found = (_facts(archive, one) for one in studies if one != study)
    return [one for one in found if one is not None]


def _facts_there(archive: HttpArchive, modality: str, patient_id: str) -> Iterable[StudyFacts]:
    """The facts of the MR studies of exactly this number."""
    with asked(archive, modality, "Study", {"PatientID": patient_id, **dict.fromkeys(_STUDY, "")}) as query:
        for answer in query.answers:
            facts = facts_from(answer.get("StudyInstanceUID", ""), answer)
            modalities = answer.get("ModalitiesInStudy", "").split("\\")
            if facts.study and facts.patient_id == patient_id and ("MR" in modalities or modalities == [""]):
                yield facts


def _another_person(archive: HttpArchive, anchor: str, wanted: RemoteStudy) -> str:
    """Compare what has come with the study that it is fetched for; of another person, it goes again."""
    own, other = _facts(archive, anchor), _facts(archive, wanted.orthanc_id)
    if own is None or other is None or not other.contradicts(own):
        return ""
    # Nobody else sends it at this moment: it was not here when the search began.
    archive.delete(f"/studies/{wanted.orthanc_id}")
    return "issuer of the number, date of birth or sex differ"
