"""Has what a person accepted in the dashboard written, and tells where that failed for good."""

from collections.abc import Iterable

from dbos import EnqueueOptions

from pipeline.case.job import JobView
from pipeline.corrections.decisions import Decision
from pipeline.errors.records import ErrorRecord
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import ACCEPT_WORKFLOW, CORRECTIONS_QUEUE
from pipeline.jobs.request import acceptance_id
from pipeline.jobs.view import BROKEN, DIED, failure_of


def enqueue_acceptance(queue: JobQueue, job: JobView, decision: Decision) -> None:
    """Have the structure set of a job written as approved, once; where that failed for good, again."""
    identity = acceptance_id(job.id)
    if failed_acceptances(queue, [job.id]):
        # Not begun again as it was: someone else may have accepted it since it was sent back.
        queue.client.delete_workflows([identity])
    options = EnqueueOptions(workflow_name=ACCEPT_WORKFLOW, queue_name=CORRECTIONS_QUEUE, workflow_id=identity)
    queue.client.enqueue(options, job.study, job.id, decision.by, decision.at)


def failed_acceptances(queue: JobQueue, jobs: Iterable[str]) -> dict[str, ErrorRecord]:
    """Why what was accepted could not be written, of those of these jobs where it failed for good, by their ids."""
    identities = {acceptance_id(job): job for job in jobs}
    if not identities:
        return {}  # DBOS takes no ids for all of them
    found = queue.client.list_workflows(workflow_ids=list(identities), status=list(BROKEN), load_input=False)
    return {identities[status.workflow_id]: failure_of(status) for status in found}


def again_where_failed(queue: JobQueue, identity: str) -> None:
    """Have a workflow that was asked for before done again, where it failed for good."""
    (found,) = queue.client.list_workflows(workflow_ids=[identity], load_input=False, load_output=False)
    if found.status == "ERROR":
        queue.client.rewind_workflow(identity, start_step=1, queue_name=CORRECTIONS_QUEUE)
    elif found.status == DIED:
        queue.client.resume_workflow(identity, queue_name=CORRECTIONS_QUEUE)
