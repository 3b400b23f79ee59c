"""The deliveries of jobs, from any process: their history, and what a person asks of one.

Each try, and each look for a commitment, is a workflow of its own (:mod:`pipeline.jobs.workflows.deliver`), so that
DBOS's rows are the history.
"""

import time
from typing import Final

import sqlalchemy
from dbos import DBOSClient, WorkflowStatus

from pipeline.case.job import Delivery, DeliveryEvent, DeliveryHistory, JobView
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queues import DELIVER_WORKFLOW, DELIVERY_QUEUE
from pipeline.jobs.request import DeliveryTry, delivery_id
from pipeline.jobs.view import DIED, error_of_row, time_of
from pipeline.names import DeliveryState
from pipeline.records import Record

#: In which a delivery can be asked for again by a person, who does not wait for the next try.
AGAIN: Final = frozenset(
    {
        DeliveryState.WAITING,
        DeliveryState.COMMITTING,
        DeliveryState.LATE,
        DeliveryState.FAILED,
        DeliveryState.UNCOMMITTED,
        DeliveryState.CANCELLED,
    }
)
_STATES: Final = {
    "ENQUEUED": DeliveryState.QUEUED,
    "DELAYED": DeliveryState.WAITING,
    "PENDING": DeliveryState.RUNNING,
    "CANCELLED": DeliveryState.CANCELLED,
}
_UNENDED: Final = ("ENQUEUED", "DELAYED", "PENDING")
#: Of the latest deliveries, so many are looked through for how a destination does.
_LATEST: Final = 500


class DestinationStanding(Record):
    """How a destination does, by its latest deliveries.

    Attributes
    ----------
    waiting, running, failed
        Deliveries that wait for a try or a commitment, are at work, and have failed.
    latest
        When the latest one succeeded, UTC, ISO 8601.
    error
        What the latest one that ended ended with; None where that is success.
    """

    waiting: int = 0
    running: int = 0
    failed: int = 0
    latest: str | None = None
    error: ErrorRecord | None = None


class Deliveries:
    """The deliveries, through DBOS's client."""

    def __init__(self, client: DBOSClient) -> None:
        self._client = client

    def history(self, job: JobView) -> tuple[DeliveryHistory, ...]:
        """How far each delivery of a job is, and what came before, the oldest first."""
        found = self._client.list_workflows(workflow_id_prefix=f"{job.id}.", name=DELIVER_WORKFLOW)
        events: dict[str, list[DeliveryEvent]] = {name: [] for name in job.deliveries}
        for status in found:
            one = _try_of(status)
            events.setdefault(one.destination, []).append(_event(one, status))
        return tuple(
            DeliveryHistory(
                destination=name,
                delivery=delivery,
                events=tuple(sorted(events[name], key=lambda event: event.number)),
            )
            for name, delivery in job.deliveries.items()
        )

    def again(self, job: str, destination: str, number: int, state: DeliveryState) -> None:
        """Begin a delivery anew; what was sent already is only asked to be committed to."""
        identity = delivery_id(job, destination, number)
        (last,) = self._client.list_workflows(workflow_ids=[identity], load_output=False)
        if last.status in _UNENDED:
            self._client.cancel_workflow(identity)
        before = _try_of(last)
        sent = time.time() if before.sent is not None and state is not DeliveryState.FAILED else None
        again = DeliveryTry(job=job, destination=destination, resources=before.resources, number=number + 1, sent=sent)
        self._begin(again)

    def more(self, job: str, destination: str, resources: list[str]) -> None:
        """Have further objects of a job delivered, where they are not yet or not any more on their way."""
        tries = self._client.list_workflows(
            workflow_id_prefix=f"{job}.{destination}.", name=DELIVER_WORKFLOW, load_output=False
        )
        known = [(one, status) for status in tries if (one := _try_of(status)).destination == destination]
        if not known:
            self._begin(DeliveryTry(job=job, destination=destination, resources=resources))
            return
        last, status = max(known, key=lambda pair: pair[0].number)
        on_its_way = status.status in _UNENDED
        if (on_its_way or status.status == "SUCCESS") and set(resources) <= set(last.resources):
            return
        if on_its_way:
            self._client.cancel_workflow(status.workflow_id)
            resources = [*last.resources, *(one for one in resources if one not in last.resources)]
        self._begin(DeliveryTry(job=job, destination=destination, resources=resources, number=last.number + 1))

    def replace(self, one: DeliveryTry, alternate: str, error: ErrorRecord) -> None:
        """Have a destination's alternate get what it will not get itself, and note why."""
        self.more(one.job, alternate, one.resources)
        noted = Delivery(
            state=DeliveryState.FAILED, number=one.number, attempts=one.attempt, error=error, replaced_by=alternate
        )
        self._client.update_workflow_attributes(one.job, {one.key: noted.as_json()}, merge=True)

    def cancel(self, job: str, destination: str) -> None:
        """Stop a delivery."""
        tries = self._client.list_workflows(
            workflow_id_prefix=f"{job}.{destination}.", name=DELIVER_WORKFLOW, status=list(_UNENDED), load_output=False
        )
        for status in tries:
            if _try_of(status).destination == destination:
                self._client.cancel_workflow(status.workflow_id)

    def standings(self) -> dict[str, DestinationStanding]:
        """How each destination does, by its name."""
        found = self._client.list_workflows(name=DELIVER_WORKFLOW, sort_desc=True, limit=_LATEST)
        standings: dict[str, DestinationStanding] = {}
        ended: set[str] = set()
        for status in found:
            one = _try_of(status)
            standing = standings.setdefault(one.destination, DestinationStanding())
            event = _event(one, status)
            if event.state in _COUNTED:
                name = _COUNTED[event.state]
                standing = standing.model_copy(update={name: getattr(standing, name) + 1})
            if event.state is DeliveryState.DONE and standing.latest is None:
                standing = standing.model_copy(update={"latest": event.ended})
            if one.destination not in ended and status.status in ("SUCCESS", "ERROR", DIED):
                ended.add(one.destination)
                standing = standing.model_copy(update={"error": event.error})
            standings[one.destination] = standing
        return standings

    def _begin(self, one: DeliveryTry) -> None:
        state = DeliveryState.QUEUED if one.sent is None else DeliveryState.COMMITTING
        noted = Delivery(state=state, number=one.number, attempts=0)
        self._client.update_workflow_attributes(one.job, {one.key: noted.as_json()}, merge=True)
        self._client.enqueue(one.options(), one.model_dump(mode="json"))


