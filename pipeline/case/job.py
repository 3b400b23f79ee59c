"""A job as people see it: what REST, the dashboard and the demo show of it."""

from pydantic import Field

from pipeline.case.outcomes import SegmentationResult
from pipeline.errors.records import ErrorRecord
from pipeline.names import DeliveryState, JobState
from pipeline.records import Record, StoredRecord


class Delivery(StoredRecord):
    """How far the delivery of a job's results to one destination is.

    Attributes
    ----------
    number
        Of the try at work or to come, of all of this delivery, from 1; 0 in rows of versions that had one workflow
        for all tries.
    attempts
        Tries begun since a person asked last.
    seconds
        What they took.
    error
        What the last one ended with.
    next_in_seconds, next_try
        How long the next one is put off, and until when (UTC, ISO 8601).
    committed
        Whether the destination has committed to keep it; None where it is not asked to.
    replaced_by
        The destination that got it instead.
    """

    state: DeliveryState
    number: int = 0
    attempts: int = 0
    seconds: float = 0.0
    error: ErrorRecord | None = None
    next_in_seconds: float | None = None
    next_try: str | None = None
    committed: bool | None = None
    replaced_by: str | None = None


class DeliveryEvent(StoredRecord):
    """One try of a delivery, or one look for the destination's commitment.

    Attributes
    ----------
    number
        Of all of this delivery, from 1.
    began, ended
        UTC, ISO 8601; ended is None while it is waited for or at work.
    """

    number: int
    state: DeliveryState
    began: str | None = None
    ended: str | None = None
    error: ErrorRecord | None = None


class DeliveryHistory(Record):
    """The delivery of a job's results to one destination: how far it is, and what came before."""

    destination: str
    delivery: Delivery
    events: tuple[DeliveryEvent, ...]


class JobView(Record):
    """A job.

    Attributes
    ----------
    id, study, study_instance_uid
        The job, and the two names of its study.
    stage, progress
        What is at work, and how far it is, 0-1.
    model
        ``name@version``.
    origin
        What asked for it.
    priority
        The lowest runs first; 100 unless a rule or a person said otherwise.
    sequences
        Those for which a series was found.
    created, updated
        UTC, ISO 8601.
    waits_until
        When the quiet hours begin that it waits for, UTC, ISO 8601; None where it does not wait for them.
    attempts
        How often a worker took it up.
    timings_s
        Seconds of each stage that ended.
    result
        Of a job whose objects are stored.
    deliveries
        By modality.
    error
        Why it ended without a result, or a delivery without success.
    """

    id: str
    state: JobState
    stage: str | None = None
    progress: float = 0.0
    study: str | None = None
    study_instance_uid: str | None = None
    model: str | None = None
    origin: str | None = None
    priority: int | None = None
    sequences: tuple[str, ...] = ()
    created: str | None = None
    updated: str | None = None
    waits_until: str | None = None
    attempts: int | None = None
    timings_s: dict[str, float] = Field(default_factory=dict)
    result: SegmentationResult | None = None
    deliveries: dict[str, Delivery] = Field(default_factory=dict)
    error: ErrorRecord | None = None

    @property
    def has_objects(self) -> bool:
        """Whether DICOM objects came of it."""
        return self.result is not None and bool(self.result.objects)

    @property
    def delivered(self) -> bool:
        """Whether a destination has its results."""
        return any(one.state is DeliveryState.DONE for one in self.deliveries.values())
