"""The worker process: runs the durable workflows until its parent ends or it is told to stop.

It never imports ``orthanc``; everything it knows of the archive it asks over HTTP.
"""

import ctypes
import logging
import os
import signal
import sys
import threading
import warnings
from types import FrameType

import structlog
from dbos import DBOS, DBOSConfig
from sqlalchemy import create_engine, text

from pipeline import PIPELINE_VERSION, jobs
from pipeline.settings import Settings, load_settings

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 1.0
_INTAKE_AT_ONCE = 2
_DELIVERIES_AT_ONCE = 4

#: Set by the plugin: which of its workers this is. DBOS gives a worker that comes back its own jobs.
EXECUTOR_VARIABLE = "GLIOLOOP_EXECUTOR"


def run() -> None:
    """Run until SIGTERM or the end of the parent process.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID.
    """
    parent = os.getppid()
    _end_with_parent()
    settings = load_settings()
    configure_logging(settings.log_level)
    stop = threading.Event()
    _handle_signals(stop)
    prepare_database(settings)
    _launch(settings)
    log = structlog.get_logger()
    log.info("worker ready", pid=os.getpid())
    # The kernel's signal covers a parent that dies; this covers one that died before it was asked for.
    while not stop.wait(_PARENT_CHECK_SECONDS):
        if os.getppid() != parent:
            break
    log.info("worker ends", pid=os.getpid())
    # Not DBOS.destroy(): that waits for the stage at work, which is recovered at the next start anyway.
    logging.shutdown()
    os._exit(0)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _handle_signals(stop: threading.Event) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    # Ctrl-C reaches the whole foreground group; it is Orthanc that decides when the worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def configure_logging(level: str) -> None:
    """One JSON object a line on stderr, and no patient's name in it."""
    # DICOM libraries quote the value they wonder at, and that may be a name.
    warnings.simplefilter("ignore")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def prepare_database(settings: Settings) -> None:
    """Make the state folder; let SQLite's readers (the plugin) and its writer (the worker) not wait for each other."""
    settings.state_folder.mkdir(parents=True, exist_ok=True)
    if settings.queue_database_url.startswith("sqlite"):
        engine = create_engine(settings.queue_database_url)
        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode=WAL"))
        engine.dispose()


def _launch(settings: Settings) -> None:
    config: DBOSConfig = {
        "name": jobs.APPLICATION,
        "system_database_url": settings.queue_database_url,
        # Jobs of a worker that was updated go on, unless the pipeline itself has changed.
        "application_version": PIPELINE_VERSION,
        "executor_id": os.environ.get(EXECUTOR_VARIABLE, f"worker-{os.uname().nodename}"),
        "serializer": jobs.JsonSerializer(),
        "log_level": "WARNING",
        "notification_listener_polling_interval_sec": 0.5,
    }
    # Registers the workflows, with the instance below.
    import pipeline.feedback.durable  # noqa: PLC0415
    import pipeline.finetune.durable  # noqa: F401, PLC0415
    from pipeline import workflow  # noqa: F401, PLC0415

    DBOS(config=config)
    DBOS.launch()
    DBOS.register_queue(
        jobs.JOBS_QUEUE,
        worker_concurrency=settings.concurrency,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        jobs.INTAKE_QUEUE, worker_concurrency=_INTAKE_AT_ONCE, polling_interval_sec=0.5, on_conflict="always_update"
    )
    DBOS.register_queue(
        jobs.DELIVERY_QUEUE,
        worker_concurrency=_DELIVERIES_AT_ONCE,
        polling_interval_sec=0.5,
        on_conflict="always_update",
    )
    DBOS.register_queue(
        jobs.FEEDBACK_QUEUE, worker_concurrency=1, polling_interval_sec=0.5, on_conflict="always_update"
    )
    # One at a time on the whole node: it makes way for every clinical job, wherever that runs.
    DBOS.register_queue(
        jobs.TRAINING_QUEUE, global_concurrency=1, polling_interval_sec=1.0, on_conflict="always_update"
    )


if __name__ == "__main__":
    run()
