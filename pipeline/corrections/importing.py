"""From an object in the archive to a correction in the store: read, compare, keep."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from pydicom import Dataset

from pipeline.align import align
from pipeline.case.job import JobView
from pipeline.case.workspace import Workspace
from pipeline.corrections.compare import difference
from pipeline.corrections.consensus import described, seed_of
from pipeline.corrections.contours import write_contours, write_surfaces
from pipeline.corrections.images import SPACING_MM, write_images
from pipeline.corrections.masks import Drawn, read_drawn, read_unknown
from pipeline.corrections.meaning import Meaning, resembles, understand
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.readings import beside_others, said_of, write_drawn
from pipeline.corrections.recognise import (
    OwnObject,
    Trust,
    check_identity,
    content_hash,
    edits,
    kind_of,
    own_copy,
    read_object,
    trust_of,
)
from pipeline.corrections.record import CaseKind, CaseRecord, RegionDifference
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.store import CorrectionStore
from pipeline.corrections.study import Mask, Study
from pipeline.corrections.verdicts import Outcome, Verdict
from pipeline.errors import GlioLoopError
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.objects.rtstruct.edited import consensus_words, is_edited_here

#: Characters of what is told of an object.
_LONGEST_DETAIL: Final = 500
_FOREIGN = {"STRUCTURE_SET_FOREIGN": Verdict.FOREIGN, "STRUCTURE_SET_UNREADABLE": Verdict.UNREADABLE}


@dataclass(frozen=True)
class ProcessedStudy:
    """What is known of a study before anything is read from the archive again.

    Attributes
    ----------
    orthanc_id
        The archive's id of the study: one StudyInstanceUID may name the studies of two patients.
    patient_id, study_instance_uid
        As the archive has them.
    job
        The job whose contours are compared with, as people see it.
    own
        Objects that this node made for the study, by SOP Instance UID.
    objects
        Folder of the job with the objects as they were stored.
    """

    orthanc_id: str
    patient_id: str
    study_instance_uid: str
    job: JobView
    own: dict[str, OwnObject]
    objects: Path


def judge_without_images(path: Path, study: ProcessedStudy, store: CorrectionStore) -> Outcome | None:
    """Decide what can be decided without the images; None where they are needed.

    Parameters
    ----------
    path
        The object's file.
    """
    try:
        dataset = read_object(path)
        content = content_hash(path)
        check_identity(dataset, study.patient_id, study.study_instance_uid)
    except GlioLoopError as error:
        return Outcome(_FOREIGN[error.code], detail=error.detail)
    uid = str(dataset.SOPInstanceUID)
    if own_copy(uid, content, study.own):
        return Outcome(Verdict.OWN)
    fingerprint = fingerprint_of(uid, content)
    known = store.find(fingerprint)
    if known is not None:
        return Outcome(Verdict.KNOWN, known)
    if store.was_deleted(fingerprint):
        return Outcome(Verdict.DELETED)
    return None


def fingerprint_of(sop_instance_uid: str, content: str) -> str:
    """Identity of a correction: the object and what it says."""
    return f"{sop_instance_uid}:{content}"


def load_study(case: Workspace, kept: Workspace, reference: MRSequence) -> Study:
    """Join the volumes that were read again with the alignment that the job kept.

    Parameters
    ----------
    case
        Folder with the volumes.
    kept
        The job's folder.
    reference
        The reference sequence.
    """
    volumes = case.read_volumes()
    try:
        alignments = kept.read_alignments()
    except GlioLoopError:
        # The job's folder is gone; the alignment is deterministic and can be found again.
        alignments = dict(align(volumes, reference))
    return Study(volumes, alignments, reference)


def import_object(
    path: Path, processed: ProcessedStudy, study: Study, names: RegionNames, store: CorrectionStore, work: Path
) -> Outcome:
    """Compare an object with the automatic contours and keep it, where it says something.

    Parameters
    ----------
    path
        The object's file, for which :func:`judge_without_images` returned None.
    processed, study
        The study.
    names
        Meaning of ROI names.
    store
        Where it is kept.
    work
        Folder for files on their way into the store.

    Raises
    ------
    GlioLoopError
        CASE_LOST where the automatic contours are gone.
    """
    dataset = read_object(path)
    trust = trust_of(dataset, names.policy)
    own = _own(processed, study, names, kind_of(dataset))
    automatic = {region: own.masks.get(region, study.nothing()) for region in TUMOUR_REGIONS}
    if not own.cavities:
        names = names.without_cavity()
    try:
        drawn = read_drawn(dataset, study, names)
        edit = _is_edit(dataset, drawn, processed, names)
        drawn = _spare_renamed(dataset, drawn, study, names, automatic) if edit else drawn
    except GlioLoopError as error:
        if error.code not in _FOREIGN:
            raise
        return Outcome(_FOREIGN[error.code], detail=error.detail)
    least_voxels = names.policy.least_change_ml / _voxel_ml(study)
    made_of = _consensus_of(dataset, processed, drawn, automatic, store)
    # Nobody's viewer fills what was painted or put together here.
    as_drawn = names.policy.filled_holes == "drawn" or is_edited_here(dataset) or bool(made_of.cases)
    meaning = understand(drawn, automatic, edit, least_voxels, as_drawn)
    detail = "; ".join(meaning.notes)[:_LONGEST_DETAIL]
    if not meaning.said:
        told = "; ".join(part for part in (detail, ", ".join(drawn.unknown)) if part)[:_LONGEST_DETAIL]
        return Outcome(Verdict.AMBIGUOUS if meaning.undecided else Verdict.NO_REGION, detail=told)
    said = meaning.said & made_of.said if made_of.cases else meaning.said
    regions = {
        region.value: difference(automatic[region], meaning.regions[region], study.grid, region in said)
        for region in TUMOUR_REGIONS
    }
    changed = any(one.added_ml + one.removed_ml > names.policy.least_change_ml for one in regions.values())
    if not changed and not trust.trusted and not made_of.cases:
        rejected = trust.approval == "REJECTED"
        return Outcome(Verdict.REJECTED if rejected else Verdict.UNCHANGED, detail=detail)
    files = work / "files"
    shutil.rmtree(files, ignore_errors=True)
    write_images(files, study, meaning.regions, automatic)
    write_drawn(files, meaning.regions, study.grid)
    write_contours(files, dataset, meaning, study)
    write_surfaces(files, meaning.regions, study.grid)
    accepted = not changed and trust.trusted  # a consensus without a change may have been approved by nobody
    kind: CaseKind = "accepted" if accepted else "holes_filled" if meaning.only_holes else "corrected"
    record = _record(path, processed, drawn, meaning, trust, regions, kind, store)
    if made_of.cases:
        notes = (*made_of.notes, *record.notes)
        record = record.model_copy(update={"consensus_of": made_of.cases, "notes": notes})
    else:
        cases = store.of_study(processed.orthanc_id, processed.study_instance_uid)
        beside = beside_others(record.reader, meaning.regions, said, cases, study, store)
        record = record.model_copy(update={"agreement": beside})
    return Outcome(Verdict(record.kind), store.keep(record, files), detail)


@dataclass(frozen=True)
class _MadeOf:
    """The cases that a consensus of this node's was made of, none for any other object; the regions that they say
    something of; how it was made, in words."""

    cases: tuple[str, ...] = ()
    said: frozenset[Region] = frozenset()
    notes: tuple[str, ...] = ()


def _consensus_of(
    dataset: Dataset, processed: ProcessedStudy, drawn: Drawn, automatic: Mapping[Region, Mask], store: CorrectionStore
) -> _MadeOf:
    """Tell what a consensus was made of: one that a person edited since is that person's own contours."""
    masks = {**automatic, **drawn.masks}
    words = consensus_words(dataset, lambda words: seed_of(processed.job.id, described(words)[0], masks))
    cases, notes = described(words)
    known = [one for one in store.of_study(processed.orthanc_id, processed.study_instance_uid) if one.id in cases]
    return _MadeOf(cases, frozenset().union(*map(said_of, known)), notes)


