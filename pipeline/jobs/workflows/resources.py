"""What the durable workflows of a worker share: its connections, and how a step is tried again and ended.

A worker that dies is started again, finds its workflows, and goes on after the last recorded step. Steps are
idempotent, since the one that was at work when the worker died runs again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from dbos import DBOS
from dbos import error as dbos_error

from pipeline.archive import HttpArchive
from pipeline.audit import AuditTrail
from pipeline.casefolder import CaseFolder
from pipeline.deadline import TRIES
from pipeline.errors import GlioLoopError
from pipeline.jobs import JobQueue
from pipeline.registry import InstalledModel, Registry
from pipeline.settings import Settings, load_settings


@cache
def settings() -> Settings:
    """Return this worker's settings, read once."""
    return load_settings()


@cache
def archive() -> HttpArchive:
    """Return this worker's connection to Orthanc."""
    return HttpArchive(settings())


@cache
def queue() -> JobQueue:
    """Return this worker's client of the queue, for what is not part of a workflow's history."""
    return JobQueue(settings().queue_database_url)


@cache
def audit() -> AuditTrail:
    """Return the node's audit trail."""
    return AuditTrail(settings().state_folder)


def registry() -> Registry:
    """Return the registry; read anew, so that a promotion counts for the next job."""
    return Registry(settings().models_folder, settings().state_folder)


def installed(model: str) -> InstalledModel:
    """Return a model from the registry.

    Raises
    ------
    GlioLoopError
        MODEL_UNKNOWN, MODEL_DAMAGED.
    """
    return registry().get(model)


def case_folder(identity: str) -> CaseFolder:
    """Return the working folder of a job."""
    return CaseFolder(settings().jobs_folder / identity)


def step(
    name: str, talks_to_orthanc: bool = False, waits_for: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a step of a workflow; one that talks to Orthanc is tried again where its error may pass by itself.

    Parameters
    ----------
    name
        Recorded with the step's outcome.
    talks_to_orthanc
        Whether it is tried again at all.
    waits_for
        Further codes that are waited for, beside those that are transient by the table.
    """

    def transient(error: BaseException) -> bool:
        return isinstance(error, GlioLoopError) and (error.reason.transient or error.code in waits_for)

    return DBOS.step(
        name=str(name),
        retries_allowed=talks_to_orthanc,
        max_attempts=9,  # 1, 2, 4 … 128 s: an Orthanc that restarts is waited for
        interval_seconds=1,
        backoff_rate=2,
        should_retry=transient,
    )


@contextmanager
def last_error() -> Iterator[None]:
    """Let what a step ended with at its last try stand for all of them."""
    try:
        yield
    except dbos_error.DBOSMaxStepRetriesExceeded as error:
        raise error.errors[-1] from error


def refuse_endless(identity: str, stage: str) -> None:
    """Fail a job whose stage ran over its deadline at every try: a third would not end either."""
    if queue().timeouts(identity, stage) >= TRIES:
        raise GlioLoopError("STAGE_TIMEOUT", f"{stage}: {TRIES} times over {settings().stage_deadline_seconds:g} s")
