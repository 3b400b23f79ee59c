"""The worker process: runs the durable workflows until its parent ends or it is told to stop.

It never imports ``orthanc``; everything it knows of the archive it asks over HTTP.
"""

import contextlib
import ctypes
import logging
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import MutableMapping
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

import structlog
from dbos import DBOS, DBOSConfig

from pipeline import PIPELINE_VERSION, jobs
from pipeline.audit import AuditTrail
from pipeline.canary.state import schedule_check
from pipeline.changes import import_cursor
from pipeline.deadline import DAMAGED_STATUS
from pipeline.errors import GlioLoopError
from pipeline.exhaustion import trace_of
from pipeline.inference.provider import fallback
from pipeline.joblog import JobLog
from pipeline.settings import Settings, load_settings
from pipeline.watchdog import Watchdog, check_database

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 1.0
_INTAKE_AT_ONCE = 2
#: For each destination: one that accepts and never answers holds this slot and no other.
_DELIVERIES_AT_ONCE = 1

#: Set by the plugin: which of its workers this is. DBOS gives a worker that comes back its own jobs.
EXECUTOR_VARIABLE = "GLIOLOOP_EXECUTOR"
#: Set by the plugin: the process without which a worker of its own has no business.
PARENT_VARIABLE = "GLIOLOOP_PARENT"
#: Set by the plugin: file whose time of change tells that the worker is alive.
HEARTBEAT_VARIABLE = "GLIOLOOP_HEARTBEAT"


def run() -> None:
    """Run until SIGTERM or the end of the parent process.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID, QUEUE_DAMAGED.
    """
    # Told by the parent, since one that died while this process was starting would be taken for init.
    parent = int(os.environ.get(PARENT_VARIABLE, os.getppid()))
    _end_with_parent()
    os.umask(0o077)  # working files hold patients' images
    settings = load_settings()
    configure_logging(settings)
    _limit_memory(settings)
    stop = threading.Event()
    _handle_signals(stop)
    prepare_database(settings)
    watchdog = Watchdog(settings, _executor(), _launch(settings)._active_workflows_set.activeList)
    log = structlog.get_logger()
    reason = fallback()
    if reason:
        log.warning("network runs on the processor", reason=reason)
    log.info("worker ready", pid=os.getpid(), audit_head=AuditTrail(settings.state_folder).head())
    # The kernel's signal covers a parent that dies; this covers one that died before it was asked for.
    while not stop.wait(_PARENT_CHECK_SECONDS):
        _beat()
        watchdog.look()
        if os.getppid() != parent:
            break
    log.info("worker ends", pid=os.getpid())
    # Not DBOS.destroy(): that waits for the stage at work, which is recovered at the next start anyway.
    logging.shutdown()
    os._exit(0)


def _beat() -> None:
    file = os.environ.get(HEARTBEAT_VARIABLE)
    if file:
        try:
            Path(file).touch()
        except OSError as error:  # a full disk is no reason to be taken for dead
            structlog.get_logger().warning("no sign of life", reason=error.strerror)


def _limit_memory(settings: Settings) -> None:
    """Let an allocation beyond the limit fail here, before the kernel looks for a process to kill."""
    if settings.worker_memory_gigabytes:
        most = int(settings.worker_memory_gigabytes * 1024**3)
        # Not RLIMIT_AS: a GPU's driver reserves far more addresses than it uses memory.
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _handle_signals(stop: threading.Event) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    # Ctrl-C reaches the whole foreground group; it is Orthanc that decides when the worker ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Log:
    """Standard error, whose disk may be full: what can't be said is no reason to stop working."""

    def write(self, words: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(words)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


class _PlaceFormatter(logging.Formatter):
    """Writes where an exception came from, and none of its text."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the name that logging looks for
        return trace_of(ei[1]) if ei[1] is not None else ""


def _place_only(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same for the lines of our own."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        line["where"] = trace_of(error)
    return line


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


def configure_logging(settings: Settings) -> None:
    """One JSON object a line on stderr, and no patient's name in it; a job's lines go to its folder too."""
    # DICOM libraries quote the value they wonder at, and that may be a name.
    warnings.simplefilter("ignore")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _place_only,
            JobLog(settings.jobs_folder),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Log())),
    )


def prepare_database(settings: Settings) -> None:
    """Make the state folder; let SQLite's readers (the plugin) and its writer (the worker) not wait for each other.

    Raises
    ------
    GlioLoopError
        QUEUE_DAMAGED where the file is no whole SQLite database.
    """
    settings.state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.queue_database_url.startswith("sqlite"):
        check_database(settings, "PRAGMA journal_mode=WAL")
        found = check_database(settings, "PRAGMA quick_check(1)")
        if found != "ok":
            raise GlioLoopError("QUEUE_DAMAGED", str(found)[:200])


def _executor() -> str:
    return os.environ.get(EXECUTOR_VARIABLE, f"worker-{os.uname().nodename}")


def _make_tables(settings: Settings) -> None:
    """Make every table before any workflow runs; take over what earlier versions kept elsewhere."""
    queue = jobs.JobQueue(settings.queue_database_url)
    try:
        queue.make_tables()
        import_cursor(queue.engine, settings.state_folder / "changes.seq")
    finally:
        queue.close()


def _launch(settings: Settings) -> DBOS:
    config: DBOSConfig = {
        "name": jobs.APPLICATION,
        "system_database_url": settings.queue_database_url,
        # Jobs of a worker that was updated go on, unless the pipeline itself has changed.
        "application_version": PIPELINE_VERSION,
        "executor_id": _executor(),
        "serializer": jobs.JsonSerializer(),
        "log_level": "WARNING",
        "notification_listener_polling_interval_sec": 0.5,
        # What DBOS logs of a database's error would else quote what was to be written.
        "db_engine_kwargs": {"hide_parameters": True},
    }
    # Registers the workflows, with the instance below.
    import pipeline.canary.durable  # noqa: PLC0415
    import pipeline.feedback.durable  # noqa: PLC0415
    import pipeline.finetune.durable  # noqa: F401, PLC0415
    from pipeline import arrival, workflow  # noqa: F401, PLC0415
    from pipeline.retention import schedule_retention  # noqa: PLC0415

    _make_tables(settings)
    instance = DBOS(config=config)
    _tell_no_values()
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
        partition_worker_concurrency=_DELIVERIES_AT_ONCE,
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
    schedule_retention(_executor())
    DBOS.register_queue(jobs.CHECK_QUEUE, global_concurrency=1, polling_interval_sec=1.0, on_conflict="always_update")
    if settings.check_every_hours:
        queue = jobs.JobQueue(settings.queue_database_url)
        schedule_check(queue, settings.check_every_hours)
        queue.close()
    return instance


def main() -> None:
    """Run; a reasoned error is one line of the log, not a traceback."""
    try:
        run()
    except GlioLoopError as error:
        structlog.get_logger().error("worker cannot start", **error.as_json())
        sys.exit(DAMAGED_STATUS if error.code == "QUEUE_DAMAGED" else 1)


if __name__ == "__main__":
    main()
