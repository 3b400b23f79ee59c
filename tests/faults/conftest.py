"""The fault campaign: real processes, real signals, real disks; every cell ends in a line of a table.

A cell is a fault at a stage. It passes where the study ended in exactly one result or one stated reason,
no structure set was made or sent twice, and Orthanc answered all the time that it was meant to run.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from pipeline.jobs import JobQueue
from pipeline.node import OrthancProcess
from pipeline.settings import ROOT
from tests.faults import network
from tests.orthanc.conftest import Pair, make_pair, send, wait_for

ENDED = ("done", "failed", "refused", "cancelled")
#: Plugin 4.0 answers nothing while Python inside Orthanc holds the lock; a machine busy on every core adds to that.
SLOWEST_ANSWER_SECONDS = 5.0


@dataclass
class Row:
    """A cell of the table."""

    fault: str
    stage: str
    outcome: str
    attempts: int | str = ""


class Table:
    """What the campaign found, kept in docs/faults.md between two marks."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def write(self, page: Path) -> None:
        """Replace the rows of the cells that were run; those of others stay."""
        begin, end = "<!-- campaign -->\n", "<!-- /campaign -->"
        head, _, rest = page.read_text().partition(begin)
        old, _, tail = rest.partition(end)
        cells = {tuple(line.split(" | ")[:2]): line for line in old.splitlines()[2:] if line.startswith("| ")}
        for row in self.rows:
            line = f"| {row.fault} | {row.stage} | {row.outcome} | {row.attempts} |"
            cells[tuple(line.split(" | ")[:2])] = line
        lines = ["| fault | at stage | what happened | tries |", "| --- | --- | --- | --- |", *sorted(cells.values())]
        page.write_text(head + begin + "\n".join(lines) + "\n" + end + tail)


_TABLE = Table()


def pytest_sessionfinish() -> None:
    """Write the table where a whole campaign was asked for."""
    if _TABLE.rows and os.environ.get("GLIOLOOP_FAULT_TABLE"):
        _TABLE.write(ROOT / "docs" / "faults.md")


