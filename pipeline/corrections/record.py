"""``case.json``: what is known of a case."""

from typing import Annotated, Final, Literal

from pydantic import Field, JsonValue, PlainSerializer

from pipeline.records import StoredRecord

CASE_ID: Final = r"[0-9a-f]{16}-v[0-9]{1,4}"
Role = Literal["learn", "held_back"]
CaseKind = Literal["corrected", "accepted", "holes_filled"]


class RegionDifference(StoredRecord):
    """How a region was changed, on the slices of the reference series.

    Attributes
    ----------
    dice, hd95_mm
        Between automatic and corrected; None where both (Dice: 1) or one (distance) are empty.
    added_ml, removed_ml
        Volume that the correction added and took away.
    automatic_ml, corrected_ml
        Volumes before and after.
    drawn
        Whether the object held the region; if not, the automatic one was taken.
    """

    dice: float
    hd95_mm: float | None
    added_ml: float
    removed_ml: float
    automatic_ml: float
    corrected_ml: float
    drawn: bool


class ReaderDifference(StoredRecord):
    """A region that two readers drew, on the slices of the reference series.

    Attributes
    ----------
    dice, hd95_mm
        Between the two; Dice is 1 where both are empty, the distance None where either is.
    own_ml, other_ml
        The volume of the reader whose case holds it, and of the other one.
    """

    dice: float
    hd95_mm: float | None
    own_ml: float
    other_ml: float


class ReaderAgreement(StoredRecord):
    """A correction beside one of another reader of the same study.

    Attributes
    ----------
    other
        Id of the other one's case.
    regions
        Those that both drew; a region that only one of them drew cannot be compared.
    """

    other: str
    regions: dict[str, ReaderDifference]


class CaseRecord(StoredRecord):
    """``case.json``: everything known about a case; no name, number or date of birth of a patient.

    Attributes
    ----------
    id
        Pseudonym of the study and version.
    patient, study, reviewer
        Pseudonyms; the reviewer's is empty where the object names none.
    reader
        Pseudonym of whose contours they are: the reviewer, or where none is named the equipment that drew them; empty
        in records of earlier versions.
    consensus_of
        Ids of the cases that the node put together; empty for what a reader drew.
    agreement
        How it lies beside the latest correction of each other reader, as far as that could be compared.
    kind
        ``corrected``, ``accepted`` (approved without a change), or ``holes_filled``: nothing else was changed, and
        nobody has said yet that it was meant.
    trusted
        Whether it was approved or reviewed by someone the site trusts, or marked so by REST.
    approval, reviewed
        ApprovalStatus, and ReviewDate and ReviewTime, as in the object.
    received
        When it was kept, UTC.
    role
        ``learn``, or ``held_back`` to judge what was learnt; all cases of a patient have the same.
    model, job
        Which network and job had drawn the automatic contours.
    job_ended
        When that job had ended, UTC.
    source_kind, source_sop_instance_uid, source_hash, fingerprint
        The object it comes from, a hash of its content, and of UID and content together.
    drawn_on
        Sequence whose slices the contours were drawn on.
    unknown_rois
        Names of ROIs that mean no region here, kept so that the site can map them.
    notes
        What was understood of the object, in words: deletions, several ROIs of a region, what was left out.
    regions
        The difference, per region.
    files
        SHA-256 of every file.
    """

    id: str
    patient: str
    study: str
    reviewer: str = ""
    reader: str = ""
    consensus_of: tuple[str, ...] = ()
    agreement: tuple[ReaderAgreement, ...] = ()
    kind: CaseKind
    trusted: bool
    approval: str = ""
    reviewed: str = ""
    received: str
    role: Role = "learn"
    model: str
    job: str
    job_ended: str = ""
    source_kind: Literal["rtstruct", "seg"]
    source_sop_instance_uid: str
    source_hash: str
    fingerprint: str
    drawn_on: tuple[str, ...] = ()
    unknown_rois: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    regions: dict[str, RegionDifference]
    spacing_mm: tuple[float, float, float]
    files: dict[str, str] = Field(default_factory=dict)

    def as_meant(self) -> "CaseRecord":
        """The record once somebody said that it is to be learnt from."""
        kind: CaseKind = "corrected" if self.kind == "holes_filled" else self.kind
        return self.model_copy(update={"trusted": True, "kind": kind})

    def shown(self) -> dict[str, JsonValue]:
        """What people see of it: all but what identifies its files."""
        return self.model_dump(mode="json", exclude={"files", "fingerprint"})


#: A case inside a document that people see.
ShownCase = Annotated[CaseRecord, PlainSerializer(CaseRecord.shown)]
