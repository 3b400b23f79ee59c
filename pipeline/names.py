"""Names that every stage shares: MR sequences, tumour regions, job states.

The ROI names follow AAPM TG-263 (GTV with a suffix); the regions are those of the BraTS challenge
(Menze et al., IEEE TMI 34(10), 2015).
"""

from collections.abc import Callable
from enum import StrEnum


class MRSequence(StrEnum):
    """The MR sequences the node works on."""

    T1 = "t1"
    T1C = "t1c"
    T2 = "t2"
    FLAIR = "flair"


#: What a study must have to be segmented, in the order of the enumeration; others are looked for.
REQUIRED_SEQUENCES: tuple[MRSequence, ...] = (MRSequence.T1, MRSequence.T1C, MRSequence.T2, MRSequence.FLAIR)


class Region(StrEnum):
    """What a network delineates: the tumour regions are nested, ET ⊂ TC ⊂ WT; a resection cavity lies in none."""

    BRAIN = "brain"
    WT = "WT"
    TC = "TC"
    ET = "ET"
    CAVITY = "cavity"


TUMOUR_REGIONS: tuple[Region, ...] = (Region.WT, Region.TC, Region.ET)
#: What objects may hold; the cavity only of a network that knows it, and where one was found.
DELINEATED_REGIONS: tuple[Region, ...] = (*TUMOUR_REGIONS, Region.CAVITY)

REGION_MEANING: dict[Region, str] = {
    Region.BRAIN: "brain",
    Region.WT: "whole tumour (enhancing, non-enhancing, necrosis and oedema)",
    Region.TC: "tumour core (enhancing, non-enhancing and necrosis)",
    Region.ET: "enhancing tumour",
    Region.CAVITY: "resection cavity",
}

ROI_NAMES: dict[Region, str] = {
    Region.WT: "GTV_WT",
    Region.TC: "GTV_TC",
    Region.ET: "GTV_ET",
    Region.CAVITY: "Cavity_Resection",
}


class Language(StrEnum):
    """Languages that pages are written in."""

    ENGLISH = "en"
    DUTCH = "nl"
    FRENCH = "fr"
    GERMAN = "de"


class Provider(StrEnum):
    """What a network runs on, as the configuration names it; every one gives the same contours."""

    AUTO = "auto"
    CUDA = "cuda"
    OPENVINO = "openvino"
    CPU = "cpu"


class JobState(StrEnum):
    """States of a job as REST shows them."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: States in which nothing more comes of a job by itself.
ENDED_JOBS: frozenset[JobState] = frozenset({JobState.DONE, JobState.REFUSED, JobState.FAILED, JobState.CANCELLED})


class DeliveryState(StrEnum):
    """States of the delivery of a job's results to one destination."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    #: Sent, and the destination has not committed to keep it yet; late: nor in the time that it is given.
    COMMITTING = "committing"
    LATE = "late"
    DONE = "done"
    FAILED = "failed"
    #: Sent, and the destination never committed to keep it.
    UNCOMMITTED = "uncommitted"
    CANCELLED = "cancelled"


#: States of a delivery that has ended.
ENDED_DELIVERIES: frozenset[DeliveryState] = frozenset(
    {DeliveryState.DONE, DeliveryState.FAILED, DeliveryState.UNCOMMITTED, DeliveryState.CANCELLED}
)

#: Those that ended without success, and not because a person wanted it.
BROKEN_DELIVERIES: frozenset[DeliveryState] = frozenset({DeliveryState.FAILED, DeliveryState.UNCOMMITTED})


class Wait(StrEnum):
    """What a fine-tuning waits for."""

    #: Clinical jobs, which wait or are at work.
    JOBS = "jobs"
    QUIET_HOURS = "quiet_hours"


class Event(StrEnum):
    """What people are told of."""

    DONE = "done"
    FLAGGED = "flagged"
    REFUSED = "refused"
    FAILED = "failed"
    QUEUE = "queue"
    UNWELL = "unwell"
    DIGEST = "digest"
    TEST = "test"


class Stage(StrEnum):
    """Stages of a job, in their order."""

    IDENTIFY = "identify"
    LOAD = "load"
    ALIGN = "align"
    INFER = "infer"
    RESTORE = "restore"
    WRITE = "write"
    STORE = "store"
    FORWARD = "forward"


MANUFACTURER = "GlioLoop"
MANUFACTURER_MODEL_NAME = "GlioLoop node"
RESEARCH_USE = "Research use only. Not a medical device. Automatic contours, not approved."

#: PatientID by which every part of the node knows its own test study (:mod:`pipeline.canary`).
TEST_PATIENT_ID = "GLIOLOOP-CHECK"


#: What is at work, and how far (0 to 1; None: unknown).
Progress = Callable[[str, float | None], None]


def silent(_step: str, _fraction: float | None) -> None:
    """Show no progress."""
