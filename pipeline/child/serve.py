"""The inside of a child: one task after the other, until the worker closes the pipe or ends."""

import multiprocessing
import os
import resource
from multiprocessing import forkserver
from multiprocessing.connection import Connection

import structlog

from pipeline.child.parent import end_with_parent, name_process
from pipeline.child.task import STARVED_STATUS, Done, Progress, Task
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import exhausted, memory_lacks, place_of, trace_of
from pipeline.files.logs import configure_logging
from pipeline.settings import load_settings


def serve(pipe: Connection) -> None:
    """Serve until the pipe ends."""
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        if isinstance(task, Task):  # one that is asked to stop may have just ended
            pipe.send(perform(task, pipe))


def perform(task: Task, pipe: Connection) -> Done | GlioLoopError:
    """Do a task; every unforeseen error gets its code, and is logged where it can still be told where it came from."""
    log = structlog.get_logger().bind(job=task.job, stage=task.stage)

    def report(fraction: float) -> None:
        pipe.send(Progress(fraction))
        if pipe.poll():  # one that is at work is sent nothing but that it shall stop
            raise pipe.recv()

    try:
        return Done(task.function(report, *task.arguments))
    except GlioLoopError as error:
        if not memory_lacks():
            return error
        # Whatever it says of the images, it may say for want of memory.
        reason = GlioLoopError("OUT_OF_MEMORY", f"{task.stage}: {error.code}")
    except Exception as error:
        found = exhausted(error, task.stage)
        if found is None:
            # Where, not what: the text of an exception may quote a patient's name.
            log.error("stage failed", where=trace_of(error))
        reason = found or GlioLoopError("INTERNAL", f"{task.stage}: {place_of(error)}")
    return reason


def _limit_memory(gigabytes: float) -> None:
    """Let an allocation beyond the limit fail here, before the kernel looks for a process to kill."""
    if gigabytes:
        most = int(gigabytes * 1024**3)
        # Not RLIMIT_AS: a GPU's driver reserves far more addresses than it uses memory.
        resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _let_the_fork_server_end() -> None:
    """Close what keeps the fork server: it ends with the last process that holds this pipe, which is to be the worker.

    ``multiprocessing`` hands it to every child, and has no word for giving it back. With the fork server the kernel
    ends the child, whatever it is at.
    """
    held = getattr(forkserver, "_forkserver")  # noqa: B009
    os.close(held._forkserver_alive_fd)


def main(pipe: Connection) -> None:
    """Set the process up and serve."""
    end_with_parent()
    _let_the_fork_server_end()
    process = multiprocessing.current_process()
    process.daemon = False  # a fine-tuning has processes of its own
    name_process(process.name)
    settings = load_settings()
    configure_logging(settings)
    _limit_memory(settings.worker_memory_gigabytes)
    try:
        serve(pipe)
    except MemoryError:
        os._exit(STARVED_STATUS)
    except ConnectionError:
        pass  # the worker is gone
