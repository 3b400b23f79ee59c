"""Keeps the worker processes alive: started, restarted with back-off when they die, ended with Orthanc."""

import os
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orthanc

_FIRST_WAIT: Final = 1.0
_LONGEST_WAIT: Final = 60.0
#: A worker that lived this long was well: its next death starts the back-off anew.
_WELL_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 5.0
_EXECUTOR_VARIABLE: Final = "GLIOLOOP_EXECUTOR"
_PARENT_VARIABLE: Final = "GLIOLOOP_PARENT"
_HEARTBEAT_VARIABLE: Final = "GLIOLOOP_HEARTBEAT"
_LOOK_SECONDS: Final = 1.0
#: Imports and a first look at the database, on a slow and busy machine.
_STARTING_SECONDS: Final = 300.0


@dataclass
class WorkerState:
    """One worker as health shows it."""

    pid: int | None = None
    restarts: int = 0
    last_exit: int | None = None
    waiting_seconds: float = 0.0


class Supervisor:
    """Runs the workers, one thread each.

    Parameters
    ----------
    command
        What a worker is started with. Never ``sys.executable``: inside Orthanc that is Orthanc.
    environment
        Added to this process's environment.
    folder
        Working folder of the workers.
    log
        File their output is appended to.
    count
        Number of workers.
    silence_seconds
        A worker that gave signs of life and gives none for so long is killed.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        count: int,
        silence_seconds: float,
    ) -> None:
        self._command = command
        self._environment = dict(environment)
        self._folder = folder
        self._log = log
        self._silence_seconds = silence_seconds
        self._stop = threading.Event()
        self.workers = [WorkerState() for _ in range(count)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count
        # The kernel ends a worker when the thread that started it ends, so each thread stays.
        self._threads = [
            threading.Thread(target=self._keep, args=(number,), name=f"glioloop-worker-{number}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Start every worker."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End every worker; one that does not end by itself in time is killed."""
        self._stop.set()
        for process in self._processes:
            if process is not None and process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._processes:
            if process is None:
                continue
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    @property
    def alive(self) -> int:
        """Number of workers that run."""
        return sum(state.pid is not None for state in self.workers)

    def _keep(self, number: int) -> None:
        state = self.workers[number]
        wait = _FIRST_WAIT
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                process = self._spawn(number)
            except OSError as error:
                # No memory, no room for the log, no interpreter just now: the next try may find it.
                orthanc.LogError(f"GlioLoop: worker {number} cannot be started: {error.strerror}")
                self._stop.wait(wait := min(wait * 2, _LONGEST_WAIT))
                continue
            self._processes[number] = process
            state.pid, state.waiting_seconds = process.pid, 0.0
            state.last_exit = self._wait(number, process)
            state.pid = None
            if self._stop.is_set():
                return
            wait = _FIRST_WAIT if time.monotonic() - started > _WELL_SECONDS else min(wait * 2, _LONGEST_WAIT)
            state.restarts += 1
            state.waiting_seconds = wait
            orthanc.LogWarning(f"GlioLoop: worker {number} ended with {state.last_exit}; again in {wait:.0f} s")
            self._stop.wait(wait)

    def _wait(self, number: int, process: "subprocess.Popen[bytes]") -> int:
        """Wait for a worker's end; end it where it gives no sign of life any more."""
        heartbeat = self._heartbeat(number)
        seen, last = None, time.monotonic()
        while True:
            try:
                return process.wait(_LOOK_SECONDS)
            except subprocess.TimeoutExpired:
                pass
            # That the time changes is the sign, not what it says: the clock may jump.
            mark = heartbeat.stat().st_mtime_ns if heartbeat.exists() else None
            now = time.monotonic()
            if mark != seen:
                seen, last = mark, now
            elif now - last > (self._silence_seconds if seen else _STARTING_SECONDS):
                orthanc.LogError(f"GlioLoop: worker {number} hangs; killed")
                process.kill()

    def _heartbeat(self, number: int) -> Path:
        return self._log.with_name(f"worker-{number}.alive")

    def _spawn(self, number: int) -> subprocess.Popen[bytes]:
        heartbeat = self._heartbeat(number)
        heartbeat.unlink(missing_ok=True)
        environment = os.environ | self._environment
        environment |= {
            _EXECUTOR_VARIABLE: f"worker-{number}",
            _PARENT_VARIABLE: str(os.getpid()),
            _HEARTBEAT_VARIABLE: str(heartbeat),
        }
        # Readable by the owner only: what libraries say there is not in our hand.
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            return subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                close_fds=True,
            )
