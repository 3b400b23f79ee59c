"""How far the queues are behind."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from dbos import WorkflowStatus

from pipeline.jobs.queues import QUEUES


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


def backlog_by_queue(unended: Iterable[WorkflowStatus]) -> dict[str, Backlog]:
    """Count the workflows that wait or are at work, by the name of their queue.

    Parameters
    ----------
    unended
        Workflows whose status is ``ENQUEUED`` or ``PENDING``.
    """
    now = time.time() * 1000
    backlog = dict.fromkeys(QUEUES, Backlog())
    for one in unended:
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
