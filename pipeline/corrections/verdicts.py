"""What became of a structure set or segmentation that lies in a processed study: a table."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.corrections.record import CaseRecord


class Verdict(StrEnum):
    """Outcome for one object; only the first three put something into the store."""

    CORRECTED = "corrected"
    ACCEPTED = "accepted"
    HOLES_FILLED = "holes_filled"
    KNOWN = "known"
    DELETED = "deleted"
    OWN = "own"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FOREIGN = "foreign"
    UNREADABLE = "unreadable"
    NO_REGION = "no_region"
    IMAGES_LACKING = "images_lacking"
    AMBIGUOUS = "ambiguous"


MEANING: dict[Verdict, str] = {
    Verdict.CORRECTED: "Contours differ from the automatic ones: kept as a correction.",
    Verdict.ACCEPTED: "Approved without a change: kept as an agreement.",
    Verdict.HOLES_FILLED: "Only holes are filled, perhaps by the viewer: kept, and learnt from once it is trusted.",
    Verdict.KNOWN: "The same correction was kept before.",
    Verdict.DELETED: "This correction was deleted from the store and is not taken up again.",
    Verdict.OWN: "The node made it itself, bit for bit the same.",
    Verdict.UNCHANGED: "The contours are the automatic ones and nobody approved them.",
    Verdict.REJECTED: "The reviewer rejected the contours without correcting them.",
    Verdict.FOREIGN: "It belongs to another patient, study or frame of reference, or to images not processed here.",
    Verdict.UNREADABLE: "It is damaged and cannot be read; the detail names the attribute.",
    Verdict.NO_REGION: "None of its regions has a name that is known here; see the setting RoiMap.",
    Verdict.IMAGES_LACKING: "The images it was drawn on are gone or changed; looked at again when the study changes.",
    Verdict.AMBIGUOUS: "It has several versions of a region, and nothing tells which one counts.",
}


@dataclass(frozen=True)
class ObjectVerdict:
    """What was decided about one object.

    Attributes
    ----------
    instance
        Orthanc's id.
    digest
        Digest of the stored file: the same object with other content is looked at again.
    verdict
        What became of it.
    case
        Id of the case in the store, where there is one.
    detail
        What is particular to it; no names of persons.
    at
        UTC, ISO 8601.
    """

    instance: str
    digest: str
    verdict: Verdict
    case: str | None
    detail: str
    at: str

    def as_json(self) -> dict[str, str | None]:
        """The record as REST shows it."""
        return {
            "instance": self.instance,
            "digest": self.digest,
            "verdict": self.verdict.value,
            "meaning": MEANING[self.verdict],
            "case": self.case,
            "detail": self.detail,
            "at": self.at,
        }


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
