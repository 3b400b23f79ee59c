"""A run over the whole archive: every study asked for behind all others, and followed to its end.

The node keeps the jobs, each known by its images: a run that was stopped and is begun again adds nothing to what it has
asked for. Only a few jobs are open at any time, so that a run that goes on in quiet hours leaves the day alone.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Final, Protocol, TypeVar

from pipeline.archive.orthanc import StudyRecord
from pipeline.case.job import JobView
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queues import LOW_PRIORITY
from pipeline.names import ENDED_JOBS, TEST_PATIENT_ID, JobState

#: In the place of a job's state: it was done once, and the node keeps nothing of it any more.
FORGOTTEN: Final = "forgotten"
#: These say that what is asked is wrong, whichever study it is asked of.
_OF_THE_RUN: Final = frozenset(
    ("REQUEST_INVALID", "REQUEST_FOREIGN", "ROLE_MISSING", "MODEL_UNKNOWN", "MODALITY_UNKNOWN", "DESTINATION_UNKNOWN")
)
#: A node that is started anew is waited for.
_AWAY: Final = frozenset(("ORTHANC_UNREACHABLE", "NODE_STARTING", "DATABASE_AWAY"))
_AWAY_SECONDS: Final = 900.0
_AGAIN_SECONDS: Final = 5.0


class Node(Protocol):
    """What a run needs of the running node."""

    def studies(self, wanted: Mapping[str, str]) -> tuple[StudyRecord, ...]:
        """Studies that match, by DICOM's rules."""

    def process(self, study: str, body: Mapping[str, object]) -> JobView:
        """Have a study processed."""

    def job(self, identity: str) -> JobView:
        """One job."""


@dataclass(frozen=True)
class ArchiveQuery:
    """Which studies of the archive.

    Attributes
    ----------
    since, until
        Days, both included, of the study.
    modality
        One of the study's.
    description
        StudyDescription; ``*`` and ``?`` as in DICOM.
    """

    since: date | None = None
    until: date | None = None
    modality: str = "MR"
    description: str = ""

    def attributes(self) -> dict[str, str]:
        """Values to match by keyword.

        Examples
        --------
        >>> ArchiveQuery(since=date(2026, 1, 2)).attributes()
        {'ModalitiesInStudy': 'MR', 'StudyDate': '20260102-'}
        """
        days = [f"{one:%Y%m%d}" if one else "" for one in (self.since, self.until)]
        wanted = {
            "ModalitiesInStudy": self.modality,
            "StudyDate": "-".join(days) if any(days) else "",
            "StudyDescription": self.description,
        }
        return {name: value for name, value in wanted.items() if value}


@dataclass(frozen=True)
class Asked:
    """A study of the run and what has come of it; of neither job nor error while it was not asked for."""

    study: StudyRecord
    job: JobView | None = None
    error: ErrorRecord | None = None

    @property
    def state(self) -> str:
        """The job's state, that of a study which has none, or nothing."""
        if self.job is not None:
            return self.job.state.value
        if self.error is None:
            return ""
        if self.error.code == "JOB_UNKNOWN":
            return FORGOTTEN
        return (JobState.REFUSED if self.error.kind == Kind.REFUSAL.value else JobState.FAILED).value

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.error is not None or (self.job is not None and self.job.state in ENDED_JOBS)

    @property
    def reason(self) -> str:
        """Code of why there is no result, or why it did not come to its destination."""
        error = self.error or (self.job.error if self.job else None)
        return error.code if error else ""


def find_studies(node: Node, query: ArchiveQuery) -> tuple[StudyRecord, ...]:
    """The studies of a query, oldest first; the node's own test study is none."""
    found = [one for one in node.studies(query.attributes()) if one.patient_tags.get("PatientID") != TEST_PATIENT_ID]
    return tuple(sorted(found, key=lambda one: (one.tags.get("StudyDate", ""), one.id)))


@dataclass
class ArchiveRun:
    """Asks for one study after the other and follows them.

    Attributes
    ----------
    node
        The running node.
    asked
        Every study and what came of it so far, in their order.
    destinations
        Where results are sent; to nobody unless named.
    model
        ``name@version``; empty for the one in use.
    again
        Whether studies that another network or version has delineated are done again.
    at_any_time
        Whether quiet hours play no part.
    ahead
        Most jobs that are open at the same time.
    poll_seconds
        So often open jobs are looked at.
    """

    node: Node
    asked: list[Asked]
    destinations: tuple[str, ...] = ()
    model: str = ""
    again: bool = False
    at_any_time: bool = False
    ahead: int = 4
    poll_seconds: float = 2.0
    _open: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, node: Node, studies: Iterable[StudyRecord]) -> "ArchiveRun":
        """A run over these studies that has not begun."""
        return cls(node, [Asked(one) for one in studies])

    def run(self, report: Callable[[int, int], None]) -> None:
        """Ask for every study and wait for the end of all jobs.

        Parameters
        ----------
        report
            Told how many studies have ended, and how many of them with a result.

        Raises
        ------
        GlioLoopError
            What the node answers where no study could be asked for so; ORTHANC_UNREACHABLE, NODE_STARTING or
            DATABASE_AWAY where it is away for long.
        """
        waiting = deque(range(len(self.asked)))
        while waiting or self._open:
            while waiting and len(self._open) < self.ahead:
                self._ask(waiting.popleft())
                self._tell(report)
            if self._open:
                time.sleep(self.poll_seconds)
                self._look()
                self._tell(report)

    def _ask(self, place: int) -> None:
        body = {
            "background": True,
            "known": not self.again,
            "quiet": not self.at_any_time,
            "destinations": list(self.destinations),
            "priority": LOW_PRIORITY,
            **({"model": self.model} if self.model else {}),
        }
        one = self.asked[place]
        try:
            job = _patiently(partial(self.node.process, one.study.id, body))
        except GlioLoopError as error:
            withheld = error.code == "IMAGE_WITHHELD"
            if error.code in _OF_THE_RUN or (error.reason.kind is not Kind.REFUSAL and not withheld):
                raise
            self.asked[place] = replace(one, error=ErrorRecord.of(error))
            return
        self.asked[place] = replace(one, job=job)
        if not self.asked[place].ended:
            self._open.append(place)

    def _look(self) -> None:
        for place in list(self._open):
            one = self.asked[place]
            assert one.job is not None
            try:
                self.asked[place] = replace(one, job=_patiently(partial(self.node.job, one.job.id)))
            except GlioLoopError as error:
                if error.code != "JOB_UNKNOWN":
                    raise
                self.asked[place] = replace(one, job=None, error=ErrorRecord.of(error))
            if self.asked[place].ended:
                self._open.remove(place)

    def _tell(self, report: Callable[[int, int], None]) -> None:
        ended = [one for one in self.asked if one.ended]
        report(len(ended), sum(one.state == JobState.DONE.value for one in ended))


_Answer = TypeVar("_Answer")


def _patiently(request: Callable[[], _Answer]) -> _Answer:
    """Ask again while the node is away."""
    deadline = time.monotonic() + _AWAY_SECONDS
    while True:
        try:
            return request()
        except GlioLoopError as error:
            if error.code not in _AWAY or time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_SECONDS)