_COUNTED: Final = {
    DeliveryState.QUEUED: "waiting",
    DeliveryState.WAITING: "waiting",
    DeliveryState.RUNNING: "running",
    DeliveryState.FAILED: "failed",
    DeliveryState.UNCOMMITTED: "failed",
}


def adopt_deliveries(client: DBOSClient) -> None:
    """Put what an earlier version queued for a destination into that destination's part of the queue."""
    database = client._sys_db
    table = database.tables.workflow_status
    orphans = (table.c.queue_name == DELIVERY_QUEUE, table.c.queue_partition_key.is_(None))
    with database.engine.begin() as connection:
        for (identity,) in connection.execute(sqlalchemy.select(table.c.workflow_uuid).where(*orphans)).fetchall():
            destination = str(identity).partition(".")[2]
            connection.execute(
                sqlalchemy.update(table)
                .where(table.c.workflow_uuid == identity)
                .values(queue_partition_key=destination)
            )


def _try_of(status: WorkflowStatus) -> DeliveryTry:
    return DeliveryTry.read(*(status.input or {"args": []})["args"])


def _event(one: DeliveryTry, status: WorkflowStatus) -> DeliveryEvent:
    error: ErrorRecord | None = None
    if status.status == "SUCCESS":
        # What earlier versions recorded of a try that ended says nothing.
        outcome = Delivery.model_validate(status.output or {"state": DeliveryState.DONE})
        state, error = outcome.state, outcome.error
    elif status.status in _STATES:
        state = _STATES[status.status]
    else:
        error = error_of_row(status)
        lacks_commitment = error is not None and error.code == "COMMITMENT_MISSING" and one.sent is not None
        state = DeliveryState.UNCOMMITTED if lacks_commitment else DeliveryState.FAILED
    ended = status.status not in _UNENDED
    return DeliveryEvent(
        number=one.number,
        state=state,
        began=time_of(status.dequeued_at or status.created_at),
        ended=time_of(status.completed_at or status.updated_at) if ended else None,
        error=error,
    )
