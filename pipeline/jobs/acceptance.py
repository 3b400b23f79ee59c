"""Has what a person accepted in the dashboard written."""

from dbos import EnqueueOptions

from pipeline.case.job import JobView
from pipeline.corrections.decisions import Decision
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import ACCEPT_WORKFLOW, CORRECTIONS_QUEUE


def enqueue_acceptance(queue: JobQueue, job: JobView, decision: Decision) -> None:
    """Have the structure set of a job written as approved, once; where that failed for good, again."""
    identity = f"accept-{job.id}"
    options = EnqueueOptions(workflow_name=ACCEPT_WORKFLOW, queue_name=CORRECTIONS_QUEUE, workflow_id=identity)
    queue.client.enqueue(options, job.study, job.id, decision.by, decision.at)
    again_where_failed(queue, identity)


def again_where_failed(queue: JobQueue, identity: str) -> None:
    """Have a workflow that was asked for before done again, where it failed for good."""
    (found,) = queue.client.list_workflows(workflow_ids=[identity], load_input=False, load_output=False)
    if found.status == "ERROR":
        queue.client.rewind_workflow(identity, start_step=1, queue_name=CORRECTIONS_QUEUE)
    elif found.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED":
        queue.client.resume_workflow(identity, queue_name=CORRECTIONS_QUEUE)
