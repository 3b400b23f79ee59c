"""What ended without its own last step, and so could tell nobody: worker after worker died of it, as a rule.

DBOS takes what it is not to begin again out of its queue and runs nothing of it any more. Someone else has to look:
:mod:`pipeline.jobs.workflows.notify`, every few minutes.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final

import sqlalchemy
from dbos import WorkflowStatus

from pipeline.case.job import JobView
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import (
    ACCEPT_WORKFLOW,
    CORRECTIONS_WORKFLOW,
    COURSE_WORKFLOW,
    DELIVER_WORKFLOW,
    EDIT_WORKFLOW,
    INTAKE_WORKFLOW,
    NOTIFY_WORKFLOW,
    PRIORS_WORKFLOW,
    SEGMENT_WORKFLOW,
)
from pipeline.jobs.request import DeliveryTry, JobRequest
from pipeline.jobs.view import DIED, JobAttributes, ended_otherwise, failure_of, time_of
from pipeline.names import ENDED_DELIVERIES
from pipeline.records import Record

#: Whose first argument is Orthanc's id of a study.
_OF_A_STUDY: Final = (CORRECTIONS_WORKFLOW, COURSE_WORKFLOW, PRIORS_WORKFLOW, INTAKE_WORKFLOW)
#: Whose second argument is the id of a job.
_OF_A_JOB: Final = (ACCEPT_WORKFLOW, EDIT_WORKFLOW)
#: That tell nobody where they fail: a delivery that could not write its end down, and an acceptance.
_SILENT: Final = (DELIVER_WORKFLOW, ACCEPT_WORKFLOW)


class Death(Record):
    """One of them.

    Attributes
    ----------
    what
        The workflow's id.
    ended
        When, UTC, ISO 8601.
    error
        Why, as it is told.
    job, study, study_instance_uid, model
        What it is about, as far as it is known.
    request
        What the job was asked to do.
    """

    what: str
    ended: str
    error: ErrorRecord
    job: str = ""
    study: str = ""
    study_instance_uid: str = ""
    model: str = ""
    request: JobRequest | None = None


def deaths(queue: JobQueue, since: datetime) -> tuple[Death, ...]:
    """What ended so since then.

    What tells people is left out: to tell that it could not be told might go on for ever. The list of what was told
    and the digest name it.
    """
    return tuple(death for status in _ended(queue, since) if (death := _death(queue, status)) is not None)


def hand_over(queue: JobQueue, alternate_of: Callable[[str], str | None], since: datetime) -> list[str]:
    """Have alternates get what deliveries did not bring that ended so since then; to be called after they are told.

    Parameters
    ----------
    alternate_of
        Name of a destination's alternate; None where it has none.

    Returns
    -------
    list of str
        Ids of those deliveries' workflows.
    """
    handed = []
    for status in _ended(queue, since):
        if status.name != DELIVER_WORKFLOW:
            continue
        one = DeliveryTry.read(*(status.input or {"args": ()})["args"])
        error, alternate = _of_delivery(queue, one, status.status), alternate_of(one.destination)
        if error is not None and alternate is not None:
            queue.deliveries.replace(one, alternate, error)
            handed.append(status.workflow_id)
    return handed


def _ended(queue: JobQueue, since: datetime) -> list[WorkflowStatus]:
    rows = queue.client._sys_db.tables.workflow_status.c
    ended = sqlalchemy.select(rows.workflow_uuid).where(
        rows.updated_at >= since.timestamp() * 1000,
        sqlalchemy.or_(
            (rows.status == DIED) & (rows.name != NOTIFY_WORKFLOW), (rows.status == "ERROR") & rows.name.in_(_SILENT)
        ),
    )
    with queue.engine.connect() as connection:
        identities = [str(identity) for identity in connection.execute(ended).scalars()]
    if not identities:
        return []  # DBOS takes no ids for all of them
    return queue.client.list_workflows(workflow_ids=identities)


def _death(queue: JobQueue, status: WorkflowStatus) -> Death | None:
    """What became of one; None of a delivery whose end was written down, and so was told."""
    arguments = (status.input or {"args": ()})["args"]
    if status.name == SEGMENT_WORKFLOW:
        return _of_job(queue, status, None, status.workflow_id)
    if status.name == DELIVER_WORKFLOW:
        one = DeliveryTry.read(*arguments)
        error = _of_delivery(queue, one, status.status)
        return None if error is None else _of_job(queue, status, error, one.job)
    error = failure_of(status)
    if status.name in _OF_A_JOB:
        return _of_job(queue, status, error, str(arguments[1]))
    if status.name in _OF_A_STUDY:
        view = next(iter(queue.jobs(str(arguments[0]), limit=1)), None)
        return _of(status, error, view).model_copy(update={"study": str(arguments[0])})
    return _of(status, error, None)


def _of_delivery(queue: JobQueue, one: DeliveryTry, status: str) -> ErrorRecord | None:
    """Why a delivery is over that by what was written down goes on; None where it does not."""
    found = queue.client.list_workflows(
        workflow_ids=[one.job], name=SEGMENT_WORKFLOW, load_input=False, load_output=False
    )
    noted = JobAttributes.of(found[0]).deliveries.get(one.destination) if found else None
    if noted is None or noted.number != one.number or noted.state in ENDED_DELIVERIES:
        return None
    over = ended_otherwise(status)
    return over.error if over else None


def _of_job(queue: JobQueue, status: WorkflowStatus, error: ErrorRecord | None, job: str) -> Death:
    view = queue.job(job)
    about = {"job": job, "request": queue.request(job), "model": (view.model if view else None) or ""}
    return _of(status, error or (view.error if view else None) or failure_of(status), view).model_copy(update=about)


def _of(status: WorkflowStatus, error: ErrorRecord, view: JobView | None) -> Death:
    return Death(
        what=status.workflow_id,
        ended=time_of(status.completed_at or status.updated_at) or "",
        error=error,
        study=(view.study if view else None) or "",
        study_instance_uid=(view.study_instance_uid if view else None) or "",
    )
