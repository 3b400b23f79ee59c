"""Studies are found at another archive and brought, by REST, by the command, and by a schedule."""

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dbos import EnqueueOptions

from pipeline.errors import GlioLoopError
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import FETCH_QUEUE, FETCH_SCHEDULE_WORKFLOW
from pipeline.settings import ROOT, StudyQuery, load_settings
from tests.orthanc.conftest import Pair, copy_study, make_pair
from tests.patience import wait_for


def _archived(pair: Pair, source: Path, folder: Path, **attributes: str) -> str:
    """Put a study into the workstation's archive; return its StudyInstanceUID."""
    with pair.workstation.client() as client:
        for path in copy_study(source, folder, "t1").rglob("*.dcm"):
            dataset = pydicom.dcmread(path)
            for keyword, value in attributes.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)
            client.post("/instances", content=path.read_bytes()).raise_for_status()
    return str(dataset.StudyInstanceUID)


def _here(pair: Pair) -> set[str]:
    return {one["MainDicomTags"]["StudyInstanceUID"] for one in pair.get("/studies?expand")}


def _ended(pair: Pair, **query: object) -> dict[str, Any]:
    answer = pair.post("/glioloop/fetch", {"modality": "workstation", **query})
    assert answer.status_code == 202, answer.text
    path = f"/glioloop/fetch/{answer.json()['id']}"
    wait_for(lambda: pair.get(path)["state"] not in ("queued", "running"), 60, lambda: str(pair.get(path)))
    return dict(pair.get(path))


def test_studies_are_brought(tmp_path: Path, small_study: Path) -> None:
    daily = {"Name": "night", "Modality": "workstation", "Date": "20200102", "Daily": "04:00"}
    pair = make_pair(tmp_path, Fetch=[daily], Automatic=False)
    with pair.workstation, pair.node:
        pair.wait_ready()
        first = _archived(pair, small_study, tmp_path / "a", PatientID="A", StudyDate="20200101")
        second = _archived(pair, small_study, tmp_path / "b", PatientID="B", StudyDate="20200102")
        third = _archived(pair, small_study, tmp_path / "c", PatientID="A", StudyDate="20200103")
        assert not _here(pair)

        done = _ended(pair, patient="A", date="20200101-20200102")
        assert done["outcome"] == {"found": [first], "here": [], "fetched": [first], "failed": {}}, done
        assert _here(pair) == {first}

        configuration = pair.node.configuration.folder / "orthanc.json"
        command = [sys.executable, "-m", "pipeline", "fetch", "workstation", "--patient", "A", "--json"]
        ran = subprocess.run(
            [*command, "--configuration", configuration], capture_output=True, text=True, cwd=ROOT, check=False
        )
        assert ran.returncode == 0, ran.stderr
        outcome = json.loads(ran.stdout)["outcome"]
        assert (set(outcome["found"]), outcome["here"], outcome["fetched"]) == ({first, third}, [first], [third])

        queue = JobQueue(f"sqlite:///{pair.node.configuration.state_folder / 'queue.sqlite'}")
        options = EnqueueOptions(workflow_name=FETCH_SCHEDULE_WORKFLOW, queue_name=FETCH_QUEUE, workflow_id="tonight")
        queue.client.enqueue(options, "", "night")
        queue.close()
        wait_for(lambda: _here(pair) == {first, second, third}, 60, lambda: str(pair.get("/glioloop/fetch")))

        wide = _ended(pair, date="20200101-20200103", most=2)
        assert wide["error"]["code"] == "QUERY_TOO_WIDE"
        assert pair.post("/glioloop/fetch", {"modality": "nowhere", "patient": "A"}).status_code == 422
        assert pair.post("/glioloop/fetch", {"modality": "workstation"}).status_code == 400


def test_dates_of_a_schedule() -> None:
    query = StudyQuery(modality="pacs", date="yesterday")
    assert query.attributes(date(2026, 3, 1))["StudyDate"] == "20260228"
    assert query.attributes(date(2026, 3, 1))["ModalitiesInStudy"] == "MR"
    for wrong in ({}, {"Date": "2026"}, {"Date": "-"}, {"Patient": "*"}, {"Patient": "a\\b"}, {"Daily": "25:00"}):
        with pytest.raises(GlioLoopError, match=r"Fetch\.0"):
            load_settings({"Fetch": [{"Name": "n", "Modality": "m", "Daily": "04:00", **wrong}]})
