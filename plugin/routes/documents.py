"""Documents that routes answer with, beside those of the pipeline."""

from typing import Annotated

from pydantic import JsonValue, PlainSerializer, RootModel, StrictBool, StringConstraints

from pipeline.case.job import JobView
from pipeline.case.outcomes import StoredDecision
from pipeline.corrections.record import ShownCase
from pipeline.corrections.review import Review, ReviewMark
from pipeline.corrections.rows import Gone
from pipeline.corrections.verdicts import ObjectVerdict
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.checks import CheckState
from pipeline.jobs.deliveries import DestinationStanding
from pipeline.jobs.request import Undecided
from pipeline.records import Record, StoredRecord
from pipeline.registry import ModelCard
from pipeline.settings import Role


class ReviewedJob(JobView):
    """A job, and how far its contours have come."""

    review: ReviewMark


class RetriedJobs(Record):
    """What came of running jobs again.

    Attributes
    ----------
    retried
        Ids of those that are queued again.
    refused
        Why others are not, by their ids.
    """

    retried: tuple[str, ...]
    refused: dict[str, ErrorRecord]


class StudyAnswer(Record):
    """A study: which series was taken for which sequence and why, and what came of it."""

    study: str
    study_instance_uid: str
    stable: bool
    identification: StoredDecision | Undecided
    jobs: tuple[ReviewedJob, ...]
    review: Review


class WhoAsks(Record):
    """Who asks, and what they may do."""

    name: str
    role: Role


class LogAnswer(RootModel[list[JsonValue]]):
    """Lines of a job's log: JSON objects of the logging library."""


class ListedModel(ModelCard):
    """An installed network, and whether the next job uses it."""

    identity: str
    current: bool


class CurrentModel(Record):
    """The network that the next job uses."""

    current: str


class WorkerHealth(Record):
    """A worker, see :class:`plugin.supervisor.WorkerState`."""

    pid: int | None
    restarts: int
    last_exit: int | None
    waiting_seconds: float


class Health(StoredRecord):
    """Whether the node does its work.

    Attributes
    ----------
    status
        ``ok`` or ``degraded``.
    version, viewer, editor, workers
        What runs.
    queue
        ``ready``, ``starting``, ``damaged`` or ``unusable``.
    waiting
        Jobs queued or at work; None where the queue does not say.
    check
        How the node stands with its check of itself; absent where the queue does not say.
    error
        Why it is degraded, where that has a code.
    """

    status: str
    version: str
    viewer: str
    editor: str = ""
    workers: tuple[WorkerHealth, ...]
    queue: str
    waiting: int | None
    check: CheckState | None = None
    error: ErrorRecord | None = None


class ListedDestination(Record):
    """A destination: a configured one, or one that something was sent to.

    Attributes
    ----------
    kind
        ``modality``, ``dicomweb``, ``peer`` or ``folder``; empty where it is not configured.
    """

    name: str
    kind: str = ""
    send: tuple[str, ...] = ()
    alternate: str | None = None
    standing: DestinationStanding


class DestinationList(Record):
    """Where results go."""

    destinations: tuple[ListedDestination, ...]


class NoOptions(Record):
    """Body of a command that takes no options."""


class AskedCheck(Record):
    """Id of a check that was asked for."""

    id: str


class CaseList(Record):
    """Corrections.

    Attributes
    ----------
    cases, total
        A page of them, latest first, and how many there are.
    size_bytes
        Of the store.
    looked_at
        Objects that were not kept, and why.
    dropped
        Cases that were kept once.
    stale
        Ids of those that are a consensus which does not count: a reader's later correction, or a later consensus, has
        taken its place.
    """

    cases: tuple[ShownCase, ...]
    total: int
    size_bytes: int
    looked_at: tuple[Annotated[ObjectVerdict, PlainSerializer(ObjectVerdict.as_json)], ...]
    dropped: tuple[Gone, ...]
    stale: tuple[str, ...]


class ShownRecord(RootModel[ShownCase]):
    """A correction."""


class DeleteOptions(Record):
    """Body of ``POST /glioloop/feedback/{case}/delete``: the case, or every one of the same patient."""

    patient: StrictBool = False


class DeletedCases(Record):
    """Ids of corrections that are gone."""

    deleted: tuple[str, ...]


class SendBackOptions(Record):
    """Body of ``POST /glioloop/jobs/{job}/send-back``."""

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]


class AskedStudy(Record):
    """Orthanc's id of a study that will be looked at."""

    study: str