class Prober:
    """Asks Orthanc for its name, over and over, and remembers when it did not answer in time."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._stop = threading.Event()
        self._meant_to_run = threading.Event()
        self._meant_to_run.set()
        self.failures: list[str] = []
        self.slowest = 0.0
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """For as long as Orthanc itself is what is broken."""
        self._meant_to_run.clear()
        time.sleep(0.3)
        try:
            yield
        finally:
            self._meant_to_run.set()

    def _ask(self) -> None:
        with self._pair.node.client(timeout_seconds=20) as client:
            while not self._stop.wait(0.25):
                if not self._meant_to_run.is_set():
                    continue
                start = time.monotonic()
                try:
                    client.get("/system").raise_for_status()
                except httpx.HTTPError as error:
                    if self._meant_to_run.is_set():
                        self.failures.append(type(error).__name__)
                else:
                    self.slowest = max(self.slowest, time.monotonic() - start)


@dataclass
class Site:
    """A node and a workstation under faults."""

    pair: Pair
    models: Path
    study: str = ""
    prober: Prober = field(init=False)

    def __post_init__(self) -> None:
        self.prober = Prober(self.pair)

    def queue(self) -> JobQueue:
        """The queue's database, without Orthanc in between."""
        return JobQueue(f"sqlite:///{self.pair.node.configuration.state_folder / 'queue.sqlite'}")

    def process(self, **options: object) -> str:
        """Ask for a job that is not there yet; return its id."""
        answer = self.pair.post(f"/glioloop/studies/{self.study}/process", {"force": True, **options})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def at_stage(self, stage: str, act: Callable[[], object], **options: object) -> str:
        """Do something the moment that a new job is at a stage; return the job's id.

        A stage can be over before it is seen: then another job is started.
        """
        queue = self.queue()
        try:
            for _ in range(5):
                job = self.process(**options)
                deadline = time.monotonic() + 180
                while time.monotonic() < deadline:
                    view = queue.job(job) or {}
                    if view.get("stage") == stage and view.get("state") == "running":
                        act()
                        return job
                    if view.get("state") in ENDED:
                        break
                    time.sleep(0.003)
        finally:
            queue.close()
        pytest.fail(f"stage {stage} was never seen")

    def worker_pid(self) -> int:
        """Process id of the worker, once it runs."""
        found: list[int] = []

        def there() -> bool:
            found[:] = [one["pid"] for one in self.health()["workers"] if one["pid"]]
            return bool(found)

        wait_for(there, 120, "a worker")
        return found[0]

    def health(self) -> dict[str, Any]:
        """What the node says of itself, well or not."""
        with self.pair.node.client() as client:
            return dict(client.get("/glioloop/health").json())

    def signal_worker(self, number: signal.Signals) -> None:
        """Send a signal to the worker."""
        os.kill(self.worker_pid(), number)

    def wait_end(self, job: str, seconds: float = 240) -> dict[str, Any]:
        """Wait until a job has ended."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.clear()
            found.update(self.pair.get(f"/glioloop/jobs/{job}"))
            return found["state"] in ENDED

        wait_for(ended, seconds, f"the end of the job; last seen: {found}")
        return found

    def check(self, workstation: bool = True) -> None:
        """No structure set twice or by nobody, here and at the workstation; Orthanc answered."""
        results = [job["result"] for job in self.pair.get("/glioloop/jobs?limit=500") if job["result"]]
        made = sorted(one["rtstruct"]["sop_instance_uid"] for one in results if one.get("rtstruct"))
        assert _structure_sets(self.pair.node) == made
        if workstation:
            assert _structure_sets(self.pair.workstation) == made
        assert not self.prober.failures
        assert self.prober.slowest < SLOWEST_ANSWER_SECONDS

    def restart_orthanc(self) -> None:
        """Kill -9 of Orthanc, which takes the worker along, and a new start."""
        with self.prober.pause():
            self.pair.node.kill()
            self.pair.node.start()


def _structure_sets(orthanc: OrthancProcess) -> list[str]:
    with orthanc.client() as client:
        query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT"}, "Expand": True}
        found = client.post("/tools/find", json=query).raise_for_status().json()
    return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in found)


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory, sample_study: Path) -> Path:
    """The sample study with every third pixel: seconds instead of half a minute a job."""
    target = tmp_path_factory.mktemp("small")
    for path in sorted(sample_study.glob("*/*.dcm")):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array[::3, ::3].copy()
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing = [3 * float(one) for one in dataset.PixelSpacing]
        (target / path.parent.name).mkdir(exist_ok=True)
        dataset.save_as(target / path.parent.name / path.name, enforce_file_format=True)
    return target


MakeSite = Callable[..., Site]


@pytest.fixture
def make_site(tmp_path: Path, small_study: Path) -> Iterator[MakeSite]:
    """Start sites with settings of one's own; they end with the test."""
    with contextlib.ExitStack() as stack:

        def make(
            state: Path | None = None, prepare: Callable[[Pair], object] | None = None, **settings: object
        ) -> Site:
            models = tmp_path / "models"
            if not models.exists():
                network.install(models, "1.0.0", network.small())
                network.install(models, "0.0.1", network.endless())
            folder = state or tmp_path / "site"
            pair = make_pair(
                folder,
                **{"Automatic": False, "ModelsFolder": str(models), "Model": "bright@1.0.0", **settings},
            )
            if prepare is not None:
                prepare(pair)
            site = Site(pair, models)
            stack.enter_context(pair.workstation)
            stack.enter_context(pair.node)
            pair.wait_ready(120)
            uid = send(pair, small_study)
            with pair.node.client() as client:
                site.study = client.post("/tools/lookup", content=uid).json()[0]["ID"]
            stack.enter_context(site.prober)
            return site

        yield make


Record = Callable[..., None]


@pytest.fixture
def record() -> Record:
    """Put a cell into the table, and show it."""

    def add(fault: str, stage: str, outcome: str, attempts: int | str = "") -> None:
        _TABLE.rows.append(Row(fault, stage, outcome, attempts))
        print(f"| {fault} | {stage} | {outcome} | {attempts} |")

    return add


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, small, mounted at a folder; skips where mounting is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={megabytes}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small disk needs root: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left on a disk; return the file to remove."""
    path = folder / "filler"
    with path.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
            file.flush()
    return path
