"""A patient's course from what was stored of the studies: measured, matched and compared, and written back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from io import BytesIO
from typing import Final

import structlog
from pydantic import JsonValue
from sqlalchemy import Engine

from pipeline import PIPELINE_VERSION, __version__
from pipeline.align import align
from pipeline.archive.client import HttpArchive
from pipeline.archive.store import store as upload
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.store import CorrectionStore
from pipeline.course import rows
from pipeline.course.candidate import Candidate, Followed
from pipeline.course.change import StudyCourse, course_of
from pipeline.course.lesions import Labelled, lesions_of
from pipeline.course.matching import Matched, inherited, known_again, match_all, named
from pipeline.course.priors import Group, StudyFacts, facts_of, group_of
from pipeline.course.records import LeftOut, Lesion, Link, TimePoint
from pipeline.course.report import Measured, course_objects
from pipeline.course.scans import Result, choose_result, read_scan
from pipeline.course.symmetry import mid_sagittal_plane
from pipeline.database.installation import installation_id
from pipeline.errors import GlioLoopError
from pipeline.names import Region
from pipeline.objects.provenance import Provenance
from pipeline.settings import Settings

log = structlog.get_logger()

#: Two studies at once, and room for the one behind.
_KEPT_SCANS: Final = 3


class _Which(StrEnum):
    """The two studies that are aligned."""

    CURRENT = "current"
    PRIOR = "prior"


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
        self._left_out: list[LeftOut] = []

    def follow(self, anchor: str, candidates: Sequence[Candidate]) -> Followed:
        """Measure and compare the studies of the person that a study is of; what is known already is not done again.

        Raises
        ------
        GlioLoopError
            What Orthanc's answers raise, and what is wrong with the anchor itself.
        """
        group = self._group(anchor, candidates)
        if not group.studies or (len(group.studies) == 1 and not group.left_out):
            return Followed(studies=len(group.studies))  # nothing to compare, and nothing to tell
        person = Pseudonyms.of_installation(self._database).person_of(group.patient_id, *group.traits)
        kept = {row.point.study: row.point for row in rows.rows_of(self._database, self._patient)}
        points: list[TimePoint] = []
        for place, facts in enumerate(group.studies):
            following = [one.study for one in group.studies[place + 1 :]]
            try:
                points.append(self._point(facts, points, kept, following))
            except GlioLoopError as error:
                if facts.study == anchor or error.reason.transient:
                    raise
                log.warning("study left out of its course", study=facts.study, code=error.code, detail=error.detail)
                self._left_out.append(LeftOut(study=facts.study, why=f"{error.code}: {error.reason.message}"))
        points[-1] = points[-1].model_copy(update={"left_out": (*group.left_out, *self._left_out)})
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
        for one in group.studies:
            # The same yardstick for all: the network that drew the newest study.
            model = str(self._results[group.studies[-1].study].job.model)
            self._results[one.study] = self._choose(by_study[one.study], model) or self._results[one.study]
        return group

    def _choose(self, candidate: Candidate, model: str) -> Result | None:
        cases = self._store.of_study(candidate.study, str(candidate.jobs[0].study_instance_uid))
        return choose_result(candidate.jobs, candidate.requests, cases, model, self._settings)

    # --- one study ---

    def _point(
        self, facts: StudyFacts, earlier: Sequence[TimePoint], kept: Mapping[str, TimePoint], following: Sequence[str]
    ) -> TimePoint:
        """Return what is kept of a study, measured anew where what it was made from has changed."""
        before = earlier[-1] if earlier else None
        made_from = self._made_from(facts.study, before)
        former = kept.get(facts.study)
        if former is not None and former.made_from == made_from:
            return former
        measured = self._measure(facts.study)
        matched: dict[Region, Matched] = {}
        alignment = None
        if before is not None:
            try:
                alignment, matched = self._match(before, facts.study, measured)
            except GlioLoopError as error:
                if error.code != "ALIGNMENT_FAILED":
                    raise
                log.warning("prior not aligned", study=facts.study, detail=error.detail)
        old = former.lesions if former else ()
        found = {region: known_again(_of(old, region), one) for region, one in measured.regions.items()}
        if before is not None:
            found = {
                region: inherited(_of(before.lesions, region), one, matched[region].pairs if region in matched else ())
                for region, one in found.items()
            }
        after = next((kept[one] for one in following if one in kept), None)
        if after is not None and any(not one.tracking_uid for each in found.values() for one in each):
            found = self._from_later(after, measured, found, facts.study)
        seed = f"{self._patient}/{facts.study}/{made_from}"
        lesions = {region: named(one, f"{seed}/{region.value}") for region, one in found.items()}
        self._measured[facts.study] = _with(measured, lesions)
        result = self._results[facts.study]
        return TimePoint(
            study=facts.study,
            study_instance_uid=facts.study_instance_uid,
            at=facts.at or datetime.min,
            model=str(result.job.model),
            source=result.case.kind if result.case else "automatic",
            made_from=made_from,
            volumes_ml=_volumes(measured),
            lesions=tuple(one for each in lesions.values() for one in each),
            before=before.study if before else "",
            aligned=None if before is None else alignment is not None,
            alignment=alignment or {},
            links=_links(before, lesions, matched) if before else (),
            unseen=_unseen(before, matched) if before else (),
            objects=former.objects if former else {},
        )

    def _made_from(self, study: str, before: TimePoint | None) -> str:
        result = self._results[study]
        own = [PIPELINE_VERSION, study, result.job.id, result.case.id if result.case else "", result.series]
        told = json.dumps([*own, before.made_from if before else ""])
        return hashlib.sha256(told.encode()).hexdigest()[:32]

    def _measure(self, study: str) -> Measured:
        """Read and measure a study, without tracking UIDs; what was measured last is kept."""
        if study not in self._measured:
            work = self._settings.state_folder / "course" / study
            scan = read_scan(self._archive, self._settings, self._store, self._results[study], work)
            regions = lesions_of(scan.masks, scan.volume.image, mid_sagittal_plane(scan.volume))
            while len(self._measured) >= _KEPT_SCANS:
                self._measured.pop(next(iter(self._measured)))
            self._measured[study] = Measured(scan, regions)
        return self._measured[study]

    def _as_kept(self, point: TimePoint) -> Measured:
        """A study with the tracking UIDs that are kept of its lesions."""
        measured = self._measure(point.study)
        return _with(measured, {region: _of(point.lesions, region) for region in measured.regions})

    def _match(
        self, before: TimePoint, study: str, measured: Measured
    ) -> tuple[dict[str, JsonValue], dict[Region, Matched]]:
        prior = self._as_kept(before)
        volumes = {_Which.CURRENT: measured.scan.volume, _Which.PRIOR: prior.scan.volume}
        found = align(volumes, _Which.CURRENT)[_Which.PRIOR]
        return found.as_json(), match_all(prior.regions, measured.regions, found.transform)

    def _from_later(
        self, after: TimePoint, measured: Measured, found: dict[Region, tuple[Lesion, ...]], study: str
    ) -> dict[Region, tuple[Lesion, ...]]:
        """Tracking UIDs of a study that came, or was corrected, after a later one was measured."""
        try:
            _, matched = self._match(after, study, measured)
        except GlioLoopError as error:
            log.warning("later study not asked for its lesions", study=study, code=error.code)
            return found
        return {
            region: inherited(_of(after.lesions, region), one, matched[region].pairs) for region, one in found.items()
        }

    # --- what is written ---

    def _write_objects(self, points: list[TimePoint], person: str) -> dict[str, list[str]]:
        """Store the objects of every study of which they would say something new, and note that in its point."""
        course = course_of(self._patient, points)
        stored = {}
        for place, study in enumerate(course.studies[1:], start=1):
            digest = _digest(study)
            if points[place].objects.get("of") == digest:
                continue
            found = self._objects(points, place, person, digest)
            points[place] = points[place].model_copy(update={"objects": found[0] | {"of": digest}})
            stored[study.study] = found[1]
        return stored

    def _objects(
        self, points: Sequence[TimePoint], place: int, person: str, digest: str
    ) -> tuple[dict[str, str], list[str]]:
        point = points[place]
        course = course_of(self._patient, points)
        now, before = self._as_kept(point), self._as_kept(points[place - 1])
        provenance = Provenance(
            model=point.model,
            software_version=__version__,
            instance=installation_id(self._database),
            created=datetime.now(UTC),
        )
        objects = course_objects(
            course.studies[place], course, point, now, before, person, self._settings.roi_names, provenance,
            f"course/{point.study}/{digest}",
        )  # fmt: skip
        folder = self._settings.state_folder / "course" / "objects"
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for kind, dataset in objects.items():
            content = BytesIO()
            dataset.save_as(content, enforce_file_format=True)
            files.append(folder / f"{kind}.dcm")
            files[-1].write_bytes(content.getvalue())
        ids = upload(self._archive, files)
        for path in files:
            path.unlink()
        return {kind: str(dataset.SOPInstanceUID) for kind, dataset in objects.items()}, list(ids.values())


def _of(lesions: Sequence[Lesion], region: Region) -> tuple[Lesion, ...]:
    return tuple(one for one in lesions if one.region is region)


def _with(measured: Measured, lesions: Mapping[Region, tuple[Lesion, ...]]) -> Measured:
    regions = {region: Labelled(one.labels, lesions[region]) for region, one in measured.regions.items()}
    return Measured(measured.scan, regions)


def _volumes(measured: Measured) -> dict[Region, float]:
    x, y, z = measured.scan.volume.image.GetSpacing()
    return {region: round(float(mask.sum()) * x * y * z / 1000, 3) for region, mask in measured.scan.masks.items()}


def _links(
    before: TimePoint, lesions: Mapping[Region, tuple[Lesion, ...]], matched: Mapping[Region, Matched]
) -> tuple[Link, ...]:
    return tuple(
        Link(
            before=_of(before.lesions, region)[pair.before].tracking_uid, after=lesions[region][pair.after].tracking_uid
        )
        for region, found in matched.items()
        for pair in found.pairs
    )


def _unseen(before: TimePoint, matched: Mapping[Region, Matched]) -> tuple[str, ...]:
    return tuple(
        _of(before.lesions, region)[place].tracking_uid for region, found in matched.items() for place in found.unseen
    )


def _digest(study: StudyCourse) -> str:
    return hashlib.sha256(json.dumps(study.as_json(), sort_keys=True).encode()).hexdigest()[:32]
