"""What an exception says about the machine: no memory, no disk; and where it came from, without its text."""

import errno
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pipeline.errors import GlioLoopError

_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What ITK, onnxruntime and SQLite say instead of MemoryError and ENOSPC.
_MEMORY_WORDS: Final = (
    "bad_alloc",
    "bad allocation",
    "failed to allocate memory",
    "memory allocation",
    "cannot allocate",
    "can't allocate memory",
    "out of memory",
)
#: Less than this left, and nothing that is left to do can be done.
_LEAST_MEMORY_BYTES: Final = 4 << 20
_DISK_WORDS: Final = ("no space left", "database or disk is full", "disk quota", "file too large")


def memory_lacks() -> bool:
    """Tell whether so little memory is left that nothing can be done."""
    try:
        bytearray(_LEAST_MEMORY_BYTES)
    except MemoryError:
        return True
    return False


def exhausted(error: BaseException, where: str) -> GlioLoopError | None:
    """Tell whether the machine lacked memory or disk.

    Returns
    -------
    GlioLoopError or None
        OUT_OF_MEMORY or DISK_FULL; None where it was something else.
    """
    words = str(error).lower()
    if isinstance(error, MemoryError) or any(one in words for one in _MEMORY_WORDS):
        return GlioLoopError("OUT_OF_MEMORY", f"{where}: {type(error).__name__}")
    if (isinstance(error, OSError) and error.errno in _NO_ROOM) or any(one in words for one in _DISK_WORDS):
        return GlioLoopError("DISK_FULL", f"{where}: {type(error).__name__}")
    # Extension modules lose a MemoryError on its way, and raise anything at all instead.
    return GlioLoopError("OUT_OF_MEMORY", f"{where}: {type(error).__name__}") if memory_lacks() else None


def raise_if_exhausted(error: BaseException, where: str) -> None:
    """Keep a lack of memory or disk from being taken for a fault of the images: that refuses a good study for good.

    Raises
    ------
    GlioLoopError
        OUT_OF_MEMORY or DISK_FULL where the machine lacked them.
    """
    reason = exhausted(error, where)
    if reason is not None:
        raise reason from error


@contextmanager
def coded(where: str) -> Iterator[None]:
    """Give every unforeseen error of a block its code.

    Raises
    ------
    GlioLoopError
        OUT_OF_MEMORY or DISK_FULL where the machine lacked them, DATABASE_AWAY, INTERNAL for all else.
    """
    try:
        yield
    except GlioLoopError:
        raise
    except Exception as error:
        # What SQLAlchemy says of a connection that broke off in the middle.
        code = "DATABASE_AWAY" if getattr(error, "connection_invalidated", False) else "INTERNAL"
        raise (exhausted(error, where) or GlioLoopError(code, f"{where}: {place_of(error)}")) from error


def place_of(error: BaseException) -> str:
    """Return type and place of an exception in one short line, and never its text: that may quote a patient's name.

    The name of an attribute that lacks is told as well, which is the program's or DICOM's, and what the operating
    system says of an error of its own.
    """
    frames = traceback.extract_tb(error.__traceback__)[-2:]
    places = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    known = error.name if isinstance(error, AttributeError) else None
    if isinstance(error, OSError) and error.errno:
        known = os.strerror(error.errno)
    return type(error).__name__ + (f" ({known})" if known else "") + (f" at {places}" if places else "")


def trace_of(error: BaseException) -> str:
    """Return type and place of an exception and of its causes, innermost frames last, and none of its values."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < 5:
        frames = traceback.extract_tb(current.__traceback__)
        places = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-6:])
        parts.append(f"{type(current).__name__} at {places}")
        current = current.__cause__ or current.__context__
    return " from ".join(parts)
