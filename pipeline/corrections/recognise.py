"""Which objects of a study are corrections: not our own, of the same patient and study, on the same images."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pydicom
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag
from pydicom.dataelem import RawDataElement

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import raise_if_exhausted
from pipeline.names import MANUFACTURER, MRSequence
from pipeline.objects.rtstruct.parse import InvalidAttributeError, items_of, text_of
from pipeline.settings.corrections import CorrectionPolicy

CorrectionKind = Literal["rtstruct", "seg"]

_KIND_OF_CLASS: dict[str, CorrectionKind] = {
    "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct",
    "1.2.840.10008.5.1.4.1.1.66.4": "seg",
    "1.2.840.10008.5.1.4.1.1.66.7": "seg",  # label map
}
#: Values that only say how the file was written, not what it says.
_ENCODING = frozenset({0x00080005})
_FILE_META_GROUP = 0x0002
#: Characters of a name that the site's patterns are tried on: three groups of 64 (PS3.5, PN).
_LONGEST_PERSON: Final = 194
#: Who drew, where no reviewer is named: in a structure set, in a segmentation.
_DRAWN_BY: Final = ("OperatorsName", "ContentCreatorName")
_DRAWN_WITH: Final = ("StationName", "Manufacturer", "ManufacturerModelName", "DeviceSerialNumber")


@dataclass(frozen=True)
class OwnObject:
    """A structure set or segmentation that a job of this node made.

    Attributes
    ----------
    job
        The job's id.
    sop_instance_uid, series_instance_uid
        Its UIDs.
    content
        :func:`content_hash` of the file as it was stored; empty where that is gone.
    """

    job: str
    sop_instance_uid: str
    series_instance_uid: str
    content: str


@dataclass(frozen=True)
class Trust:
    """Who stands behind an object.

    Attributes
    ----------
    approval
        ApprovalStatus, empty where absent.
    reviewer
        Name of the reviewer, else of the operator or the content's creator; to be pseudonymised.
    equipment
        What it was drawn with: station, manufacturer, model and serial number, as written.
    reviewed
        Date and time of the review, else of the contours, as written.
    trusted
        By the site's policy.
    """

    approval: str
    reviewer: str
    equipment: str
    reviewed: str
    trusted: bool


def read_object(path: Path) -> Dataset:
    """Read a structure set or segmentation.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE.
    """
    with _readable():
        dataset = pydicom.dcmread(path)
        if "SOPInstanceUID" not in dataset:
            raise GlioLoopError("STRUCTURE_SET_UNREADABLE", str(InvalidAttributeError("SOPInstanceUID", "is absent")))
        kind_of(dataset)
    return dataset


@contextmanager
def _readable() -> Iterator[None]:
    """Take whatever the decoder raises for what it means: a damaged file. Nothing of its text: that may quote values.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE.
    """
    try:
        yield
    except GlioLoopError:
        raise
    except Exception as error:
        raise_if_exhausted(error, "structure set")
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", f"not decodable: {type(error).__name__}") from error


def kind_of(dataset: Dataset) -> CorrectionKind:
    """Whether it is a structure set or a segmentation.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_UNREADABLE where it is neither.
    """
    kind = _KIND_OF_CLASS.get(text_of(dataset, "SOPClassUID"))
    if kind is None:
        fault = InvalidAttributeError("SOPClassUID", "names neither a structure set nor a segmentation")
        raise GlioLoopError("STRUCTURE_SET_UNREADABLE", str(fault))
    return kind


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
    with _readable():
        for part in _content(pydicom.dcmread(path)):
            digest.update(part)
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


def trust_of(dataset: Dataset, policy: CorrectionPolicy) -> Trust:
    """Read who stands behind an object (PS3.3, C.8.8.16 Approval Module).

    The reviewer's name alone does not make it trusted: a workstation may put its user there unasked. It
    must match a pattern of the site.
    """
    approval = text_of(dataset, "ApprovalStatus").upper()
    reviewer = text_of(dataset, "ReviewerName")[:_LONGEST_PERSON]
    person = next(filter(None, (reviewer, *(text_of(dataset, name).rstrip("^ ") for name in _DRAWN_BY))), "")
    equipment = "\\".join(text_of(dataset, name) for name in _DRAWN_WITH)
    known = any(re.fullmatch(pattern, reviewer, re.IGNORECASE) for pattern in policy.trusted_reviewers)
    trusted = approval in policy.trusted_approval or (bool(reviewer) and known and approval != "REJECTED")
    return Trust(approval, person, equipment, _moment(dataset), trusted)


def _moment(dataset: Dataset) -> str:
    for name in ("Review", "StructureSet", "Content"):
        date = text_of(dataset, f"{name}Date")
        if date:
            return f"{date} {text_of(dataset, f'{name}Time')}".strip()
    return ""


def check_identity(dataset: Dataset, patient_id: str, study_instance_uid: str) -> None:
    """Refuse what belongs to someone else, wherever it was filed.

    Raises
    ------
    GlioLoopError
        STRUCTURE_SET_FOREIGN.
    """
    if text_of(dataset, "StudyInstanceUID") != study_instance_uid:
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", "it names another study")
    if text_of(dataset, "PatientID") != patient_id.strip():
        raise GlioLoopError("STRUCTURE_SET_FOREIGN", "it names another patient")


def referenced_images(dataset: Dataset) -> frozenset[str]:
    """SOP Instance UIDs of all images that an object refers to, at any depth."""
    found: set[str] = set()
    _collect_references(dataset, found)
    return frozenset(found)


def _collect_references(dataset: Dataset, found: set[str]) -> None:
    for tag in list(dataset.keys()):
        if _vr(dataset.get_item(tag)) == "SQ":
            # A damaged sequence names nothing; whether the contours can do without is seen where they are read.
            with suppress(InvalidAttributeError):
                for item in items_of(dataset, keyword_for_tag(tag)):
                    _collect_references(item, found)
    found.update({text_of(dataset, "ReferencedSOPInstanceUID")} - {""})


def frames_of_reference(dataset: Dataset) -> frozenset[str]:
    """Frames of reference that an object is drawn in."""
    frames = {text_of(dataset, "FrameOfReferenceUID")}
    for sequence, keyword in (
        ("ReferencedFrameOfReferenceSequence", "FrameOfReferenceUID"),
        ("StructureSetROISequence", "ReferencedFrameOfReferenceUID"),
    ):
        with suppress(InvalidAttributeError):
            frames |= {text_of(item, keyword) for item in items_of(dataset, sequence)}
    return frozenset(frames - {""})


def edits(dataset: Dataset, own: Iterable[OwnObject], names: Iterable[str], own_names: frozenset[str]) -> bool:
    """Whether an object is an edited copy of one of this node's: then what it lacks was deleted.

    Parameters
    ----------
    dataset
        The object.
    own
        The node's objects of the study.
    names
        Names of the object's ROIs.
    own_names
        ROI names as the node writes them.

    Returns
    -------
    bool
        It keeps the UID of an object of ours or of its series, refers to it (as its predecessor, or in any other
        way), or keeps our ROI names: two of them, or one beside the equipment's name. One name alone is what anybody
        may call a fresh drawing.
    """
    uids = {one.sop_instance_uid for one in own} | {one.series_instance_uid for one in own} - {""}
    if {text_of(dataset, "SOPInstanceUID"), text_of(dataset, "SeriesInstanceUID")} & uids:
        return True
    if referenced_images(dataset) & uids:
        return True
    kept = {one.casefold() for one in own_names} & {one.strip().casefold() for one in names}
    return len(kept) > 1 or bool(kept and _names_equipment(dataset))


def _names_equipment(dataset: Dataset) -> bool:
    makers = {text_of(dataset, "Manufacturer")}
    with suppress(InvalidAttributeError):
        makers |= {text_of(item, "Manufacturer") for item in items_of(dataset, "ContributingEquipmentSequence")}
    return MANUFACTURER in makers


def drawn_on(
    dataset: Dataset,
    images: Mapping[MRSequence, frozenset[str]],
    frames: Mapping[MRSequence, str],
    reference: MRSequence,
) -> tuple[MRSequence, ...]:
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
        Taken where the object names no image of ours but lies in its frame of reference: then its points hold there.

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
    shared = [sequence for sequence, frame in frames.items() if frame and frame in own_frames]
    if shared:
        return (reference if reference in shared else shared[0],)
    raise GlioLoopError("STRUCTURE_SET_FOREIGN", "it was drawn on images that were not processed here")
