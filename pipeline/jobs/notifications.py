"""What people are to be told, as rows of the durable queue: the outbox, from any process.

Each try to tell somebody something is a workflow of its own (:mod:`pipeline.jobs.workflows.notify`), by an id that is
made of whom and what, so that nobody is told twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from dbos import DBOSClient, EnqueueOptions, WorkflowStatus

from pipeline.case.outcomes import SegmentationResult
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queues import NOTIFY_QUEUE, NOTIFY_WORKFLOW
from pipeline.jobs.view import DIED, error_of_row, time_of
from pipeline.names import DeliveryState, Event
from pipeline.notify.message import Notice
from pipeline.records import Record, StoredRecord
from pipeline.settings import Notify

_STATES: Final = {
    "ENQUEUED": DeliveryState.QUEUED,
    "DELAYED": DeliveryState.WAITING,
    "PENDING": DeliveryState.RUNNING,
    "CANCELLED": DeliveryState.CANCELLED,
    "SUCCESS": DeliveryState.DONE,
}


class Telling(StoredRecord):
    """One try of telling somebody something.

    Attributes
    ----------
    channel
        Name of who is told.
    attempt
        From 1.
    """

    channel: str
    notice: Notice
    attempt: int = 1

    @property
    def following(self) -> "Telling":
        """The next try."""
        return self.model_copy(update={"attempt": self.attempt + 1})

    def options(self, delay_seconds: float = 0) -> EnqueueOptions:
        """How it is queued: once, and behind its own channel only."""
        options = EnqueueOptions(
            workflow_name=NOTIFY_WORKFLOW,
            queue_name=NOTIFY_QUEUE,
            workflow_id=f"notify.{self.channel}.{self.notice.key}.{self.attempt}",
            queue_partition_key=self.channel,
        )
        if delay_seconds:
            options["delay_seconds"] = delay_seconds
        return options


class TellingOutcome(StoredRecord):
    """How a try ended; ``again`` where there is another one."""

    error: ErrorRecord | None = None
    again: bool = False


class Notification(Record):
    """What somebody was, or is to be, told.

    Attributes
    ----------
    attempts
        Tries begun.
    error
        What the last one ended with.
    next_try
        When the next one is, UTC, ISO 8601.
    """

    channel: str
    event: Event
    key: str
    at: str
    job: str
    state: DeliveryState
    attempts: int
    error: ErrorRecord | None
    next_try: str | None


class Notifications:
    """The outbox, through DBOS's client."""

    def __init__(self, client: DBOSClient) -> None:
        self._client = client

    def announce(self, notify: Notify, notice: Notice, also: tuple[Event, ...] = ()) -> None:
        """Have everybody told who wants to know of an event, or of one that it is, too; each once."""
        for channel in notify.channels:
            events = [event for event in (notice.event, *also) if event in channel.events]
            if events:
                self.enqueue(channel.name, notice.model_copy(update={"event": events[0]}))

    def enqueue(self, channel: str, notice: Notice) -> None:
        """Have somebody told."""
        first = Telling(channel=channel, notice=notice)
        self._client.enqueue(first.options(), first.model_dump(mode="json"))

    def listed(self, limit: int) -> tuple[Notification, ...]:
        """What was told lately, the latest first."""
        found = self._client.list_workflows(name=NOTIFY_WORKFLOW, sort_desc=True, limit=limit)
        tries: dict[tuple[str, str], dict[int, tuple[Telling, WorkflowStatus]]] = {}
        for status in found:
            one = _telling_of(status)
            tries.setdefault((one.channel, one.notice.key), {})[one.attempt] = (one, status)
        return tuple(map(_shown, tries.values()))

    def failed(self, since: datetime) -> Counter[str]:
        """How many were not told since then, by channel: after the last try, or because the program died of one."""
        found = self._client.list_workflows(
            name=NOTIFY_WORKFLOW, status=["ERROR", DIED], completed_after=since.isoformat(), load_output=False
        )
        return Counter(_telling_of(status).channel for status in found)


def _telling_of(status: WorkflowStatus) -> Telling:
    return Telling.model_validate((status.input or {"args": [None]})["args"][0])


def _shown(tries: Mapping[int, tuple[Telling, WorkflowStatus]]) -> Notification:
    """What was told at the last of these tries; while it is waited for, with the error of the one before."""
    one, status = tries[max(tries)]
    waits = status.status in ("ENQUEUED", "DELAYED", "PENDING")
    before = tries.get(one.attempt - 1)
    return Notification(
        channel=one.channel,
        event=one.notice.event,
        key=one.notice.key,
        at=one.notice.at,
        job=one.notice.job,
        state=_STATES.get(status.status, DeliveryState.FAILED),
        attempts=one.attempt - 1 if status.status in ("ENQUEUED", "DELAYED") else one.attempt,
        error=_error(before[1]) if waits and before else _error(status),
        next_try=time_of(status.delay_until_epoch_ms) if status.status == "DELAYED" else None,
    )


def _error(status: WorkflowStatus) -> ErrorRecord | None:
    if isinstance(status.output, dict):
        return TellingOutcome.model_validate(status.output).error
    return error_of_row(status)


def notice_of(event: Event, what: str, error: ErrorRecord | None = None, lines: Iterable[str] = ()) -> Notice:
    """A notice of now.

    Parameters
    ----------
    what
        It is about; the same within an hour, with the same reason, is told once.
    """
    now = datetime.now(UTC)
    code = error.code if error else ""
    reason = error or ErrorRecord(code="")
    return Notice(
        event=event,
        key="-".join(filter(None, (event.value, what, code, f"{now:%Y%m%dT%H}"))),
        at=now.isoformat(timespec="seconds"),
        code=code,
        message=reason.message,
        detail=reason.detail,
        hint=reason.hint,
        lines=tuple(lines),
    )


def about_result(notice: Notice, result: SegmentationResult | None) -> Notice:
    """The notice with what is known of a result."""
    if result is None:
        return notice
    known = {
        "flags": tuple(flag.code for flag in result.flags),
        "volumes_ml": {region.value: size for region, size in result.volumes_ml.items()},
    }
    return notice.model_copy(update=known)
