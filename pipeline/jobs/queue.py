"""Jobs: what is asked of the node, under which identity, and how far it is.

A job is a DBOS workflow. Its identity is its content (:func:`job_id`), so a stable event that fires
twice, a re-sent study or a restart finds the job that is there already. What people see of a job
(stage, progress, destinations) is kept in the workflow's attributes; the outcome is its result.
Nothing here imports numpy or SimpleITK: the plugin uses it inside Orthanc.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy
from dbos import DBOSClient, EnqueueOptions, Serializer, WorkflowStatus, error
from pydantic import BaseModel, ConfigDict, Field

from pipeline import PIPELINE_VERSION
from pipeline.database import ANSWERED, migrate, require_migrated
from pipeline.errors import REASONS, GlioLoopError, Kind
from pipeline.exhaustion import place_of
from pipeline.names import JobState, Sequence, Stage

APPLICATION: Final = "glioloop"
JOBS_QUEUE: Final = "glioloop-jobs"
INTAKE_QUEUE: Final = "glioloop-intake"
DELIVERY_QUEUE: Final = "glioloop-delivery"
FEEDBACK_QUEUE: Final = "glioloop-feedback"
TRAINING_QUEUE: Final = "glioloop-training"
CHECK_QUEUE: Final = "glioloop-check"
QUEUES: Final = (JOBS_QUEUE, INTAKE_QUEUE, DELIVERY_QUEUE, FEEDBACK_QUEUE, TRAINING_QUEUE, CHECK_QUEUE)

SEGMENT_WORKFLOW: Final = "segment"
INTAKE_WORKFLOW: Final = "intake"
RESCAN_WORKFLOW: Final = "rescan"
DELIVER_WORKFLOW: Final = "deliver"
FEEDBACK_WORKFLOW: Final = "feedback"
FINETUNE_WORKFLOW: Final = "finetune"
CHECK_WORKFLOW: Final = "check"
RETENTION_WORKFLOW: Final = "retention"
_LOOKS: Final = (INTAKE_WORKFLOW, RESCAN_WORKFLOW, FEEDBACK_WORKFLOW, RETENTION_WORKFLOW)
#: Rows that one statement deletes.
_AT_ONCE: Final = 200

#: Clinical jobs run before fine-tuning; DBOS takes the lowest number first.
DEFAULT_PRIORITY: Final = 100


class JsonSerializer(Serializer):
    """Keeps what DBOS stores as JSON.

    DBOS's default is pickle; the database may be shared, and nothing that comes from outside this
    process may be unpickled.
    """

    def serialize(self, data: Any) -> str:
        """Write a value; exceptions keep their code, detail and data."""
        return json.dumps(data, default=self._encode)

    def deserialize(self, serialized_data: str) -> Any:
        """Read what :meth:`serialize` wrote."""
        return json.loads(serialized_data, object_hook=self._decode)

    def name(self) -> str:
        """Name that DBOS stores beside each value."""
        return "glioloop-json"

    @staticmethod
    def _encode(value: Any) -> Any:
        if isinstance(value, error.DBOSMaxStepRetriesExceeded):
            value = value.errors[-1]  # what went wrong, not that it was tried often
        if isinstance(value, datetime):  # of a schedule
            return {"__time__": value.isoformat()}
        if isinstance(value, GlioLoopError):
            return {"__error__": value.code, "detail": value.detail, "data": value.data}
        if isinstance(value, BaseException):
            return {"__error__": "INTERNAL", "detail": place_of(value), "data": {}}
        raise TypeError(f"{type(value).__name__} is not stored in the queue's database")

    @staticmethod
    def _decode(value: dict[str, Any]) -> Any:
        if "__error__" in value:
            # A later version may have written a code that this one does not know.
            code = value["__error__"] if value["__error__"] in REASONS else "INTERNAL"
            return GlioLoopError(code, value["detail"], value["data"])
        if value.keys() == {"__time__"}:
            return datetime.fromisoformat(value["__time__"])
        return value


class ProcessOptions(BaseModel):
    """Body of ``POST /glioloop/studies/{study}/process``; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid")

    force: bool = False
    model: str | None = Field(default=None, max_length=128, pattern=r"^[A-Za-z0-9_.-]+(@[A-Za-z0-9_.-]+)?$")
    series: dict[Sequence, str] = Field(default_factory=dict)
    destinations: tuple[str, ...] | None = Field(default=None, max_length=16)
    priority: int = Field(default=DEFAULT_PRIORITY, ge=1, le=10_000)


