"""Starts DBOS in a worker, with every queue and workflow of the node."""

import logging
import os
import sys
import threading
from typing import Any

import structlog
from dbos import DBOS, DBOSConfig

from pipeline.database.engine import database_of
from pipeline.errors.resources import trace_of
from pipeline.jobs.checks import schedule_check
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import (
    APPLICATION,
    CHECK_QUEUE,
    CORRECTIONS_QUEUE,
    DELIVERY_QUEUE,
    FETCH_QUEUE,
    INTAKE_QUEUE,
    JOBS_QUEUE,
    NOTIFY_QUEUE,
    PRIORS_QUEUE,
    TRAINING_QUEUE,
    WORKFLOWS_VERSION,
)
from pipeline.jobs.serializer import JsonSerializer
from pipeline.settings import Settings

_INTAKE_AT_ONCE = 2
#: For each destination: one that accepts and never answers holds this slot and no other.
_DELIVERIES_AT_ONCE = 1

#: Set by the plugin: which of its workers this is. DBOS gives a worker that comes back its own jobs.
EXECUTOR_VARIABLE = "GLIOLOOP_EXECUTOR"


class _PlaceFormatter(logging.Formatter):
    """Writes where an exception came from, and none of its text."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name that logging looks for
        return trace_of(ei[1]) if ei[1] is not None else ""


def _tell_no_values() -> None:
    """Keep the text of exceptions out of what libraries and the interpreter write: it may be a patient's name."""
    formatter = _PlaceFormatter("%(asctime)s [%(levelname)8s] (%(name)s:%(filename)s:%(lineno)s) %(message)s")
    for name in (None, "dbos"):
        for handler in logging.getLogger(name).handlers:
            handler.setFormatter(formatter)
    log = structlog.get_logger()
    sys.excepthook = lambda _kind, error, _trace: log.error("ended by an error", where=trace_of(error))
    threading.excepthook = lambda told: log.error(
        "thread ended by an error", where=trace_of(told.exc_value) if told.exc_value else ""
    )


def executor() -> str:
    """Name under which DBOS knows this worker."""
    return os.environ.get(EXECUTOR_VARIABLE, f"worker-{os.uname().nodename}")


def _make_tables(settings: Settings) -> None:
    """Make every table before any workflow runs; take over what earlier versions left."""
    queue = JobQueue(settings.queue_database_url)
    try:
        queue.make_tables()
        queue.adopt_queued()
        queue.adopt_begun(executor())
        database_of(settings)
    finally:
        queue.close()


def launch(settings: Settings) -> DBOS:
    """Start DBOS with the node's queues and workflows."""
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": settings.queue_database_url,
        "application_version": WORKFLOWS_VERSION,
        "executor_id": executor(),
        "serializer": JsonSerializer(),
        "log_level": "WARNING",
        "notification_listener_polling_interval_sec": 0.5,
        # What DBOS logs of a database's error would else quote what was to be written.
        "db_engine_kwargs": {"hide_parameters": True},
    }
    # Registers the workflows, with the instance below.
    import pipeline.jobs.workflows  # noqa: F401, PLC0415
    from pipeline.jobs.workflows.fetch import schedule_fetches  # noqa: PLC0415
    from pipeline.jobs.workflows.notify import schedule_notify  # noqa: PLC0415
    from pipeline.jobs.workflows.retention import schedule_retention  # noqa: PLC0415
    from pipeline.jobs.workflows.syslog import schedule_audit_syslog  # noqa: PLC0415

    _make_tables(settings)
    instance = DBOS(config=config)
    _tell_no_values()
    DBOS.launch()
    DBOS.register_queue(
        JOBS_QUEUE,
        worker_concurrency=settings.concurrency + settings.prefetch,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        INTAKE_QUEUE, worker_concurrency=_INTAKE_AT_ONCE, polling_interval_sec=0.5, on_conflict="always_update"
    )
    DBOS.register_queue(
        DELIVERY_QUEUE,
        partition_worker_concurrency=_DELIVERIES_AT_ONCE,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        NOTIFY_QUEUE,
        partition_worker_concurrency=_DELIVERIES_AT_ONCE,
        polling_interval_sec=1.0,
        on_conflict="always_update",
    )
    DBOS.register_queue(FETCH_QUEUE, worker_concurrency=1, polling_interval_sec=1.0, on_conflict="always_update")
    DBOS.register_queue(CORRECTIONS_QUEUE, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update")
    # One at a time: what the site's archive is asked for is no load that anybody notices.
    DBOS.register_queue(PRIORS_QUEUE, global_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update")
    # One at a time on the whole node: it makes way for every clinical job, wherever that runs.
    DBOS.register_queue(TRAINING_QUEUE, global_concurrency=1, polling_interval_sec=1.0, on_conflict="always_update")
    schedule_retention(executor())
    schedule_notify()
    schedule_fetches()
    schedule_audit_syslog()
    DBOS.register_queue(CHECK_QUEUE, global_concurrency=1, polling_interval_sec=1.0, on_conflict="always_update")
    if settings.check_every_hours:
        queue = JobQueue(settings.queue_database_url)
        schedule_check(queue, settings.check_every_hours)
        queue.close()
    return instance
