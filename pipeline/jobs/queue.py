"""The durable queue, from any process.

A job is a DBOS workflow. What people see of it (stage, progress, destinations) is kept in the workflow's
attributes; the outcome is its result. Nothing here imports numpy or SimpleITK: the plugin uses it inside Orthanc.
One class is all that other processes see of the queue, which is why this file is long.
"""

import time
from collections.abc import Iterable
from collections.abc import Sequence as Ordered
from typing import Final

import sqlalchemy
from dbos import DBOSClient, EnqueueOptions, WorkflowStatus
from dbos._utils import INTERNAL_QUEUE_NAME

from pipeline.case.identity import study_prefix
from pipeline.case.job import JobView
from pipeline.database.tables import ANSWERED, migrate, require_migrated
from pipeline.jobs.backlog import Backlog, backlog_by_queue
from pipeline.jobs.deliveries import Deliveries, adopt_deliveries
from pipeline.jobs.fairness import fair_priority
from pipeline.jobs.notifications import Notifications
from pipeline.jobs.queues import (
    ACCEPT_WORKFLOW,
    APPLICATION,
    AUDIT_WORKFLOW,
    CORRECTIONS_QUEUE,
    CORRECTIONS_WORKFLOW,
    COURSE_WORKFLOW,
    DEFAULT_PRIORITY,
    DELIVER_WORKFLOW,
    DIGEST_WORKFLOW,
    EDIT_WORKFLOW,
    FETCH_SCHEDULE_WORKFLOW,
    FETCH_WORKFLOW,
    INTAKE_QUEUE,
    INTAKE_WORKFLOW,
    JOBS_QUEUE,
    NOTIFY_WORKFLOW,
    PRIORS_WORKFLOW,
    RESCAN_WORKFLOW,
    RETENTION_WORKFLOW,
    SEGMENT_WORKFLOW,
    WATCH_WORKFLOW,
    WORKFLOWS_VERSION,
)
from pipeline.jobs.quiet import QUIET, hasten
from pipeline.jobs.request import JobRequest, Undecided, acceptance_id, delivery_id
from pipeline.jobs.serializer import JsonSerializer
from pipeline.jobs.versions import UNDERSTOOD, adopt_begun, adopt_queued
from pipeline.jobs.view import BROKEN, DIED, JobAttributes, job_view
from pipeline.jobs.worklist import Worklist
from pipeline.names import BROKEN_DELIVERIES, ENDED_DELIVERIES, DeliveryState

#: Exit status of a worker whose queue is no whole database (EX_DATAERR).
DAMAGED_STATUS: Final = 65
_LOOKS: Final = (
    INTAKE_WORKFLOW, RESCAN_WORKFLOW, CORRECTIONS_WORKFLOW, COURSE_WORKFLOW, PRIORS_WORKFLOW, RETENTION_WORKFLOW,
    NOTIFY_WORKFLOW, WATCH_WORKFLOW, DIGEST_WORKFLOW, FETCH_WORKFLOW, FETCH_SCHEDULE_WORKFLOW,
    AUDIT_WORKFLOW, ACCEPT_WORKFLOW, EDIT_WORKFLOW,
)  # fmt: skip
#: Rows that one statement deletes.
_AT_ONCE: Final = 200