class JobRequest(BaseModel):
    """Everything a job needs to start; it travels with the job.

    Attributes
    ----------
    study
        Orthanc's id of the study.
    study_instance_uid
        Its StudyInstanceUID.
    decision
        The identification, as :meth:`pipeline.identify.Decision.as_json` gives it.
    instances
        For each series of the decision its Orthanc instance ids, sorted.
    model
        ``name@version``.
    destinations
        Names of modalities; None means those configured.
    origin
        ``stable``, ``rest``, ``rescan`` or ``forced``: what asked.
    asked_by
        Orthanc's user where a person asked.
    may_lack
        Sequences of which one may lack, by the site's settings and the network's card.
    reference
        Sequence whose slices carry the contours; None in requests of earlier versions.
    content
        Of what images it is, and why they are refused at once, as :func:`content_of` gives it.
    """

    model_config = ConfigDict(extra="forbid")

    study: str
    study_instance_uid: str
    decision: dict[str, Any]
    instances: dict[str, list[str]]
    model: str
    destinations: tuple[str, ...] | None
    origin: str
    asked_by: str = ""
    may_lack: tuple[Sequence, ...] = ()
    reference: Sequence | None = None
    content: str = ""

    @property
    def question(self) -> str:
        """Hash of what is asked, whatever answers it; of requests of earlier versions, too."""
        return self.content or content_of(one for series in self.instances.values() for one in series)


class DeliveryTry(BaseModel):
    """One try of sending a job's results to one destination.

    Attributes
    ----------
    job
        The job's id.
    destination
        Name of the modality.
    resources
        Orthanc ids of what is sent.
    number
        Of all tries of this delivery, from 1.
    attempt
        Of the tries since a person asked last, from 1.
    seconds
        What the tries before took.
    """

    model_config = ConfigDict(extra="forbid")

    job: str
    destination: str
    resources: list[str]
    number: int = 1
    attempt: int = 1
    seconds: float = 0.0

    @classmethod
    def read(cls, request: object, *earlier_form: Any) -> "DeliveryTry":
        """Read what was queued, also by versions that queued job, destination and resources one by one."""
        if not earlier_form:
            return cls.model_validate(request)
        destination, resources = earlier_form
        return cls(job=str(request), destination=destination, resources=resources)

    @property
    def key(self) -> str:
        """Attribute of the job under which the delivery's state is kept."""
        return f"delivery.{self.destination}"

    def following(self, seconds: float) -> "DeliveryTry":
        """The next try, after this many seconds of sending in all."""
        return self.model_copy(update={"number": self.number + 1, "attempt": self.attempt + 1, "seconds": seconds})

    def options(self, delay_seconds: float = 0) -> EnqueueOptions:
        """How it is queued: once, and behind its own destination only."""
        options = EnqueueOptions(
            workflow_name=DELIVER_WORKFLOW,
            queue_name=DELIVERY_QUEUE,
            workflow_id=_delivery_id(self.job, self.destination, self.number),
            queue_partition_key=self.destination,
        )
        if delay_seconds:
            options["delay_seconds"] = delay_seconds
        return options


def _delivery_id(job: str, destination: str, number: int) -> str:
    # Earlier versions had one workflow for all tries, without a number.
    return f"{job}.{destination}.{number}" if number else f"{job}.{destination}"


