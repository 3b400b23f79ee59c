"""What the children of the tests do."""

import ctypes
import os
import resource
import signal
import time
from pathlib import Path

from pipeline.child.task import Report, StopAskedError
from pipeline.errors import GlioLoopError


def nothing(_report: Report) -> None:
    pass


def pid(report: Report) -> int:
    report(0.5)
    return os.getpid()


def parent(_report: Report) -> int:
    return os.getppid()


def hang(_report: Report) -> None:
    time.sleep(3600)


def report_until_asked(report: Report) -> str:
    try:
        while True:
            report(0.0)
            time.sleep(0.01)
    except StopAskedError:
        return "stopped"


def refuse(_report: Report) -> None:
    raise GlioLoopError("NOT_A_VOLUME", "two slices", {"slices": 2})


def stumble(_report: Report) -> None:
    raise ValueError("ZYXWHOLM 19500102")


def die(_report: Report, number: int) -> None:
    os.kill(os.getpid(), number)


def leave(_report: Report, status: int) -> None:
    os._exit(status)


def _starve() -> None:
    status = Path("/proc/self/status").read_text().splitlines()
    used = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + (1 << 20),) * 2)


def take_memory(_report: Report) -> None:
    _starve()
    bytearray(64 << 20)


def refuse_for_want_of_memory(_report: Report) -> None:
    """As a reader of images does that takes what it cannot read for damaged."""
    _starve()
    raise GlioLoopError("FILE_UNREADABLE")


def end_in_the_library(_report: Report) -> None:
    """As a library does that finds no memory and no way to tell."""
    ctypes.CDLL(None).abort()


def ignore_the_end(_report: Report) -> int:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return os.getpid()
