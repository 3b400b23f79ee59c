"""Real Orthancs for tests: a node with the plugin and its worker, a workstation that receives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.uid import generate_uid

from pipeline.jobs.changes import read_cursor
from pipeline.jobs.queue import JobQueue
from pipeline.node import LOOPBACK, SCANNER, Modality, NodeConfiguration, OrthancProcess, write_pair
from pipeline.node.demo.sender import send_study, study_in_folder
from tests.patience import FairClock, wait_for

STABLE_AGE = 2
#: Long enough for a sender that a busy machine holds up, and for the archive to tell of the pause.
GRACE = 8
#: Seconds in which a node surely looks at a study that has become stable.
LOOK = 3


@dataclass
class Pair:
    """A processing node and a workstation that know each other."""

    node: OrthancProcess
    workstation: OrthancProcess

    def get(self, path: str) -> Any:
        """GET from the node; fails the test where that fails."""
        with self.node.client() as client:
            return client.get(path).raise_for_status().json()

    def post(self, path: str, body: object | None = None) -> httpx.Response:
        """POST to the node; the caller looks at the status."""
        with self.node.client() as client:
            return client.post(path, json=body or {})

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until the worker has made its tables and runs."""
        wait_for(self._healthy, seconds, "the worker")

    def _healthy(self) -> bool:
        # A connection for each look: on a busy machine Orthanc ends one that is kept just as it is used again.
        with self.node.client() as client:
            return client.get("/glioloop/health").status_code == httpx.codes.OK

    def wait_job(self, *states: str, study: str | None = None, seconds: float = 240) -> dict[str, Any]:
        """Wait until the latest job (of a study) is in one of these states.

        A refusal counts once the study had time to be looked at again: a busy machine may hold the sender up for longer
        than the stable age, and what is refused then is half a study.
        """
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = self.get("/glioloop/jobs" + (f"?study={study}" if study else ""))
            return bool(found) and found[0]["state"] in states

        wait_for(there, seconds, lambda: f"a job in {states}; last seen: {found[:1]}")
        if found[0]["state"] == "refused":
            self.settle()
            wait_for(there, seconds, lambda: f"a job in {states}; last seen: {found[:1]}")
        return found[0]

    def cursor(self) -> int | None:
        """How far the node has followed Orthanc's log of changes; None before its first start."""
        return cursor_of(self.node.configuration)

    def settle(self) -> None:
        """Wait until what arrived is stable, and the node had time to look at it and to begin what follows."""
        wait_for(lambda: all(one["IsStable"] for one in self.get("/studies?expand")), 60, "the stable age")
        clock = FairClock()
        wait_for(lambda: clock.read() > LOOK, 60, "a look at what is stable")

    def workstation_structure_sets(self) -> list[str]:
        """Orthanc ids of the structure sets that arrived at the workstation."""
        with self.workstation.client() as client:
            query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT"}}
            return list(client.post("/tools/find", json=query).raise_for_status().json())

    def node_structure_sets(self) -> list[str]:
        """Orthanc ids of the structure sets on the node."""
        with self.node.client() as client:
            query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT"}}
            return list(client.post("/tools/find", json=query).raise_for_status().json())


def cursor_of(node: NodeConfiguration) -> int | None:
    """How far a node whose tables are there has followed Orthanc's log of changes; None before its first start."""
    queue = JobQueue(f"sqlite:///{node.state_folder / 'queue.sqlite'}")
    try:
        return read_cursor(queue.engine)
    finally:
        queue.close()


def make_pair(
    folder: Path,
    *,
    stable_age: int = STABLE_AGE,
    modalities: Mapping[str, Modality] | None = None,
    viewer: Path | None = None,
    **settings: object,
) -> Pair:
    """Configure a node and a workstation on free ports of the loopback interface; nothing runs yet."""
    configuration = write_pair(
        folder,
        settings={"GraceSeconds": GRACE, "ForwardRetrySeconds": [1, 2, 4], **settings},
        overrides={"StableAge": stable_age},
        modalities=modalities,
        viewer=viewer,
    )
    return Pair(OrthancProcess(configuration.node), OrthancProcess(configuration.workstation))


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A running node and workstation of this test's own."""
    both = make_pair(tmp_path)
    with both.workstation, both.node:
        both.wait_ready()
        yield both


@pytest.fixture(scope="module")
def shared_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A running node and workstation that the tests of one module share."""
    both = make_pair(tmp_path_factory.mktemp("pair"))
    with both.workstation, both.node:
        both.wait_ready()
        yield both


def send(pair: Pair, folder: Path) -> str:
    """Send the study in a folder to the node by C-STORE; return its StudyInstanceUID."""
    files = study_in_folder(folder)
    node = pair.node.configuration
    send_study(files, LOOPBACK, node.dicom_port, calling_aet=SCANNER, called_aet=node.aet)
    return files[0].study_instance_uid


def copy_study(source: Path, target: Path, *series: str) -> Path:
    """Copy some series (folders) of a study under new UIDs of study, series and instances."""
    study_uid = generate_uid()
    for name in series:
        series_uid = generate_uid()
        (target / name).mkdir(parents=True)
        for path in sorted((source / name).iterdir()):
            dataset = pydicom.dcmread(path)
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.save_as(target / name / path.name)
    return target