@dataclass(frozen=True)
class Backlog:
    """How far a queue is behind.

    Attributes
    ----------
    waiting, running
        Number of workflows queued, and at work. Looks put off until a study's grace time or forced end are over
        do not count: nothing is late.
    oldest_seconds
        How long ago the longest waiting one was queued; 0 where none waits.
    """

    waiting: int = 0
    running: int = 0
    oldest_seconds: float = 0.0


def _study_prefix(study: str) -> str:
    # DBOS finds workflows by a prefix of their id on every database, by attributes on PostgreSQL only.
    return hashlib.sha256(study.encode()).hexdigest()[:8]


def job_id(study: str, sop_instance_uids: list[str], model: str, options: Mapping[str, object], nonce: str = "") -> str:
    """Identity of a job: a hash of all that decides its result.

    Parameters
    ----------
    study
        Orthanc's id of the study; the jobs of one study share the first eight characters.
    sop_instance_uids
        SOP Instance UIDs of the input, any order.
    model
        ``name@version``.
    options
        JSON-serialisable options that change the result.
    nonce
        Something unique, for a run that is forced although its content is done.
    """
    content = json.dumps([sorted(sop_instance_uids), model, PIPELINE_VERSION, dict(options), nonce], sort_keys=True)
    return _study_prefix(study) + hashlib.sha256(content.encode()).hexdigest()[:24]


def content_of(instances: Iterable[str], refused: str = "") -> str:
    """Hash of a job's images, whichever network sees them.

    Parameters
    ----------
    instances
        Orthanc's ids, any order.
    refused
        Why the study is refused before any network sees it; empty where it is not.
    """
    return hashlib.sha256(json.dumps([refused, sorted(instances)]).encode()).hexdigest()[:32]


def fresh_nonce() -> str:
    """Return a value that no other forced run has."""
    return secrets.token_hex(8)