def _is_edit(dataset: Dataset, drawn: Drawn, processed: ProcessedStudy, names: RegionNames) -> bool:
    named = [one.roi.name for members in drawn.rois.values() for one in members]
    return edits(dataset, processed.own.values(), [*named, *drawn.cavities], frozenset(names.written.values()))


def _spare_renamed(
    dataset: Dataset, drawn: Drawn, study: Study, names: RegionNames, automatic: Mapping[Region, Mask]
) -> Drawn:
    """Keep what may have been given another name from being taken for deleted.

    A region is spared where an ROI of an unknown name looks like it; every region, where none of ours is left and
    somebody drew others in their place.
    """
    lacking = [region for region in TUMOUR_REGIONS if region not in drawn.rois and automatic[region].any()]
    if not lacking or not drawn.unknown:
        return drawn
    spared: dict[Region, str] = {}
    for title, mask in read_unknown(dataset, study, names):
        for region in lacking:
            if resembles(mask, automatic[region]) or (not drawn.rois and mask.any()):
                spared.setdefault(region, title)
    notes = tuple(f"{region} left out: {title!r} may be it; see RoiMap" for region, title in spared.items())
    return replace(drawn, unread=drawn.unread | spared.keys(), notes=(*drawn.notes, *notes))


def _voxel_ml(study: Study) -> float:
    return float(np.prod(study.grid.GetSpacing())) / 1000


