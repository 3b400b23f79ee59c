"""A patient's course from what was stored of the studies: measured, matched and compared, and written back."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import Final

import structlog
from sqlalchemy import Engine

from pipeline import PIPELINE_VERSION, __version__
from pipeline.archive.client import HttpArchive
from pipeline.archive.store import store as upload
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.readers import standing
from pipeline.corrections.store import CorrectionStore
from pipeline.course import rows, searches
from pipeline.course.archives import PriorSearch
from pipeline.course.beside import write_beside
from pipeline.course.candidate import Candidate, Followed
from pipeline.course.change import StudyCourse, course_of
from pipeline.course.points import Measured, Origin, compare, compare_lost, measure, point_of
from pipeline.course.priors import Group, StudyFacts, facts_of, group_of
from pipeline.course.records import LeftOut, Source, TimePoint
from pipeline.course.report import course_objects
from pipeline.course.scans import Result, choose_result, read_scan
from pipeline.database.installation import installation_id
from pipeline.errors import GlioLoopError
from pipeline.names import Language
from pipeline.objects.provenance import Provenance
from pipeline.settings import Settings

log = structlog.get_logger()

#: Two studies at once, and room for the one behind.
_KEPT_SCANS: Final = 3


class Course:
    """Makes the course that a study is part of.

    Parameters
    ----------
    archive, settings, database
        The node's.
    patient
        Orthanc's id of the patient.
    """

    def __init__(self, archive: HttpArchive, settings: Settings, database: Engine, patient: str) -> None:
        self._archive = archive
        self._settings = settings
        self._database = database
        self._patient = patient
        self._store = CorrectionStore(settings.feedback_folder, database, settings.feedback)
        self._results: dict[str, Result] = {}
        self._measured: dict[str, Measured] = {}

    def follow(self, anchor: str, candidates: Sequence[Candidate]) -> Followed:
        """Measure and compare the studies of the person that a study is of; what is known already is not done again.

        Raises
        ------
        GlioLoopError
            What Orthanc's answers raise, and what is wrong with the anchor itself.
        """
        group = self._group(anchor, candidates)
        told = searches.search_of(self._database, group.studies[-1].study) if group.studies else PriorSearch()
        if not group.studies or (len(group.studies) == 1 and not group.left_out and not told.is_told):
            return Followed(studies=len(group.studies))  # nothing to compare, and nothing to tell
        person = Pseudonyms.of_installation(self._database).person_of(group.patient_id, *group.traits)
        points, left_out = self._points(anchor, group)
        if not points:
            return Followed()
        points[-1] = points[-1].model_copy(
            update={
                "left_out": (*group.left_out, *left_out, *told.left_out),
                "not_fetched": tuple(f"{modality}: {why}" for modality, why in told.failed.items()),
            }
        )
        stored = self._write_objects(points, person)
        rows.write(self._database, self._patient, person, points)
        model = points[-1].model
        again = [one.study for one in points if one.source == "automatic" and one.model != model]
        jobs = {one.study: self._results[one.study].job.id for one in points}
        return Followed(len(points), stored, jobs, tuple(again), model)

    # --- which studies ---

    def _group(self, anchor: str, candidates: Sequence[Candidate]) -> Group:
        by_study = {one.study: one for one in candidates}
        facts: dict[str, StudyFacts] = {}
        for study, candidate in by_study.items():
            result = self._choose(candidate, "")
            found = facts_of(self._archive, study, result.instances[0]) if result else None
            if result is not None and found is not None:
                self._results[study], facts[study] = result, found
        if anchor not in facts:
            raise GlioLoopError("STUDY_GONE", anchor)
        group = group_of(facts[anchor], facts.values(), self._settings.priors)
        if group.studies:
            # The same yardstick for all: the network that drew the newest study.
            model = str(self._results[group.studies[-1].study].job.model)
            for one in group.studies:
                self._results[one.study] = self._choose(by_study[one.study], model) or self._results[one.study]
        return group

    def _choose(self, candidate: Candidate, model: str) -> Result | None:
        cases = standing(self._store.of_study(candidate.study, str(candidate.jobs[0].study_instance_uid)))
        return choose_result(candidate.jobs, candidate.requests, cases, model, self._settings)

    # --- their points ---

    def _points(self, anchor: str, group: Group) -> tuple[list[TimePoint], list[LeftOut]]:
        """Return the points of the studies, oldest first, and the studies that cannot be measured."""
        kept = {row.point.study: row.point for row in rows.rows_of(self._database, self._patient)}
        points: list[TimePoint] = []
        left_out: list[LeftOut] = []
        for place, facts in enumerate(group.studies):
            later = next((kept[one.study] for one in group.studies[place + 1 :] if one.study in kept), None)
            try:
                points.append(self._point(facts, points, kept, later))
            except GlioLoopError as error:
                if facts.study == anchor or error.reason.transient:
                    raise
                log.warning("study left out of its course", study=facts.study, code=error.code, detail=error.detail)
                left_out.append(LeftOut(study=facts.study, why=f"{error.code}: {error.reason.message}"))
        return points, left_out

    def _point(
        self, facts: StudyFacts, earlier: Sequence[TimePoint], kept: Mapping[str, TimePoint], later: TimePoint | None
    ) -> TimePoint:
        """Return what is kept of a study, measured anew where what it was made from has changed."""
        before = earlier[-1] if earlier else None
        origin = self._origin(facts.study, before)
        former = kept.get(facts.study)
        if former is not None and former.made_from == origin.made_from:
            return former
        now = self._measure(facts.study)
        return point_of(
            facts,
            origin,
            now,
            before=compare(before, lambda: self._measure(before.study), now) if before else None,
            former=former,
            lost=lambda: compare_lost(earlier, self._measure, now),
            later=lambda: compare(later, lambda: self._measure(later.study), now) if later else None,
        )

    def _origin(self, study: str, before: TimePoint | None) -> Origin:
        result = self._results[study]
        own = [PIPELINE_VERSION, study, result.job.id, result.case.id if result.case else "", result.series]
        told = json.dumps([*own, before.made_from if before else ""])
        made_from = hashlib.sha256(told.encode()).hexdigest()[:32]
        source: Source = "automatic"
        if result.case is not None and result.case.kind != "holes_filled":
            source = result.case.kind
        return Origin(str(result.job.model), source, made_from)

    def _measure(self, study: str) -> Measured:
        """Read and measure a study; what was measured last is kept."""
        if study not in self._measured:
            work = self._settings.state_folder / "course" / study
            found = measure(read_scan(self._archive, self._settings, self._store, self._results[study], work))
            while len(self._measured) >= _KEPT_SCANS:
                self._measured.pop(next(iter(self._measured)))
            self._measured[study] = found
        return self._measured[study]

    # --- what is written ---

    def _write_objects(self, points: list[TimePoint], person: str) -> dict[str, list[str]]:
        """Store the objects of every study of which they would say something new, and note that in its point.

        Returns those whose deliveries are not queued, by study: also those of a try that died before it told of them.
        """
        studies = course_of(self._patient, points).studies
        for place in range(1, len(studies)):
            digest = _digest(studies[: place + 1], self._settings.language)
            if points[place].objects.get("of") == digest:
                continue
            uids, ids = self._objects(points, place, person, digest)
            points[place] = points[place].model_copy(update={"objects": uids | {"of": digest}, "unsent": tuple(ids)})
        return {one.study: list(one.unsent) for one in points if one.unsent}

    def _objects(
        self, points: Sequence[TimePoint], place: int, person: str, digest: str
    ) -> tuple[dict[str, str], list[str]]:
        """Make and store the objects of one study; returns their SOP Instance UIDs by kind, and Orthanc's ids."""
        point = points[place]
        course = course_of(self._patient, points)
        now, before = (self._measure(one.study).with_lesions(one.lesions) for one in (point, points[place - 1]))
        provenance = Provenance(
            model=point.model,
            software_version=__version__,
            instance=installation_id(self._database),
            created=datetime.now(UTC),
        )
        write_beside(self._settings.state_folder, point, now.scan, before.scan, self._settings.roi_names)
        objects = course_objects(
            course.studies[place], course, point, now, before, person,
            self._settings.roi_names, self._settings.language, provenance, f"course/{point.study}/{digest}",
        )  # fmt: skip
        folder = self._settings.state_folder / "course" / f"{point.study}-objects"
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for kind, dataset in objects.items():
            content = BytesIO()
            dataset.save_as(content, enforce_file_format=True)
            files.append(folder / f"{kind}.dcm")
            files[-1].write_bytes(content.getvalue())
        ids = upload(self._archive, files)
        shutil.rmtree(folder)
        return {kind: str(dataset.SOPInstanceUID) for kind, dataset in objects.items()}, list(ids.values())


def _digest(studies: Sequence[StudyCourse], language: Language) -> str:
    told = [language.value, *(one.as_json() for one in studies)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