class JobQueue:
    """The durable queue, from any process.

    Parameters
    ----------
    database_url
        DBOS system database; its tables must exist (the worker makes them when it starts).
    """

    def __init__(self, database_url: str) -> None:
        self._client = DBOSClient(
            system_database_url=database_url,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
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
        self._adopt_deliveries()

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
            workflow_id_prefix=_study_prefix(request.study),
            sort_desc=True,
            load_output=False,
        )
        for status in found:
            (earlier,) = status.input["args"] if status.input else ({},)
            if earlier.get("study") == request.study and JobRequest(**earlier).question == request.question:
                return str(status.workflow_id)
        query = sqlalchemy.select(ANSWERED.c.job).where(
            ANSWERED.c.study == request.study, ANSWERED.c.question == request.question
        )
        with self.engine.connect() as connection:
            job: str | None = connection.execute(query).scalar()
            return job

    def enqueue_job(self, identity: str, request: JobRequest, priority: int = DEFAULT_PRIORITY) -> None:
        """Queue a job; one that is there already is left as it is."""
        attributes = {
            "study": request.study,
            "study_instance_uid": request.study_instance_uid,
            "model": request.model,
            "origin": request.origin,
            "sequences": sorted(request.decision.get("chosen", {})),
            "stage": None,
            "progress": 0.0,
        }
        self._client.enqueue(
            EnqueueOptions(
                workflow_name=SEGMENT_WORKFLOW,
                queue_name=JOBS_QUEUE,
                workflow_id=identity,
                priority=priority,
                attributes=attributes,
            ),
            request.model_dump(mode="json"),
        )

    def report(self, identity: str, **attributes: object) -> None:
        """Merge values into what people see of a job; never part of its durable history."""
        self._client.update_workflow_attributes(identity, attributes, merge=True)

    def note_timeout(self, identity: str, stage: str) -> None:
        """Note that a stage of a job ran over its deadline."""
        self.report(identity, **{f"timeouts.{stage}": self.timeouts(identity, stage) + 1})

    def timeouts(self, identity: str, stage: str) -> int:
        """How often a stage of a job ran over its deadline since the job was asked for."""
        found = self._client.list_workflows(workflow_ids=[identity], load_input=False, load_output=False)
        return int((found[0].attributes or {}).get(f"timeouts.{stage}", 0)) if found else 0

    def job(self, identity: str) -> dict[str, Any] | None:
        """One job as REST shows it; None where there is none of that id."""
        found = self._client.list_workflows(workflow_ids=[identity], name=SEGMENT_WORKFLOW)
        return self._views(found)[0] if found else None

    def jobs(self, study: str | None = None, limit: int = 100, offset: int = 0) -> list[dict[str, Any]]:
        """List jobs, latest first."""
        found = self._client.list_workflows(
            name=SEGMENT_WORKFLOW,
            workflow_id_prefix=_study_prefix(study) if study else None,
            limit=limit,
            offset=offset,
            sort_desc=True,
            load_input=False,
        )
        return [view for view in self._views(found) if study in (None, view["study"])]

    def _views(self, found: list[WorkflowStatus]) -> list[dict[str, Any]]:
        """Show jobs; of deliveries that seem to be on their way it is asked whether they are."""
        open_ones = [
            _delivery_id(status.workflow_id, modality, state.get("number", 0))
            for status in found
            for modality, state in _deliveries(status.attributes or {})
            if status.status == "SUCCESS" and state["state"] not in _DELIVERED
        ]
        over: dict[str, str] = {}
        if open_ones:
            listed = self._client.list_workflows(workflow_ids=open_ones, load_input=False, load_output=False)
            over = {one.workflow_id: one.status for one in listed}
        return [job_view(status, over) for status in found]

    def request(self, identity: str) -> JobRequest | None:
        """What a job was asked to do; None where there is none of that id."""
        found = self._client.list_workflows(workflow_ids=[identity], name=SEGMENT_WORKFLOW, load_output=False)
        if not found or not found[0].input:
            return None
        (request,) = found[0].input["args"]
        return JobRequest.model_validate(request)

    @property
    def client(self) -> DBOSClient:
        """DBOS's own client, for what is not a segmentation."""
        return self._client

    def enqueue_feedback(self, study: str, event: str) -> None:
        """Have a study looked at for corrections."""
        self._client.enqueue(
            EnqueueOptions(
                workflow_name=FEEDBACK_WORKFLOW, queue_name=FEEDBACK_QUEUE, workflow_id=f"feedback-{study}-{event}"
            ),
            study,
        )

    def waiting(self) -> int:
        """Number of jobs queued or at work."""
        # DBOS lists workflows but does not count them, and this is asked at every look at the node's health.
        database = self._client._sys_db
        table = database.tables.workflow_status
        query = (
            sqlalchemy.select(sqlalchemy.func.count())
            .select_from(table)
            .where(table.c.name == SEGMENT_WORKFLOW, table.c.status.in_(("ENQUEUED", "DELAYED", "PENDING")))
        )
        with database.engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def at_work(self, executor: str) -> list[str]:
        """Ids of all workflows that count as being run by a worker of this version of the pipeline."""
        found = self._client.list_workflows(
            status="PENDING",
            executor_id=executor,
            app_version=PIPELINE_VERSION,
            load_input=False,
            load_output=False,
        )
        return [status.workflow_id for status in found]

    def backlog(self) -> dict[str, Backlog]:
        """How far each queue is behind, by its name."""
        found = self._client.list_workflows(status=["ENQUEUED", "PENDING"], load_input=False, load_output=False)
        now = time.time() * 1000
        backlog = dict.fromkeys(QUEUES, Backlog())
        for one in found:
            if one.queue_name not in backlog:
                continue
            so_far = backlog[one.queue_name]
            if one.status == "PENDING":
                backlog[one.queue_name] = replace(so_far, running=so_far.running + 1)
            else:
                since = one.delay_until_epoch_ms or one.created_at or now
                oldest = max(so_far.oldest_seconds, (now - since) / 1000)
                backlog[one.queue_name] = replace(so_far, waiting=so_far.waiting + 1, oldest_seconds=oldest)
        return backlog

    def cancel(self, identity: str) -> None:
        """Stop a job after the stage it is in; its deliveries too."""
        self._client.cancel_workflow(identity)
        tries = self._client.list_workflows(
            workflow_id_prefix=f"{identity}.", name=DELIVER_WORKFLOW, status=list(_UNENDED), load_input=False
        )
        for one in tries:
            self._client.cancel_workflow(one.workflow_id)

    def retry(self, identity: str) -> None:
        """Run a failed, refused or cancelled job again, from the stage that did not succeed.

        A job whose delivery failed is not segmented again: only the delivery is.
        """
        (status,) = self._client.list_workflows(workflow_ids=[identity], name=SEGMENT_WORKFLOW)
        if status.status in ("CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"):
            self._client.resume_workflow(identity, queue_name=JOBS_QUEUE)
            return
        if status.status == "SUCCESS" and self._retry_deliveries(status):
            return
        steps = self._client.list_workflow_steps(identity)
        failed = [step["function_id"] for step in steps if step["error"] is not None]
        self.report(identity, stage=None, progress=0.0, **{f"timeouts.{stage}": 0 for stage in Stage})
        self._client.rewind_workflow(identity, start_step=max(1, failed[0]) if failed else 1, queue_name=JOBS_QUEUE)

    def _retry_deliveries(self, status: WorkflowStatus) -> bool:
        """Begin the deliveries of a job anew that failed or were cancelled; tell whether there were any."""
        identity, states = status.workflow_id, dict(_deliveries(status.attributes or {}))
        seen = self._views([status])[0]["deliveries"]
        broken = [name for name, one in seen.items() if one["state"] in ("failed", "cancelled")]
        for name in broken:
            number = states[name].get("number", 0)
            (last,) = self._client.list_workflows(workflow_ids=[_delivery_id(identity, name, number)])
            before = DeliveryTry.read(*(last.input or {"args": []})["args"])
            again = DeliveryTry(job=identity, destination=name, resources=before.resources, number=number + 1)
            state = {"state": "queued", "attempts": 0, "number": again.number}
            self.report(identity, **{f"timeouts.{Stage.FORWARD}.{name}": 0, again.key: state})
            self._client.enqueue(again.options(), again.model_dump(mode="json"))
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
        self._client.delete_workflows([identity, *(one.workflow_id for one in tries)])

    def forget_looks(self, before: float) -> int:
        """Drop the ended looks at studies and at corrections that ended before a time, seconds since 1970."""
        table = self._client._sys_db.tables.workflow_status
        query = sqlalchemy.select(table.c.workflow_uuid).where(
            table.c.name.in_(_LOOKS), table.c.status.not_in(_UNENDED), table.c.updated_at < before * 1000
        )
        with self.engine.connect() as connection:
            old = [str(identity) for (identity,) in connection.execute(query)]
        for start in range(0, len(old), _AT_ONCE):
            self._client.delete_workflows(old[start : start + _AT_ONCE])
        return len(old)

    def _adopt_deliveries(self) -> None:
        """Put what an earlier version queued for a destination into that destination's part of the queue."""
        table = self._client._sys_db.tables.workflow_status
        orphans = (table.c.queue_name == DELIVERY_QUEUE, table.c.queue_partition_key.is_(None))
        with self.engine.begin() as connection:
            for (identity,) in connection.execute(sqlalchemy.select(table.c.workflow_uuid).where(*orphans)).fetchall():
                destination = str(identity).partition(".")[2]
                connection.execute(
                    sqlalchemy.update(table)
                    .where(table.c.workflow_uuid == identity)
                    .values(queue_partition_key=destination)
                )


