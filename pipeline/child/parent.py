"""What the kernel knows of a process: that it ends with the one that started it, and its name."""

import ctypes
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends; a Ctrl-C is the parent's affair."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def name_process(name: str) -> None:
    """Have lists of processes (``ps -o comm``) show ``glioloop-`` and a name, cut at 15 characters."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"glioloop-{name}".encode())
