"""The worker process: runs the durable workflows until its parent ends or it is told to stop.

It never imports ``orthanc``; everything it knows of the archive it asks over HTTP.
"""

import logging
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path
from types import FrameType

import structlog
from sqlalchemy.exc import OperationalError

from pipeline.audit import AuditTrail
from pipeline.child.child import import_ahead
from pipeline.child.parent import end_with_parent
from pipeline.database.engine import database_of, require_readable, require_whole
from pipeline.errors import GlioLoopError
from pipeline.files.logs import configure_logging
from pipeline.jobs.launch import executor, launch
from pipeline.jobs.queue import DAMAGED_STATUS, JobQueue
from pipeline.jobs.quiet import put_off
from pipeline.settings import Settings, load_settings
from pipeline.worker.colleagues import Colleagues
from pipeline.worker.desertion import Desertion

_DATABASE_CHECK_SECONDS = 5.0
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
    end_with_parent()
    os.umask(0o077)  # working files hold patients' images
    settings = load_settings()
    configure_logging(settings)
    stop = threading.Event()
    _handle_signals(stop)
    settings.state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    require_whole(settings)
    import_ahead("pipeline.jobs.imports")
    dbos = launch(settings)
    from pipeline.jobs.workflows.children import computing  # noqa: PLC0415

    computing()
    queue = JobQueue(settings.queue_database_url)
    desertion = Desertion(queue, executor(), dbos._active_workflows_set.activeList)
    colleagues = Colleagues(queue, executor(), settings.worker_silence_seconds) if settings.shares_database else None
    log = structlog.get_logger()
    log.info("worker ready", pid=os.getpid(), audit_head=AuditTrail(database_of(settings)).head())
    looked = time.monotonic()
    # The kernel's signal covers a parent that dies; this covers one that died before it was asked for.
    while not stop.wait(_PARENT_CHECK_SECONDS) and os.getppid() == parent:
        _beat()
        if time.monotonic() - looked > _DATABASE_CHECK_SECONDS:
            looked = time.monotonic()
            deserted = _look(settings, queue, desertion)
            if deserted:
                log.error("ended for jobs that nobody is at work on", jobs=sorted(deserted))
                break
            if colleagues is not None and not colleagues.look():
                log.error("ended since others took this worker for vanished")
                break
    if colleagues is not None:
        colleagues.leave()
    log.info("worker ends", pid=os.getpid())


def _look(settings: Settings, queue: JobQueue, desertion: Desertion) -> set[str]:
    try:
        require_readable(settings)
        put_off(queue.client, settings.turns.seconds_to_quiet(datetime.now()))
        return desertion.found()
    except OperationalError as error:  # locked, or no room: it passes
        structlog.get_logger().warning("queue not checked", error=type(error.orig).__name__)
        return set()


def _beat() -> None:
    file = os.environ.get(HEARTBEAT_VARIABLE)
    if file:
        try:
            Path(file).touch()
        except OSError as error:  # a full disk is no reason to be taken for dead
            structlog.get_logger().warning("no sign of life", reason=error.strerror)


def _handle_signals(stop: threading.Event) -> None:
    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)


def main() -> None:
    """Run; a reasoned error is one line of the log, not a traceback."""
    status = 1
    try:
        run()
        status = 0
    except GlioLoopError as error:
        structlog.get_logger().error("worker ends", **error.as_json())
        status = DAMAGED_STATUS if error.code == "QUEUE_DAMAGED" else 1
    finally:
        # Not DBOS.destroy(): that waits for the stage at work, which is recovered at the next start anyway.
        logging.shutdown()
        os._exit(status)
