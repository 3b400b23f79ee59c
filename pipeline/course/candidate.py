"""What is asked of a course, and what came of it: plain values that travel between a worker and its child."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.case.job import JobView

if TYPE_CHECKING:
    from pipeline.corrections.judging import Request


@dataclass(frozen=True)
class Candidate:
    """A study of the patient's number that was segmented.

    Attributes
    ----------
    study
        Orthanc's id.
    jobs
        Its jobs that have objects, latest first.
    requests
        What was asked of each, by its id.
    """

    study: str
    jobs: Sequence[JobView]
    requests: "Mapping[str, Request]"


@dataclass(frozen=True)
class Followed:
    """What was made.

    Attributes
    ----------
    studies
        Number of studies in the course.
    stored
        Orthanc's ids of the objects that are to be sent, by study.
    jobs
        By study, the job whose contours were measured.
    again
        Studies that the newest one's network has not delineated, and no person has corrected.
    model
        That network.
    """

    studies: int = 0
    stored: dict[str, list[str]] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    again: tuple[str, ...] = ()
    model: str = ""
