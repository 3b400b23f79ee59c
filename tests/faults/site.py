"""A node and a workstation under faults: real Orthancs, a real worker, and what must be true after every cell.

One class is all that the cells see of it, which is why this file is long.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.errors import REASONS
from pipeline.jobs.queue import JobQueue
from pipeline.node import LOOPBACK, OrthancProcess, write_pair
from pipeline.settings import ROOT
from tests.faults import network
from tests.faults.gates import FOLDER_VARIABLE, Gates, interpreter
from tests.faults.prober import Prober
from tests.orthanc.conftest import GRACE, STABLE_AGE, Pair, send
from tests.patience import PATIENCE, descendants, wait_for

ENDED: Final = ("done", "failed", "refused", "cancelled")
#: Plugin 4.0 answers nothing while Python inside Orthanc holds the lock; a machine busy on every core adds to that.
SLOWEST_ANSWER_SECONDS: Final = 10.0
MODEL: Final = f"{network.NAME}@1.0.0"
_SIGHT_SECONDS: Final = 120.0
_MOST_RESTARTS: Final = 2


@dataclass(frozen=True)
class Layout:
    """Where the parts of a site lie, so that a fault can fill or damage one of them alone."""

    root: Path

    @property
    def state(self) -> Path:
        """The node's state folder."""
        return self.root / "node"

    @property
    def archive(self) -> Path:
        """Orthanc's storage and index, on a disk of their own as in a hospital."""
        return self.root / "archive"

    @property
    def models(self) -> Path:
        """The registry of shipped networks."""
        return self.root / "models"

    @property
    def gates(self) -> Path:
        """The gates' files."""
        return self.root / "gates"


