"""A study is begun before it is stable, and nothing of half a study is told: on real Orthancs."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pipeline.node import LOOPBACK, SCANNER
from pipeline.node.demo.loop import Loop
from pipeline.node.demo.sender import StudyFile, send_study, study_in_folder
from tests.faults import network
from tests.orthanc.conftest import Pair, copy_study, make_pair
from tests.patience import wait_for

READY = 2
STABLE_AGE = 15
SERIES = ("t1", "t1c", "t2", "flair")


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("early")
    network.install(folder / "models", "1.0.0", network.small())
    pair = make_pair(
        folder,
        stable_age=STABLE_AGE,
        ModelsFolder=str(folder / "models"),
        Model=f"{network.NAME}@1.0.0",
        ReadyAfterSeconds=READY,
    )
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield pair


def _send(pair: Pair, files: list[StudyFile]) -> str:
    node = pair.node.configuration
    send_study(files, LOOPBACK, node.dicom_port, calling_aet=SCANNER, called_aet=node.aet)
    return files[0].study_instance_uid


def _jobs(pair: Pair, study: str) -> list[dict[str, Any]]:
    return list(pair.get(f"/glioloop/jobs?study={study}"))


def _number(file: StudyFile) -> int:
    return int(pydicom.dcmread(file.path, stop_before_pixels=True).InstanceNumber)


def _split(folder: Path, series: str, last: int) -> tuple[list[StudyFile], list[StudyFile]]:
    """All files of a study but the last ones of a series, and these."""
    files = list(study_in_folder(folder))
    of_series = sorted((one for one in files if one.path.parent.name == series), key=_number)
    late = of_series[-last:]
    return [one for one in files if one not in late], late


def test_each_study_is_done_once_before_it_is_stable_and_whole(early: Pair, small_study: Path, tmp_path: Path) -> None:
    """A gap keeps one from being begun; a whole one is not done again; one that grows is done with all its images."""
    files = list(study_in_folder(copy_study(small_study, tmp_path / "with-a-gap", *SERIES)))
    (gap,) = [one for one in files if one.path.parent.name == "t1c" and _number(one) == _third(files)]
    with_gap = _send(early, [one for one in files if one != gap])
    wait_for(lambda: _looked_at(early, with_gap) >= 1, 60, "a look at what is quiet")
    assert not _jobs(early, with_gap)
    _send(early, [gap])
    at_once = _send(early, list(study_in_folder(copy_study(small_study, tmp_path / "at-once", *SERIES))))
    first, late = _split(copy_study(small_study, tmp_path / "by-and-by", *SERIES), "t1c", 2)
    job = early.wait_job("done", "refused", "failed", study=at_once)
    assert (job["state"], job["origin"]) == ("done", "ready"), job["error"]
    by_and_by = _send(early, first)
    wait_for(lambda: bool(_jobs(early, by_and_by)), 60, "a job of what is there")
    with ThreadPoolExecutor() as beside:
        followed = beside.submit(
            Loop(tmp_path, early.node, early.workstation, lambda *_: None).follow_study, by_and_by, 600
        )
        _send(early, late)
        wait_for(lambda: len(_jobs(early, by_and_by)) == 2, 90, "a job of everything")
        again = early.wait_job("done", "refused", "failed", study=by_and_by)
    assert again["state"] == "done", again["error"]
    early.settle()
    assert [one["id"] for one in _jobs(early, at_once)] == [job["id"]]
    assert [(one["state"], one["origin"]) for one in _jobs(early, with_gap)] == [("done", "ready")]
    whole, half = _jobs(early, by_and_by)
    assert (half["state"], half["error"]["code"]) == ("refused", "SUPERSEDED")
    assert whole["id"] == again["id"] == followed.result().id
    assert len(early.node_structure_sets()) == len(early.workstation_structure_sets()) == 3


def _third(files: list[StudyFile]) -> int:
    return sorted(_number(one) for one in files if one.path.parent.name == "t1c")[2]


def _looked_at(pair: Pair, study: str) -> int:
    log = (pair.node.configuration.state_folder / "worker.log").read_text()
    (orthanc,) = [one["ID"] for one in pair.get("/studies?expand") if one["MainDicomTags"]["StudyInstanceUID"] == study]
    return sum('"origin": "ready"' in line and orthanc in line for line in log.splitlines())
