"""A structure set that a person accepted as it is: an instance of its own (PS3.3, C.8.8.16 Approval Module)."""

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
    made = copy.deepcopy(automatic)
    uids = UidSource(uid_seed)
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = uids.uid("approved instance")
    made.SeriesInstanceUID = uids.uid("approved series")
    try:
        zone = datetime.strptime(str(automatic.get("TimezoneOffsetFromUTC", "")), "%z").tzinfo
    except ValueError:
        zone = None
    local = reviewed.astimezone(zone)
    date, time = DA(local.date()), TM(local.strftime("%H%M%S"))
    for name in ("InstanceCreation", "Series", "Review"):
        setattr(made, f"{name}Date", date)
        setattr(made, f"{name}Time", time)
    made.ApprovalStatus = ApprovalStatuses.APPROVED.value
    made.ReviewerName = " ".join(reviewer.translate(_NOT_IN_NAMES).split())[:_LONGEST_NAME] or "unknown"
    made.PredecessorStructureSetSequence = [predecessor_item(automatic)]
    made.SeriesDescription = f"{str(automatic.get('SeriesDescription', ''))[:53]} (approved)".strip()
    made.StructureSetDescription = str(automatic.get("StructureSetDescription", "")).replace(
        RESEARCH_USE, _RESEARCH_USE
    )[:1024]
    return made