@dataclass
class Site:
    """A running node and workstation; start it with ``with``."""

    layout: Layout
    study_files: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    #: The worker is not Orthanc's child: on a host or in a container of its own.
    separate_worker: bool = False
    study: str = ""
    pair: Pair = field(init=False)
    prober: Prober = field(init=False)
    gates: Gates = field(init=False)
    _client: httpx.Client = field(init=False)
    _stack: contextlib.ExitStack = field(init=False, default_factory=contextlib.ExitStack)
    _worker: "subprocess.Popen[bytes] | None" = field(init=False, default=None)

    def __enter__(self) -> "Site":
        self.layout.gates.mkdir(parents=True, exist_ok=True)
        self.gates = Gates(self.layout.gates)
        if not self.layout.models.exists():
            network.install(self.layout.models, "1.0.0", network.small())
            network.install(self.layout.models, "0.0.1", network.endless())
        self.pair = self._make_pair()
        node = self.pair.node.configuration
        self._client = httpx.Client(
            base_url=node.url,
            auth=(node.user, node.password),
            timeout=30,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),  # Orthanc is restarted under it
        )
        self.prober = Prober(self.pair)
        with contextlib.ExitStack() as starting:
            for orthanc in (self.pair.workstation, self.pair.node):
                orthanc.start(60 * PATIENCE)
                starting.callback(orthanc.stop)
            if self.separate_worker:
                self.start_worker()
                starting.callback(self.stop_worker)
            self.pair.wait_ready(_SIGHT_SECONDS)
            self.send_study()
            starting.enter_context(self.prober)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.gates.open_all()
        self.prober.stop()
        for orthanc in (self.pair.node, self.pair.workstation):
            orthanc.kill()  # nothing of it is needed any more
        self._stack.close()
        self._client.close()

    @property
    def tired(self) -> bool:
        """Whether the supervisor has started workers so often that it waits long before the next."""
        return any(one["restarts"] > _MOST_RESTARTS for one in self.health()["workers"])

    def _make_pair(self) -> Pair:
        configuration = write_pair(
            self.layout.root,
            settings={
                "Automatic": False,
                "GraceSeconds": GRACE,
                "ForwardRetrySeconds": [1, 1, 2, 4, 8],
                "Objects": ["rtstruct", "sr"],
                "ModelsFolder": str(self.layout.models),
                "Model": MODEL,
                **({"Workers": 0} if self.separate_worker else {}),
                **self.settings,
            },
            overrides={
                "StableAge": STABLE_AGE,
                "StorageDirectory": str(self.layout.archive),
                "IndexDirectory": str(self.layout.archive),
            },
        )
        self.layout.archive.mkdir(exist_ok=True)
        environment = self._environment()
        return Pair(OrthancProcess(configuration.node, environment), OrthancProcess(configuration.workstation))

    def _environment(self) -> dict[str, str]:
        wrapper = self.layout.root / "interpreter" / "bin" / "python"
        if not wrapper.exists():
            interpreter(wrapper.parent.parent, ROOT / ".venv" / "bin" / "python")
        return {
            "GLIOLOOP_INTERPRETER": str(wrapper),
            FOLDER_VARIABLE: str(self.layout.gates),
            **self.environment,
        }

    # --- the worker ---

    def start_worker(self) -> None:
        """Start the worker that is not Orthanc's child."""
        node = self.pair.node.configuration
        environment = {
            **os.environ,
            **self._environment(),
            **node.environment,
            "GLIOLOOP_ORTHANC_URL": node.url,
            "GLIOLOOP_ORTHANC_USER": node.user,
            "GLIOLOOP_ORTHANC_PASSWORD": node.password,
        }
        with (self.layout.root / "worker.log").open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.gates"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def stop_worker(self) -> None:
        """End it."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait(30)

    def worker_pid(self) -> int:
        """Process id of the worker, once it runs."""
        if self._worker is not None:
            return self._worker.pid
        found: list[int] = []

        def there() -> bool:
            found[:] = [one["pid"] for one in self.health()["workers"] if one["pid"]]
            return bool(found)

        wait_for(there, _SIGHT_SECONDS, "a worker")
        return found[0]

    def learner_pid(self) -> int:
        """Process id of the learning process, a descendant of the worker."""
        found: list[int] = []

        def there() -> bool:
            found[:] = [pid for pid in descendants(self.worker_pid()) if _learns(pid)]
            return bool(found)

        wait_for(there, _SIGHT_SECONDS, "the learning process")
        return found[0]

    def kill_worker(self) -> None:
        """End the worker as the kernel's out-of-memory killer would."""
        pid = self.worker_pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not _runs(pid), 30, "the worker's death")

    # --- the archive ---

    def send_study(self) -> None:
        """Send the study; one that is there already stays as it is."""
        uid = send(self.pair, self.study_files)
        with self.pair.node.client() as client:
            self.study = client.post("/tools/lookup", content=uid).json()[0]["ID"]

    def delete_study(self) -> None:
        """Delete it, and with it every result that lies in it."""
        with self.pair.node.client() as client:
            client.delete(f"/studies/{self.study}").raise_for_status()

    def power_cut(self) -> None:
        """Kill -9 of everything of the node at once; it stays down."""
        pid = self.worker_pid()
        self.pair.node.kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not _runs(pid), 30, "the worker's death")

    def send_to(self, port: int) -> None:
        """Have the node send its results to another port of this machine."""
        with self.pair.node.client() as client:
            modality = {"AET": "WORKSTATION", "Host": LOOPBACK, "Port": port}
            client.put("/modalities/workstation", json=modality).raise_for_status()

    # --- jobs ---

    def queue(self) -> JobQueue:
        """The queue's database, without Orthanc in between."""
        return JobQueue(f"sqlite:///{self.layout.state / 'queue.sqlite'}")

    def process(self, **options: object) -> str:
        """Ask for a job that is not there yet; return its id."""
        answer = self.pair.post(f"/glioloop/studies/{self.study}/process", {"force": True, **options})
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        return str(answer.json()["id"])

    def retry(self, job: str) -> None:
        """Have an ended job tried again."""
        answer = self.pair.post(f"/glioloop/jobs/{job}/retry")
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text

    def ask(self, path: str) -> Any:
        """The node's answer, well or not; by one client, since a campaign asks thousands of times."""
        return self._client.get(path).json()

    def health(self) -> dict[str, Any]:
        """What the node says of itself, well or not."""
        return dict(self.ask("/glioloop/health"))

    def wait_at(self, stage: str, moment: str) -> None:
        """Wait until a worker stands at a gate."""
        wait_for(lambda: self.gates.waits(stage, moment), _SIGHT_SECONDS, f"the worker at {stage}-{moment}")

    def job(self, identity: str) -> dict[str, Any]:
        """One job, as REST shows it."""
        return dict(self.ask(f"/glioloop/jobs/{identity}"))

    def wait_end(self, identity: str, seconds: float = 180) -> dict[str, Any]:
        """Wait until a job has ended."""
        found: dict[str, Any] = {}

        def ended() -> bool:
            found.clear()
            found.update(self.job(identity))
            return found["state"] in ENDED

        try:
            wait_for(ended, seconds, "the end of the job")
        except pytest.fail.Exception as error:
            raise AssertionError(f"{error}; last seen: {json.dumps(found)}") from None
        return found

    # --- what must be true ---

    def check(self, job: dict[str, Any], node_lost_it: bool = False) -> None:
        """Check a cell that has ended.

        Parameters
        ----------
        job
            The job as it ended.
        node_lost_it
            Whether the fault was to delete the study, with the result.
        """
        made = self._made()
        here, there = structure_sets(self.pair.node), structure_sets(self.pair.workstation)
        assert here <= set(made), f"structure sets of no job: {here - set(made)}"
        assert there <= set(made), f"structure sets of no job at the workstation: {there - set(made)}"
        assert max(made.values(), default=1) == 1, "two jobs made the same structure set"
        if job["state"] == "done":
            uid = job["result"]["rtstruct"]["sop_instance_uid"]
            assert node_lost_it or uid in here, "the result is not in the archive"
            assert uid in there, "the result is not at the workstation"
        else:
            assert job["error"]["code"] in REASONS
            assert job["error"]["code"] != "INTERNAL", job["error"]
        self._check_trail(job)
        self.check_answers()

    def check_answers(self) -> None:
        """Orthanc answered throughout."""
        assert not self.prober.failures, f"Orthanc did not answer: {self.prober.failures}"
        assert self.prober.slowest < SLOWEST_ANSWER_SECONDS * PATIENCE, (
            f"Orthanc took {self.prober.slowest:.1f} s to answer"
        )

    def _made(self) -> Counter[str]:
        results = [job["result"] for job in self.pair.get("/glioloop/jobs?limit=2000") if job["result"]]
        return Counter(one["rtstruct"]["sop_instance_uid"] for one in results if one.get("rtstruct"))

    def _check_trail(self, job: dict[str, Any]) -> None:
        trail = AuditTrail(database_in(self.layout.state))
        assert trail.verify() == []
        events = Counter(one.event for one in trail.entries() if one.subject == job["id"])
        events.pop("ended", None)  # once for each stated failure
        assert max(events.values(), default=1) == 1, f"written twice in the audit trail: {events}"
        if job["state"] == "done":
            assert {"decided", "segmented", "stored", "forwarded"} <= set(events), events


def tries(site: Site) -> int:
    """How often the latest job's result was sent in vain."""
    (job,) = site.pair.get("/glioloop/jobs?limit=1")
    delivery = job["deliveries"].get("workstation", {})
    return int(delivery.get("attempts", 0)) - (delivery.get("state") == "running")


def structure_sets(orthanc: OrthancProcess) -> set[str]:
    """SOP Instance UIDs of the structure sets on an Orthanc, none of them twice."""
    with orthanc.client() as client:
        query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT"}, "Expand": True}
        found = client.post("/tools/find", json=query).raise_for_status().json()
    uids = [str(one["MainDicomTags"]["SOPInstanceUID"]) for one in found]
    assert len(uids) == len(set(uids)), "the same structure set twice"
    return set(uids)


def forget_queue(state: Path) -> None:
    """The documented repair of a damaged queue (docs/faults.md): move it aside."""
    aside = state / f"damaged-{time.time_ns()}"
    aside.mkdir()
    for path in state.glob("queue.sqlite*"):
        shutil.move(path, aside)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _learns(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "glioloop-learn\n"
    except OSError:
        return False
