"""What the workflows of one worker share, beside settings and archive: the queue, the audit trail, the networks."""

from functools import cache

from sqlalchemy import Engine

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_of
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.resources import settings
from pipeline.registry import InstalledModel, Registry


@cache
def queue() -> JobQueue:
    """Return this worker's client of the queue, for what is not part of a workflow's history."""
    return JobQueue(settings().queue_database_url, patient=settings().shares_database)


def database() -> Engine:
    """Return the node's database."""
    return database_of(settings())


@cache
def audit() -> AuditTrail:
    """Return the node's audit trail."""
    return AuditTrail(database())


def registry() -> Registry:
    """Return the registry; read anew, so that a promotion counts for the next job."""
    return Registry(settings().models_folder, settings().state_folder, database())


def installed(model: str) -> InstalledModel:
    """Return a model from the registry.

    Raises
    ------
    GlioLoopError
        MODEL_UNKNOWN, MODEL_DAMAGED.
    """
    return registry().get(model)
