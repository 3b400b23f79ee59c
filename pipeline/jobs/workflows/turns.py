"""Whose turn it is with the networks: a worker takes up more jobs than it infers at once.

The jobs beyond fetch, read and align meanwhile. Nothing of that is recorded but the stages' own steps: a worker that
dies goes on with each job after the last of them, and each asks for its turn anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore
from typing import Final

from dbos import error as dbos_error

from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.children import Job, cancelled

_LOOK_SECONDS: Final = 1.0


@cache
def _turns() -> BoundedSemaphore:
    return BoundedSemaphore(settings().concurrency)


@contextmanager
def turn(job: Job) -> Iterator[None]:
    """Wait for the job's turn, and keep it until the block ends.

    Raises
    ------
    DBOSWorkflowCancelledError
        Where the job is cancelled while it waits.
    """
    turns = _turns()
    while not turns.acquire(timeout=_LOOK_SECONDS):
        if cancelled(job.identity):
            raise dbos_error.DBOSWorkflowCancelledError(f"{job.identity} was cancelled while it waited for its turn")
    try:
        yield
    finally:
        turns.release()
