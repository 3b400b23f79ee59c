"""What follows an automatic structure set: an instance of its own that says who stands behind it.

See PS3.3, C.8.8.16 Approval Module.
"""

import copy
from datetime import datetime
from typing import Final

from pydicom import Dataset
from pydicom.valuerep import DA, TM

from pipeline.names import RESEARCH_USE
from pipeline.objects.provenance import UidSource
from pipeline.objects.rtstruct.enum import ApprovalStatuses
from pipeline.objects.rtstruct.sop import predecessor_item

#: Characters that mean something else in a person's name, or that none may hold (PS3.5, PN).
_NOT_IN_NAMES: Final = str.maketrans(dict.fromkeys("\\=^", " "))
_LONGEST_NAME: Final = 64
_RESEARCH_USE: Final = "Research use only. Not a medical device. Automatic contours, approved as they are."


def approved(automatic: Dataset, reviewer: str, reviewed: datetime, uid_seed: str) -> Dataset:
    """Approve a structure set without a change.

    Parameters
    ----------
    automatic
        As the node wrote it, with its file meta information; left as it is.
    reviewer
        Who approved it, for ReviewerName.
    reviewed
        When; written on the clock that the structure set names.
    uid_seed
        See :class:`pipeline.objects.provenance.UidSource`.

    Returns
    -------
    Dataset
        A new instance in a series of its own, its predecessor referenced.
    """
    made = successor(automatic, "approved", reviewed, _RESEARCH_USE, uid_seed)
    approve(made, reviewer)
    return made


def successor(automatic: Dataset, word: str, made_at: datetime, research_use: str, uid_seed: str) -> Dataset:
    """Copy a structure set into a new instance in a series of its own, its predecessor referenced.

    Parameters
    ----------
    automatic, uid_seed
        As for :func:`approved`.
    word
        What became of it, for SeriesDescription.
    made_at
        When; written on the clock that the structure set names.
    research_use
        For StructureSetDescription, in the place of what stands there.
    """
    made = copy.deepcopy(automatic)
    uids = UidSource(uid_seed)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uids.uid(f"{word} instance")
    made.SeriesInstanceUID = uids.uid(f"{word} series")
    try:
        zone = datetime.strptime(str(automatic.get("TimezoneOffsetFromUTC", "")), "%z").tzinfo
    except ValueError:
        zone = None
    local = made_at.astimezone(zone)
    for name in ("InstanceCreation", "Series"):
        setattr(made, f"{name}Date", DA(local.date()))
        setattr(made, f"{name}Time", TM(local.strftime("%H%M%S")))
    made.PredecessorStructureSetSequence = [predecessor_item(automatic)]
    made.SeriesDescription = f"{str(automatic.get('SeriesDescription', ''))[: 61 - len(word)]} ({word})".strip()
    made.StructureSetDescription = str(automatic.get("StructureSetDescription", "")).replace(
        RESEARCH_USE, research_use
    )[:1024]
    return made


def approve(made: Dataset, reviewer: str) -> None:
    """Say in a structure set who approved it, at the time at which it was made."""
    made.ReviewDate, made.ReviewTime = made.SeriesDate, made.SeriesTime
    made.ApprovalStatus = ApprovalStatuses.APPROVED.value
    made.ReviewerName = person_name(reviewer)


def person_name(user: str) -> str:
    """Return a user of Orthanc's as a legal name of a person."""
    return " ".join(user.translate(_NOT_IN_NAMES).split())[:_LONGEST_NAME] or "unknown"
