"""Start, wait for, and stop a real Orthanc."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from types import TracebackType

from pipeline.archive.connection import Connection, Unreachable, connect
from pipeline.errors import GlioLoopError
from pipeline.node.configuration import NodeConfiguration
from pipeline.node.installation import orthanc_executable
from pipeline.settings import ROOT

_LOG_TAIL_LINES = 20


class OrthancProcess:
    """One Orthanc as a child of this process; it never outlives the thread that started it.

    The kernel ends it (SIGTERM) when the starting thread is gone, however that came about, so start it
    from a thread that lives as long as Orthanc shall.

    Parameters
    ----------
    configuration
        What :func:`pipeline.node.write_configuration` returned.
    environment
        Variables for Orthanc and its plugin beside this process's own.
    """

    def __init__(self, configuration: NodeConfiguration, environment: Mapping[str, str] | None = None) -> None:
        self.configuration = configuration
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self, timeout_seconds: float = 60) -> "OrthancProcess":
        """Start Orthanc and return once its REST API answers.

        Raises
        ------
        GlioLoopError
            NODE_NOT_STARTED with the end of the log where Orthanc ended or did not answer in time.
        """
        if self.running:
            return self
        # A path set for this process would shadow the modules of the interpreter inside Orthanc.
        inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
        interpreter = os.environ.get("GLIOLOOP_INTERPRETER", str(ROOT / ".venv" / "bin" / "python"))
        with self.configuration.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", str(orthanc_executable()), str(self.configuration.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.configuration.state_folder,
                env={
                    # DCMTK leaves Nagle's algorithm on: each image of a C-STORE then waits 40 ms for an ACK.
                    "TCP_NODELAY": "1",
                    **inherited,
                    "GLIOLOOP_ROOT": str(ROOT),
                    "GLIOLOOP_INTERPRETER": interpreter,
                    **self.configuration.environment,
                    **self._environment,
                },
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops things in order
            )
        try:
            self._wait_until_ready(timeout_seconds)
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of the Orthanc that was started last."""
        if self._process is None:
            raise GlioLoopError("NODE_NOT_STARTED", "it was not started yet")
        return self._process.pid

    @property
    def url(self) -> str:
        """Root of its REST API."""
        return self.configuration.url

    def client(self, timeout_seconds: float = 30) -> Connection:
        """Return an HTTP client with this Orthanc as its base and its credentials."""
        return connect(self.url, self.configuration.user, self.configuration.password, timeout_seconds)

    def stop(self, grace_seconds: float = 60) -> int | None:
        """End Orthanc with SIGTERM, with SIGKILL after the grace time; return its exit status."""
        if self._process is None:
            return None
        self.terminate()
        try:
            self._process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._process.returncode

    def terminate(self) -> None:
        """Ask Orthanc to end, without waiting: several can then end at the same time."""
        if self._process is not None and self.running:
            self._process.terminate()

    def kill(self) -> None:
        """End Orthanc as a power cut would: SIGKILL, nothing is written any more."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Wait for its end; return the exit status, None where it still runs after the time-out."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return None

    def __enter__(self) -> "OrthancProcess":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        with self.client(timeout_seconds=5) as client:
            while time.monotonic() < deadline:
                if not self.running:
                    raise GlioLoopError("NODE_NOT_STARTED", f"Orthanc ended at once; its log says: {self._log_tail()}")
                try:
                    answer = client.get("/system")
                except Unreachable:
                    answer = None
                if answer is not None and answer.status_code == HTTPStatus.OK:
                    if answer.json().get("DicomAet") == self.configuration.aet and self._catches_sigterm():
                        return
                elif answer is not None and answer.status_code == HTTPStatus.UNAUTHORIZED:
                    raise GlioLoopError("NODE_NOT_STARTED", f"another server already answers at {self.url}")
                time.sleep(0.05)
        raise GlioLoopError("NODE_NOT_STARTED", f"no answer after {timeout_seconds:g} s; log: {self._log_tail()}")

    def _catches_sigterm(self) -> bool:
        """Return whether Orthanc's handler is in place: its REST API answers before, when SIGTERM still cuts it off."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def _log_tail(self) -> str:
        """Return what the log of this start ends with, from its first error on; a traceback follows its headline."""
        lines = self.configuration.log.read_bytes()[self._log_start :].decode(errors="replace").splitlines()
        first = next((number for number, line in enumerate(lines) if line.startswith("E")), -_LOG_TAIL_LINES)
        return "\n".join(lines[first:][:_LOG_TAIL_LINES])
