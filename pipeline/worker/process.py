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

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_of
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import trace_of
from pipeline.files.joblog import JobLog
from pipeline.inference.provider import fallback
from pipeline.jobs.deadline import DAMAGED_STATUS
from pipeline.jobs.launch import executor, launch
from pipeline.settings import Settings, load_settings
from pipeline.worker.watchdog import Watchdog, check_database

_PR_SET_PDEATHSIG = 1
_PARENT_CHECK_SECONDS = 1.0
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
    watchdog = Watchdog(settings, executor(), launch(settings)._active_workflows_set.activeList)
    log = structlog.get_logger()
    reason = fallback()
    if reason:
        log.warning("network runs on the processor", reason=reason)
    log.info("worker ready", pid=os.getpid(), audit_head=AuditTrail(database_of(settings)).head())
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


def _place_only(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The same for the lines of our own."""
    error = line.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        line["where"] = trace_of(error)
    return line


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


def main() -> None:
    """Run; a reasoned error is one line of the log, not a traceback."""
    try:
        run()
    except GlioLoopError as error:
        structlog.get_logger().error("worker cannot start", **error.as_json())
        sys.exit(DAMAGED_STATUS if error.code == "QUEUE_DAMAGED" else 1)
