"""The node as a foreground process, for a terminal or a service supervisor."""

import fcntl
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pipeline.errors import GlioLoopError
from pipeline.node.configuration import state_folder_of, write_configuration
from pipeline.node.process import OrthancProcess

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_interrupted(
    base: Path,
    http_port: int | None,
    dicom_port: int | None,
    announce: Callable[[dict[str, object]], None],
) -> None:
    """Run the processing node until SIGINT, SIGTERM or SIGHUP.

    Parameters
    ----------
    base
        Orthanc configuration to start from.
    http_port, dicom_port
        None takes those of ``base``.
    announce
        Called once the node answers, with where it listens and where its files are.

    Raises
    ------
    GlioLoopError
        NODE_NOT_STARTED where it cannot start, where the state folder is in use, and where Orthanc ended
        by itself; CONFIGURATION_INVALID for a wrong file or key.
    """
    state_folder = state_folder_of(base)
    state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    previous = {number: signal.signal(number, end) for number in _ENDING_SIGNALS}
    try:
        with only_one(state_folder):
            configuration = write_configuration(state_folder, base=base, http_port=http_port, dicom_port=dicom_port)
            with OrthancProcess(configuration) as node:
                announce(
                    {
                        "url": node.url,
                        "user": configuration.user,
                        "credentials_file": str(configuration.credentials_file),
                        "dicom": f"{configuration.aet} on port {configuration.dicom_port}",
                        "state_folder": str(state_folder),
                        "log": str(configuration.log),
                    }
                )
                while node.running and not ended.wait(0.5):
                    pass
                if not ended.is_set():
                    raise GlioLoopError("NODE_NOT_STARTED", f"Orthanc ended by itself; see {configuration.log}")
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def only_one(state_folder: Path) -> Iterator[None]:
    """Hold the state folder: two archives on one index would damage it."""
    with (state_folder / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise GlioLoopError("NODE_NOT_STARTED", f"another node runs on {state_folder}") from None
        yield
