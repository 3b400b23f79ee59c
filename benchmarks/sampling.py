"""What a node uses while it works: memory and file handles of its processes, and the depth of its queue."""

import csv
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import httpx

from pipeline.jobs.queue import JobQueue
from pipeline.node import OrthancProcess
from tests.patience import descendants

_COUNTS = ("orthanc_files", "worker_files", "waiting")


@dataclass(frozen=True)
class Sample:
    """One look at the node.

    Attributes
    ----------
    seconds
        Since the first sample.
    orthanc_mb, worker_mb
        Resident memory, the worker's with that of its children; 0 where the process was not there.
    orthanc_files, worker_files
        Open file handles, likewise.
    waiting
        Jobs queued or at work, as ``/glioloop/health`` says.
    answer_ms
        How long that answer took.
    """

    seconds: float
    orthanc_mb: float
    orthanc_files: int
    worker_mb: float
    worker_files: int
    waiting: int
    answer_ms: float


def resident_mb(pid: int) -> float:
    """Resident memory of a process, MB; what several share counts for each by its part."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)


def open_files(pid: int) -> int:
    """Open file handles of a process."""
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


class Sampler(threading.Thread):
    """Looks at a node every so often and appends each look to a CSV file.

    Parameters
    ----------
    node
        A running Orthanc with the plugin and its workers.
    file
        The CSV file to write.
    every_seconds
        Time between looks.
    worker
        Which of its workers, from 0.
    """

    def __init__(self, node: OrthancProcess, file: Path, every_seconds: float, worker: int = 0) -> None:
        super().__init__(daemon=True)
        self._node, self._file, self._every, self._worker = node, file, every_seconds, worker
        self._over = threading.Event()
        self.samples: list[Sample] = []
        self.unanswered = 0

    def run(self) -> None:
        """Sample until :meth:`stop`."""
        start = time.monotonic()
        with self._node.client() as client, self._file.open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Sample)])
            writer.writeheader()
            while not self._over.wait(self._every):
                sample = self._look(client, start)
                if sample is not None:
                    self.samples.append(sample)
                    writer.writerow(asdict(sample))
                    file.flush()

    def _look(self, client: httpx.Client, start: float) -> Sample | None:
        asked = time.monotonic()
        try:
            health = client.get("/glioloop/health").json()
        except httpx.HTTPError:
            self.unanswered += 1
            return None
        answer_ms = 1000 * (time.monotonic() - asked)
        pid = health["workers"][self._worker]["pid"]
        worker = [pid, *descendants(pid)] if pid else []
        return Sample(
            round(asked - start, 1),
            round(resident_mb(self._node.pid), 1),
            open_files(self._node.pid),
            round(sum(map(resident_mb, worker)), 1),
            sum(map(open_files, worker)),
            health["waiting"] or 0,
            round(answer_ms, 1),
        )

    def stop(self) -> list[Sample]:
        """Stop; return everything seen."""
        self._over.set()
        self.join(60)
        return self.samples


class Poller(threading.Thread):
    """Asks a node what an open dashboard and a monitoring system ask, for as long as it runs."""

    def __init__(self, node: OrthancProcess, paths: dict[str, float]) -> None:
        super().__init__(daemon=True)
        self._node, self._paths = node, paths
        self._over = threading.Event()
        self.asked = 0
        self.slowest_ms: dict[str, float] = dict.fromkeys(paths, 0.0)
        self.failures: list[str] = []

    def run(self) -> None:
        """Poll until :meth:`stop`."""
        due = dict.fromkeys(self._paths, time.monotonic())
        with self._node.client() as client:
            while not self._over.wait(0.2):
                for path, every in self._paths.items():
                    if time.monotonic() >= due[path]:
                        due[path] = time.monotonic() + every
                        self._ask(client.get, path)

    def _ask(self, get: Callable[[str], httpx.Response], path: str) -> None:
        asked = time.monotonic()
        try:
            get(path).raise_for_status()
        except httpx.HTTPStatusError as error:
            self.failures.append(f"{path}: HTTP {error.response.status_code} {error.response.text[:200]}")
            return
        except httpx.HTTPError as error:
            self.failures.append(f"{path}: {type(error).__name__}")
            return
        self.asked += 1
        self.slowest_ms[path] = max(self.slowest_ms[path], round(1000 * (time.monotonic() - asked), 1))

    def stop(self) -> None:
        """Stop and wait for the last answer."""
        self._over.set()
        self.join(60)


def read_samples(file: Path) -> list[Sample]:
    """Read what a :class:`Sampler` wrote."""
    with file.open(newline="") as rows:
        return [
            Sample(**{name: int(text) if name in _COUNTS else float(text) for name, text in row.items()})
            for row in csv.DictReader(rows)
        ]


def wait_until_empty(node: OrthancProcess, seconds: float) -> bool:
    """Wait until nothing is queued or at work; looks put off until a forced end do not count.

    Returns
    -------
    bool
        False where nothing was begun and nothing ended for so many seconds.
    """
    configuration = node.configuration
    section = json.loads((configuration.folder / "orthanc.json").read_text())["GlioLoop"]
    queue = JobQueue(section["DatabaseUrl"] or f"sqlite:///{configuration.state_folder / 'queue.sqlite'}")
    before, deadline = None, 0.0
    try:
        while any(map(any, left := [(one.waiting, one.running) for one in queue.backlog().values()])):
            if left != before:
                before, deadline = left, time.monotonic() + seconds
            if time.monotonic() > deadline:
                return False
            time.sleep(2)
        return True
    finally:
        queue.close()
