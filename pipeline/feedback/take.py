"""From an object in the archive to a case in the store: read, compare, keep."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.align import Alignment, align
from pipeline.casefolder import CaseFolder
from pipeline.errors import GlioLoopError
from pipeline.feedback.compare import difference
from pipeline.feedback.contours import write_contours
from pipeline.feedback.images import SPACING_MM, write_images
from pipeline.feedback.masks import Drawn, Mask, Study, complete, read_drawn
from pipeline.feedback.pseudonyms import Pseudonyms
from pipeline.feedback.recognise import (
    OwnObject,
    Trust,
    check_identity,
    content_hash,
    kind_of,
    own_copy,
    read_object,
    trust_of,
)
from pipeline.feedback.regions import RegionNames
from pipeline.feedback.store import CaseRecord, FeedbackStore, RegionDifference
from pipeline.feedback.verdicts import Verdict
from pipeline.names import TUMOUR_REGIONS, Region, Sequence

_FOREIGN = {"STRUCTURE_SET_FOREIGN": Verdict.FOREIGN, "STRUCTURE_SET_UNREADABLE": Verdict.UNREADABLE}


@dataclass(frozen=True)
class ProcessedStudy:
    """What is known of a study before anything is read from the archive again.

    Attributes
    ----------
    patient_id, study_instance_uid
        As the archive has them.
    job
        The job whose contours are compared with, as :func:`pipeline.jobs.job_view` shows it.
    own
        Objects that this node made for the study, by SOP Instance UID.
    objects
        Folder of the job with the objects as they were stored.
    """

    patient_id: str
    study_instance_uid: str
    job: dict[str, Any]
    own: dict[str, OwnObject]
    objects: Path


@dataclass(frozen=True)
class Outcome:
    """What became of an object.

    Attributes
    ----------
    verdict
        See :class:`Verdict`.
    case
        The case it became, or was before.
    detail
        What is particular to it.
    """

    verdict: Verdict
    case: CaseRecord | None = None
    detail: str = ""


def judge_early(path: Path, study: ProcessedStudy, store: FeedbackStore) -> Outcome | None:
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


def load_study(case: CaseFolder, kept: CaseFolder, reference: Sequence) -> Study:
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
        alignments = {Sequence(name): Alignment.from_json(one) for name, one in kept.read_json("alignment").items()}
    except GlioLoopError:
        # The job's folder is gone; the alignment is deterministic and can be found again.
        alignments = dict(align(volumes, reference))
    return Study(volumes, alignments, reference)


def take(
    path: Path, processed: ProcessedStudy, study: Study, names: RegionNames, store: FeedbackStore, work: Path
) -> Outcome:
    """Compare an object with the automatic contours and keep it, where it says something.

    Parameters
    ----------
    path
        The object's file, for which :func:`judge_early` returned None.
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
    try:
        drawn = read_drawn(dataset, study, names)
    except GlioLoopError as error:
        if error.code not in _FOREIGN:
            raise
        return Outcome(_FOREIGN[error.code], detail=error.detail)
    if not drawn.masks:
        return Outcome(Verdict.NO_REGION, detail=", ".join(drawn.unknown)[:500])
    automatic = _automatic(processed, study, names, kind_of(dataset))
    corrected = complete(drawn.masks, automatic)
    regions = {
        region.value: difference(automatic[region], corrected[region], study.grid, region in drawn.masks)
        for region in TUMOUR_REGIONS
    }
    changed = any(one.added_ml + one.removed_ml > names.policy.least_change_ml for one in regions.values())
    if not changed and not trust.trusted:
        rejected = trust.approval == "REJECTED"
        return Outcome(Verdict.REJECTED if rejected else Verdict.UNCHANGED)
    files = work / "files"
    shutil.rmtree(files, ignore_errors=True)
    write_images(files, study, corrected, automatic)
    write_contours(files, dataset, drawn, study, names)
    record = _record(path, processed, drawn, trust, regions, changed, Pseudonyms.of_installation(store.folder))
    return Outcome(Verdict(record.kind), store.keep(record, files))


def _automatic(processed: ProcessedStudy, study: Study, names: RegionNames, kind: str) -> dict[Region, Mask]:
    """Read the automatic contours as they were stored, by the same reader: equal contours give equal masks."""
    other = {"rtstruct": "seg", "seg": "rtstruct"}[kind]
    path = next((p for one in (kind, other) if (p := processed.objects / f"{one}.dcm").exists()), None)
    if path is None:
        raise GlioLoopError("CASE_LOST", f"the contours of job {processed.job['id']}")
    found = read_drawn(read_object(path), study, names).masks
    empty = next(iter(found.values())) & False
    return {region: found.get(region, empty) for region in TUMOUR_REGIONS}


def _record(
    path: Path,
    processed: ProcessedStudy,
    drawn: Drawn,
    trust: Trust,
    regions: dict[str, RegionDifference],
    changed: bool,
    pseudonyms: Pseudonyms,
) -> CaseRecord:
    dataset = read_object(path)
    content = content_hash(path)
    study = pseudonyms.study(processed.study_instance_uid)
    return CaseRecord(
        id=f"{study}-v0",
        patient=pseudonyms.patient(processed.patient_id),
        study=study,
        reviewer=pseudonyms.person(trust.reviewer),
        kind="corrected" if changed else "accepted",
        trusted=trust.trusted,
        approval=trust.approval,
        reviewed=trust.reviewed,
        received=datetime.now(UTC).isoformat(timespec="milliseconds"),
        model=str(processed.job["model"]),
        job=str(processed.job["id"]),
        job_ended=str(processed.job["updated"] or ""),
        source_kind=kind_of(dataset),
        source_sop_instance_uid=str(dataset.SOPInstanceUID),
        source_hash=content,
        fingerprint=fingerprint_of(str(dataset.SOPInstanceUID), content),
        drawn_on=tuple(sequence.value for sequence in drawn.sequences),
        unknown_rois=drawn.unknown,
        regions=regions,
        spacing_mm=SPACING_MM,
    )