def _own(processed: ProcessedStudy, study: Study, names: RegionNames, kind: str) -> Drawn:
    """Read the automatic contours as they were stored, by the same reader: equal contours give equal masks."""
    other = {"rtstruct": "seg", "seg": "rtstruct"}[kind]
    path = next((p for one in (kind, other) if (p := processed.objects / f"{one}.dcm").exists()), None)
    if path is None:
        raise GlioLoopError("CASE_LOST", f"the contours of job {processed.job.id}")
    return read_drawn(read_object(path), study, names)


def _record(
    path: Path,
    processed: ProcessedStudy,
    drawn: Drawn,
    meaning: Meaning,
    trust: Trust,
    regions: dict[str, RegionDifference],
    kind: CaseKind,
    store: CorrectionStore,
) -> CaseRecord:
    dataset = read_object(path)
    content = content_hash(path)
    pseudonyms = Pseudonyms.of_installation(store.database)
    study = store.study_key(pseudonyms, processed.orthanc_id, processed.study_instance_uid)
    return CaseRecord(
        id=f"{study}-v0",
        patient=pseudonyms.patient(processed.patient_id),
        study=study,
        reviewer=pseudonyms.person(trust.reviewer),
        reader=pseudonyms.reader(trust.reviewer, trust.equipment),
        kind=kind,
        # Whoever approved it may not have seen what the viewer did.
        trusted=trust.trusted and kind != "holes_filled",
        approval=trust.approval,
        reviewed=trust.reviewed,
        received=datetime.now(UTC).isoformat(timespec="milliseconds"),
        model=str(processed.job.model),
        job=processed.job.id,
        job_ended=processed.job.updated or "",
        source_kind=kind_of(dataset),
        source_sop_instance_uid=str(dataset.SOPInstanceUID),
        source_hash=content,
        fingerprint=fingerprint_of(str(dataset.SOPInstanceUID), content),
        drawn_on=tuple(sequence.value for sequence in drawn.sequences),
        unknown_rois=drawn.unknown,
        notes=meaning.notes,
        regions=regions,
        spacing_mm=SPACING_MM,
    )
