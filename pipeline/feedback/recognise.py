"""Which objects of a study are corrections: not our own, of the same patient and study, on the same images."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pydicom
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.errors import InvalidDicomError

from pipeline.errors import GlioLoopError
from pipeline.feedback.policy import FeedbackPolicy
from pipeline.names import Sequence

ObjectKind = Literal["rtstruct", "seg"]

_KIND_OF_CLASS: dict[str, ObjectKind] = {
    "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
}
#: Values that only say how the file was written, not what it says.
_ENCODING = frozenset({0x00080005})
_FILE_META_GROUP = 0x0002


@dataclass(frozen=True)
class OwnObject:
    """A structure set or segmentation that a job of this node made.

    Attributes
    ----------
    job
        The job's id.
    sop_instance_uid
        Its UID.
    content
        :func:`content_hash` of the file as it was stored.
    """

    job: str
    sop_instance_uid: str
    content: str


@dataclass(frozen=True)
class Trust:
    """Who stands behind an object.

    Attributes
    ----------
    approval
        ApprovalStatus, empty where absent.
    reviewer
        Name of the reviewer, else of the operator; to be pseudonymised.
    reviewed
        Date and time of the review, else of the contours, as written.
    trusted
        By the site's policy.
    """

    approval: str
    reviewer: str
    reviewed: str
    trusted: bool


def read_object(path: Path) -> Dataset:
    """Read a structure set or segmentation.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE.
    """
    try:
        dataset = pydicom.dcmread(path)
        kind_of(dataset)
    except (InvalidDicomError, KeyError, AttributeError, ValueError, EOFError, OSError) as error:
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"{type(error).__name__}: {error}"[:200]) from error
    return dataset


def kind_of(dataset: Dataset) -> ObjectKind:
    """Whether it is a structure set or a segmentation; KeyError where it is neither."""
    return _KIND_OF_CLASS[str(dataset.SOPClassUID)]


def content_hash(path: Path) -> str:
    """Hash what a DICOM file says, whatever way it is encoded.

    Two files have the same hash when they hold the same attributes with the same values; transfer syntax
    (little endian), file meta information, padding and the length form of sequences do not count, since
    every archive on the way may change those.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE.
    """
    digest = hashlib.sha256()
    try:
        for part in _content(pydicom.dcmread(path)):
            digest.update(part)
    except (InvalidDicomError, AttributeError, ValueError, TypeError, EOFError, OSError, KeyError) as error:
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"{type(error).__name__}: {error}"[:200]) from error
    return digest.hexdigest()


def _content(dataset: Dataset) -> Iterator[bytes]:
    for tag in sorted(dataset.keys()):
        if tag.group == _FILE_META_GROUP or tag.element == 0 or int(tag) in _ENCODING:
            continue
        element = dataset.get_item(tag)
        yield f"|{int(tag):08x}:".encode()
        if _vr(element) == "SQ":
            for item in dataset[tag].value:
                yield b"("
                yield from _content(item)
                yield b")"
        elif isinstance(element, RawDataElement):
            # Raw, because converting a hundred thousand coordinates to numbers and back takes seconds.
            yield bytes(element.value or b"").rstrip(b" \0")
        else:
            yield str(element.value).encode()


def _vr(element: object) -> str:
    vr = getattr(element, "VR", None)
    if vr is not None:
        return str(vr)
    try:
        return dictionary_VR(element.tag)  # type: ignore[attr-defined]
    except KeyError:
        return "UN"


def own_copy(sop_instance_uid: str, content: str, own: Mapping[str, OwnObject]) -> bool:
    """Whether an object is what this node stored, unchanged: the same UID with the same content.

    A structure set edited in place keeps its UID (and the Manufacturer it had), so neither tells alone.
    """
    known = own.get(sop_instance_uid)
    return known is not None and known.content == content


def trust_of(dataset: Dataset, policy: FeedbackPolicy) -> Trust:
    """Read who stands behind an object (PS3.3, C.8.8.16 Approval Module).

    The reviewer's name alone does not make it trusted: a workstation may put its user there unasked. It
    must match a pattern of the site.
    """
    approval = str(dataset.get("ApprovalStatus", "") or "").strip().upper()
    reviewer = str(dataset.get("ReviewerName", "") or "").strip()
    person = reviewer or str(dataset.get("OperatorsName", "") or "").strip()
    known = any(re.fullmatch(pattern, reviewer, re.IGNORECASE) for pattern in policy.trusted_reviewers)
    trusted = approval in policy.trusted_approval or (bool(reviewer) and known and approval != "REJECTED")
    return Trust(approval, person, _moment(dataset), trusted)


def _moment(dataset: Dataset) -> str:
    for name in ("Review", "StructureSet", "Content"):
        date = str(dataset.get(f"{name}Date", "") or "")
        if date:
            return f"{date} {dataset.get(f'{name}Time', '') or ''}".strip()
    return ""


def check_identity(dataset: Dataset, patient_id: str, study_instance_uid: str) -> None:
    """Refuse what belongs to someone else, wherever it was filed.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN.
    """
    if str(dataset.get("StudyInstanceUID", "")) != study_instance_uid:
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", "it names another study")
    if str(dataset.get("PatientID", "") or "").strip() != patient_id.strip():
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", "it names another patient")


def referenced_images(dataset: Dataset) -> frozenset[str]:
    """SOP Instance UIDs of all images that an object refers to, at any depth."""
    found: set[str] = set()
    _collect_references(dataset, found)
    return frozenset(found)


def _collect_references(dataset: Dataset, found: set[str]) -> None:
    for tag in list(dataset.keys()):
        if _vr(dataset.get_item(tag)) == "SQ":
            for item in dataset[tag].value:
                _collect_references(item, found)
    uid = dataset.get("ReferencedSOPInstanceUID")
    if uid:
        found.add(str(uid))


def frames_of_reference(dataset: Dataset) -> frozenset[str]:
    """Frames of reference that an object is drawn in."""
    frames = {str(dataset.get("FrameOfReferenceUID", "") or "")}
    for item in dataset.get("ReferencedFrameOfReferenceSequence") or []:
        frames.add(str(item.get("FrameOfReferenceUID", "") or ""))
    for item in dataset.get("StructureSetROISequence") or []:
        frames.add(str(item.get("ReferencedFrameOfReferenceUID", "") or ""))
    return frozenset(frames - {""})


def drawn_on(
    dataset: Dataset, images: Mapping[Sequence, frozenset[str]], frames: Mapping[Sequence, str], reference: Sequence
) -> tuple[Sequence, ...]:
    """Which sequences of the processed study an object was drawn on, the likeliest first.

    Parameters
    ----------
    dataset
        The object.
    images
        SOP Instance UIDs of the slices of each sequence.
    frames
        Frame of reference of each sequence.
    reference
        Taken where the object names no image of ours but its frame of reference.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN where neither images nor frame of reference are ours.
    """
    referenced = referenced_images(dataset)
    hits = {sequence: len(referenced & uids) for sequence, uids in images.items()}
    named = sorted((sequence for sequence, count in hits.items() if count), key=lambda one: -hits[one])
    if named:
        return tuple(named)
    own_frames = frames_of_reference(dataset)
    if frames[reference] and frames[reference] in own_frames and not referenced:
        return (reference,)
    raise GlioLoopError("STRUCTURE_SET_FOREIGN", "it was drawn on images that were not processed here")