_UNENDED: Final = ("ENQUEUED", "DELAYED", "PENDING")

_STATES: Final = {
    "ENQUEUED": JobState.QUEUED,
    "DELAYED": JobState.QUEUED,
    "PENDING": JobState.RUNNING,
    "CANCELLED": JobState.CANCELLED,
    "ERROR": JobState.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": JobState.FAILED,
}


#: What a delivery's own state says once it has ended.
_DELIVERED: Final = ("done", "failed", "cancelled")


def job_view(status: WorkflowStatus, delivery_statuses: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a job as REST, the dashboard and the demo show it.

    Parameters
    ----------
    status
        The job's workflow.
    delivery_statuses
        DBOS's status of deliveries by their workflow's id: one that was cancelled, or whose worker died at
        every try, could not note its own end.
    """
    attributes = status.attributes or {}
    output: dict[str, Any] = status.output if isinstance(status.output, dict) else {}
    deliveries = {
        modality: _ended_otherwise(
            (delivery_statuses or {}).get(_delivery_id(status.workflow_id, modality, state.get("number", 0)))
        )
        or state
        for modality, state in _deliveries(attributes)
    }
    error = _error(status, output)
    state = _STATES.get(status.status) or JobState(output.get("state", JobState.DONE))
    if state == JobState.DONE and deliveries:
        states = {d["state"] for d in deliveries.values()}
        if "failed" in states:
            error = next(d["error"] for d in deliveries.values() if d["state"] == "failed")
            state = JobState.REFUSED if error["kind"] == Kind.REFUSAL.value else JobState.FAILED
        elif "cancelled" in states:
            state = JobState.CANCELLED
        elif states != {"done"}:
            state = JobState.RUNNING
    timings = dict(output.get("timings_s") or attributes.get("timings_s") or {})
    if deliveries and all(d["state"] == "done" for d in deliveries.values()):
        timings["forward"] = max(d["seconds"] for d in deliveries.values())
    return {
        "id": status.workflow_id,
        "state": state.value,
        "stage": attributes.get("stage"),
        "progress": attributes.get("progress", 0.0),
        "study": attributes.get("study"),
        "study_instance_uid": attributes.get("study_instance_uid"),
        "model": attributes.get("model"),
        "origin": attributes.get("origin"),
        "sequences": attributes.get("sequences", []),
        "created": _time(status.created_at),
        "updated": _time(status.updated_at),
        "attempts": status.recovery_attempts,
        "timings_s": timings,
        "result": output.get("result"),
        "deliveries": deliveries,
        "error": error,
    }


def _ended_otherwise(status: str | None) -> dict[str, Any] | None:
    """State of a delivery that did not note its end itself; None where it did, or has not ended."""
    if status == "CANCELLED":
        return {"state": "cancelled", "error": None}
    if status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return {"state": "failed", "error": GlioLoopError("WORKER_DIED", f"in stage {Stage.FORWARD}").as_json()}
    if status == "ERROR":
        detail = "the end of the delivery could not be written down; see the worker's log"
        return {"state": "failed", "error": GlioLoopError("FORWARD_FAILED", detail).as_json()}
    return None


def _deliveries(attributes: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in attributes.items():
        if key.startswith("delivery."):
            yield key.removeprefix("delivery."), value


def _error(status: WorkflowStatus, output: Mapping[str, Any]) -> dict[str, Any] | None:
    if status.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        return GlioLoopError("WORKER_DIED", f"in stage {(status.attributes or {}).get('stage')}").as_json()
    if isinstance(status.error, GlioLoopError):
        return status.error.as_json()
    if status.error is not None:
        return GlioLoopError("INTERNAL", place_of(status.error)).as_json()
    return output.get("error")


def _time(epoch_ms: int | None) -> str | None:
    return None if epoch_ms is None else datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds")