class JobQueue:
    """The durable queue, from any process.

    Parameters
    ----------
    database_url
        DBOS system database; its tables must exist (the worker makes them when it starts).
    patient
        Wait for a database that is away, as workflows want; else tell at once.
    """

    def __init__(self, database_url: str, patient: bool = False) -> None:
        self._client = DBOSClient(
            system_database_url=database_url,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=patient,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.destroy()

    @property
    def engine(self) -> sqlalchemy.Engine:
        """The database, for the node's own tables beside DBOS's."""
        return self._client._sys_db.engine

    def make_tables(self) -> None:
        """Make every table, and bring those of an earlier version up to this one; for the worker, before it begins."""
        self._client._sys_db.run_migrations()
        migrate(self.engine)
        adopt_deliveries(self._client)
        self.worklist.make_index()
        self.worklist.follow()

    def require_tables(self) -> None:
        """Raise unless a worker has made every table: it makes them one after the other when it starts first."""
        self._client._sys_db.verify_migrations()
        require_migrated(self.engine)

    def enqueue_intake(self, study: str, event: str, origin: str, delay_seconds: float = 0) -> None:
        """Have a study looked at; the same event twice is one look."""
        options = EnqueueOptions(
            workflow_name=INTAKE_WORKFLOW, queue_name=INTAKE_QUEUE, workflow_id=f"intake-{study}-{event}"
        )
        if delay_seconds:
            options["delay_seconds"] = delay_seconds
        self._client.enqueue(options, study, origin)

    def enqueue_rescan(self, event: str) -> None:
        """Have every study looked at that changed since the node was last started."""
        self._client.enqueue(
            EnqueueOptions(workflow_name=RESCAN_WORKFLOW, queue_name=INTAKE_QUEUE, workflow_id=f"rescan-{event}")
        )

    def same_input(self, request: JobRequest) -> str | None:
        """Latest job of the study about the same images and with the same question; None where there is none.

        Network, version and who asked play no part: what was decided about these images stands until a person asks.
        """
        found = self._client.list_workflows(
            name=SEGMENT_WORKFLOW,
            workflow_id_prefix=study_prefix(request.study),
            sort_desc=True,
            load_output=False,
        )
        for status in found:
            earlier = _request_of(status)
            if earlier and (earlier.study, earlier.question) == (request.study, request.question):
                return str(status.workflow_id)
        query = sqlalchemy.select(ANSWERED.c.job).where(
            ANSWERED.c.study == request.study, ANSWERED.c.question == request.question
        )
        with self.engine.connect() as connection:
            job: str | None = connection.execute(query).scalar()
            return job

    def enqueue_job(
        self,
        identity: str,
        request: JobRequest,
        priority: int = DEFAULT_PRIORITY,
        quiet_in: float | None = None,
        sender: str | None = None,
    ) -> None:
        """Queue a job; one that is there already is left as it is.

        Parameters
        ----------
        quiet_in
            Seconds until the quiet hours that it waits for, 0 within them; None where it is done at any time.
        sender
            In whose turn it is done, at the default priority.
        """
        if sender is not None and priority == DEFAULT_PRIORITY:
            priority = fair_priority(self._senders_waiting(), sender)
        attributes = {
            "study": request.study,
            "study_instance_uid": request.study_instance_uid,
            "model": request.model,
            "origin": request.origin,
            "sequences": [] if isinstance(request.decision, Undecided) else sorted(request.decision.chosen),
            "sender": sender or "",
            QUIET: quiet_in is not None,
            "stage": None,
            "progress": 0.0,
        }
        options = EnqueueOptions(
            workflow_name=SEGMENT_WORKFLOW,
            queue_name=JOBS_QUEUE,
            workflow_id=identity,
            priority=priority,
            attributes=attributes,
        )
        if quiet_in:
            options["delay_seconds"] = quiet_in
        self._client.enqueue(options, request.model_dump(mode="json"))

    def _senders_waiting(self) -> list[tuple[str, int]]:
        """Sender and priority of each job that waits."""
        database = self._client._sys_db
        table = database.tables.workflow_status
        waiting = table.c.name == SEGMENT_WORKFLOW, table.c.status == "ENQUEUED"
        with database.engine.connect() as connection:
            found = connection.execute(sqlalchemy.select(table.c.attributes, table.c.priority).where(*waiting))
            return [((attributes or {}).get("sender", ""), priority) for attributes, priority in found]

    def report(self, identity: str, **attributes: object) -> None:
        """Merge values into what people see of a job; never part of its durable history."""
        self._client.update_workflow_attributes(identity, attributes, merge=True)

    def is_cancelled(self, identity: str) -> bool:
        """Whether a workflow was cancelled."""
        found = self._client.list_workflows(
            workflow_ids=[identity], status="CANCELLED", load_input=False, load_output=False
        )
        return bool(found)

    def job(self, identity: str) -> JobView | None:
        """One job as people see it; None where there is none of that id."""
        found = self._client.list_workflows(workflow_ids=[identity], name=SEGMENT_WORKFLOW)
        return self._views(found)[0] if found else None

    def jobs(self, study: str | None = None, limit: int = 100, offset: int = 0) -> list[JobView]:
        """List jobs, latest first."""
        found = self._client.list_workflows(
            name=SEGMENT_WORKFLOW,
            workflow_id_prefix=study_prefix(study) if study else None,
            limit=limit,
            offset=offset,
            sort_desc=True,
            load_input=False,
        )
        # DBOS knows the second of a job's making alone: of two, the one at which something was done since is the later.
        found.sort(key=lambda one: (one.created_at or 0, one.updated_at or 0), reverse=True)
        return [view for view in self._views(found) if study in (None, view.study)]

    def jobs_of(self, identities: Ordered[str]) -> list[JobView]:
        """Jobs by their ids, in that order; those that are no more are left out."""
        if not identities:
            return []  # DBOS takes no ids for all of them
        found = self._client.list_workflows(workflow_ids=list(identities), name=SEGMENT_WORKFLOW, load_input=False)
        views = {view.id: view for view in self._views(found)}
        return [views[one] for one in identities if one in views]

    @property
    def worklist(self) -> Worklist:
        """What lists of jobs are searched by."""
        return Worklist(self._client, self.engine, self._views)

    def _views(self, found: list[WorkflowStatus]) -> list[JobView]:
        """Show jobs; of deliveries that seem to be on their way it is asked whether they are."""
        open_ones = [
            delivery_id(status.workflow_id, modality, delivery.number)
            for status in found
            if status.status == "SUCCESS"
            for modality, delivery in JobAttributes.of(status).deliveries.items()
            if delivery.state not in ENDED_DELIVERIES
        ]
        over: dict[str, str] = {}
        if open_ones:
            listed = self._client.list_workflows(workflow_ids=open_ones, load_input=False, load_output=False)
            over = {one.workflow_id: one.status for one in listed}
        return [job_view(status, over) for status in found]

    def request(self, identity: str) -> JobRequest | None:
        """What a job was asked to do; None where there is none of that id."""
        found = self._client.list_workflows(workflow_ids=[identity], name=SEGMENT_WORKFLOW, load_output=False)
        return _request_of(found[0]) if found else None

    @property
    def client(self) -> DBOSClient:
        """DBOS's own client, for what is not a segmentation."""
        return self._client

    @property
    def deliveries(self) -> Deliveries:
        """The deliveries of jobs."""
        return Deliveries(self._client)

    @property
    def notifications(self) -> Notifications:
        """What people are told."""
        return Notifications(self._client)

    def enqueue_corrections(self, study: str, event: str) -> None:
        """Have a study looked at for corrections."""
        self._client.enqueue(
            EnqueueOptions(
                workflow_name=CORRECTIONS_WORKFLOW,
                queue_name=CORRECTIONS_QUEUE,
                workflow_id=f"feedback-{study}-{event}",
            ),
            study,
        )

    def enqueue_course(self, study: str, event: str) -> None:
        """Have the course that a study is, or was, part of made anew."""
        identity = f"course-{study}-{event}"
        options = EnqueueOptions(workflow_name=COURSE_WORKFLOW, queue_name=CORRECTIONS_QUEUE, workflow_id=identity)
        self._client.enqueue(options, study)

    def waiting(self, put_off: bool = True) -> int:
        """Number of jobs queued or at work; with or without those that wait for quiet hours to come."""
        # DBOS lists workflows but does not count them, and this is asked at every look at the node's health.
        database = self._client._sys_db
        table = database.tables.workflow_status
        query = (
            sqlalchemy.select(sqlalchemy.func.count())
            .select_from(table)
            .where(
                table.c.name == SEGMENT_WORKFLOW, table.c.status.in_(_UNENDED if put_off else ("ENQUEUED", "PENDING"))
            )
        )
        with database.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def at_work(self, executor: str, for_seconds: float = 0) -> list[str]:
        """Ids of all workflows that count as being run by a worker of this version, for so long at least."""
        before = (time.time() - for_seconds) * 1000
        found = self._client.list_workflows(
            status="PENDING",
            executor_id=executor,
            app_version=WORKFLOWS_VERSION,
            load_input=False,
            load_output=False,
        )
        return [one.workflow_id for one in found if (one.dequeued_at or 0) <= before]

    def executors_at_work(self) -> list[str]:
        """Names of the workers, of earlier versions, too, for which workflows count as at work."""
        table = self._client._sys_db.tables.workflow_status
        running = (table.c.status == "PENDING", table.c.application_version.in_(UNDERSTOOD))
        query = sqlalchemy.select(table.c.executor_id).where(*running).distinct()
        with self.engine.connect() as connection:
            return [str(name) for name in connection.execute(query).scalars() if name]

    def take_over(self, executor: str) -> list[str]:
        """Put back into their queues what a worker that is no more was at work on; returns the ids."""
        database = self._client._sys_db
        adopt_begun(self._client, executor)
        found = self.at_work(executor)
        return [one for one in found if database.reenqueue_for_recovery(one, [executor], INTERNAL_QUEUE_NAME)]

    def adopt_queued(self) -> None:
        """Go on with what earlier versions queued."""
        adopt_queued(self._client)

    def adopt_begun(self, executor: str) -> None:
        """Go on with what a worker of this name began under an earlier version, once it is no more."""
        adopt_begun(self._client, executor)

    def backlog(self) -> dict[str, Backlog]:
        """How far each queue is behind, by its name."""
        found = self._client.list_workflows(status=["ENQUEUED", "PENDING"], load_input=False, load_output=False)
        return backlog_by_queue(found)

    def hasten(self, identity: str) -> None:
        """Have a job that waits for quiet hours done at once, behind those before it."""
        hasten(self._client, identity)

    def cancel(self, identity: str) -> None:
        """Stop a job, and its deliveries, too."""
        self._client.cancel_workflow(identity)
        tries = self._client.list_workflows(
            workflow_id_prefix=f"{identity}.", name=DELIVER_WORKFLOW, status=list(_UNENDED), load_input=False
        )
        for one in tries:
            self._client.cancel_workflow(one.workflow_id)

    def retry(self, identity: str) -> None:
        """Run a failed, refused or cancelled job again, from the stage that did not succeed.

        A job whose delivery failed is not segmented again: only the delivery is. It does not wait for quiet hours.
        """
        (status,) = self._client.list_workflows(workflow_ids=[identity], name=SEGMENT_WORKFLOW)
        if status.status in ("CANCELLED", DIED):
            self.report(identity, **{QUIET: False})
            self._client.resume_workflow(identity, queue_name=JOBS_QUEUE)
            return
        if status.status == "SUCCESS" and self._retry_deliveries(status):
            return
        steps = self._client.list_workflow_steps(identity)
        failed = [step["function_id"] for step in steps if step["error"] is not None]
        self.report(identity, stage=None, progress=0.0, **{QUIET: False})
        self._client.rewind_workflow(identity, start_step=max(1, failed[0]) if failed else 1, queue_name=JOBS_QUEUE)

    def _retry_deliveries(self, status: WorkflowStatus) -> bool:
        """Begin the deliveries of a job anew that failed or were cancelled; tell whether there were any."""
        identity, noted = status.workflow_id, JobAttributes.of(status).deliveries
        deliveries = self._views([status])[0].deliveries
        broken = [name for name, one in deliveries.items() if one.state in _BROKEN and not one.replaced_by]
        for name in broken:
            self.deliveries.again(identity, name, noted[name].number, deliveries[name].state)
        return bool(broken)

    # --- retention ---

    def ended_jobs(self) -> dict[str, float]:
        """When each job ended that is over together with its deliveries: seconds since 1970 by its id, oldest first."""
        table = self._client._sys_db.tables.workflow_status
        columns = (table.c.workflow_uuid, table.c.updated_at)
        ended = (
            sqlalchemy.select(*columns)
            .where(table.c.name == SEGMENT_WORKFLOW, table.c.status.not_in(_UNENDED))
            .order_by(table.c.updated_at)
        )
        open_ones = sqlalchemy.select(columns[0]).where(table.c.name == DELIVER_WORKFLOW, table.c.status.in_(_UNENDED))
        with self.engine.connect() as connection:
            busy = {str(identity).partition(".")[0] for (identity,) in connection.execute(open_ones)}
            return {job: when / 1000 for job, when in connection.execute(ended) if job not in busy}

    def known_jobs(self, identities: Iterable[str]) -> set[str]:
        """Which of these are ids of jobs."""
        table = self._client._sys_db.tables.workflow_status
        with self.engine.connect() as connection:
            rows = connection.execute(sqlalchemy.select(table.c.workflow_uuid).where(table.c.name == SEGMENT_WORKFLOW))
            return {str(job) for (job,) in rows} & set(identities)

    def forget_job(self, identity: str) -> None:
        """Drop an ended job and its deliveries; that its question was answered stays."""
        request = self.request(identity)
        if request is not None:
            row = {"study": request.study, "question": request.question}
            with self.engine.begin() as connection:
                connection.execute(sqlalchemy.delete(ANSWERED).filter_by(**row))
                connection.execute(sqlalchemy.insert(ANSWERED).values(**row, job=identity))
        tries = self._client.list_workflows(
            workflow_id_prefix=f"{identity}.", name=DELIVER_WORKFLOW, load_input=False, load_output=False
        )
        self._client.delete_workflows([identity, acceptance_id(identity), *(one.workflow_id for one in tries)])
        self.worklist.forget(identity)

    def drop_inspections(self, before: float) -> int:
        """Drop the ended looks at studies and at corrections that ended before a time, seconds since 1970."""
        table = self._client._sys_db.tables.workflow_status
        query = sqlalchemy.select(table.c.workflow_uuid).where(
            table.c.name.in_(_LOOKS),
            table.c.status.not_in(_UNENDED),
            # Without the row the acceptance would seem to have come to its end.
            sqlalchemy.not_((table.c.name == ACCEPT_WORKFLOW) & table.c.status.in_(BROKEN)),
            table.c.updated_at < before * 1000,
        )
        with self.engine.connect() as connection:
            old = [str(identity) for (identity,) in connection.execute(query)]
        for start in range(0, len(old), _AT_ONCE):
            self._client.delete_workflows(old[start : start + _AT_ONCE])
        return len(old)


def _request_of(status: WorkflowStatus) -> JobRequest | None:
    if not status.input:
        return None
    (request,) = status.input["args"]
    return JobRequest.model_validate(request)


_UNENDED: Final = ("ENQUEUED", "DELAYED", "PENDING")
_BROKEN: Final = BROKEN_DELIVERIES | {DeliveryState.CANCELLED}
