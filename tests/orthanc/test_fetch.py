"""Studies are found at another archive and brought, by REST, by the command, and by a schedule; then all delineated."""

import csv
import json
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dbos import EnqueueOptions

from pipeline.errors import GlioLoopError
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import FETCH_QUEUE, FETCH_SCHEDULE_WORKFLOW
from pipeline.settings import ROOT, StudyQuery, load_settings
from tests.orthanc.conftest import Pair, copy_study, make_pair, send
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
    far = (datetime.now().hour + 12) % 24
    pair = make_pair(tmp_path, Fetch=[daily], Automatic=False, Turns={"QuietHours": [far, (far + 1) % 24]})
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
        _learning_waits_for_quiet_hours(pair)
        _whole_archive_is_run(pair, send(pair, small_study), tmp_path)


def _learning_waits_for_quiet_hours(pair: Pair) -> None:
    """Who asked, and why nothing happens, is told; a person may end the waiting."""
    run = pair.post("/glioloop/finetune", {"quiet": True}).json()
    assert (run["state"], run["asked_by"], run["waits_for"]) == ("queued", pair.node.configuration.user, "quiet_hours")
    until = datetime.fromisoformat(run["waits_until"])
    assert (until.minute, 10 < (until - datetime.now(UTC)).total_seconds() / 3600 <= 12) == (0, True)
    configuration = pair.node.configuration.folder / "orthanc.json"
    command = [sys.executable, "-m", "pipeline", "finetune", "--status", "--configuration", configuration]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert f"{run['id']}, queued, asked for by {run['asked_by']}" in told.stdout, told.stderr
    assert f"waits for quiet hours, from {until.astimezone():%H:%M}" in told.stdout
    path = f"/glioloop/finetune/{run['id']}"
    assert pair.post(f"{path}/now").json()["quiet"] is False
    wait_for(lambda: pair.get(path)["state"] == "refused", 60, lambda: str(pair.get(path)))
    assert pair.get(path)["waits_for"] is None
    assert pair.post(f"{path}/now").status_code == 409


def _whole_archive_is_run(pair: Pair, whole: str, folder: Path) -> None:
    """The archive holds a whole study, and three that lack sequences."""
    assert len(_run_archive(pair, folder, "--dry-run")) == 4
    assert pair.get("/glioloop/jobs") == []
    # Until the quiet hours it is put off, whatever the worker has to do.
    put_off = pair.post(f"/glioloop/studies/{whole}/process", {"quiet": True, "background": True}).json()
    queue = JobQueue(f"sqlite:///{pair.node.configuration.state_folder / 'queue.sqlite'}")
    (status,) = queue.client.list_workflows(workflow_ids=[put_off["id"]])
    assert (status.status, put_off["origin"]) == ("DELAYED", "archive")
    until = datetime.fromisoformat(pair.get(f"/glioloop/jobs/{put_off['id']}")["waits_until"])
    assert abs(until.timestamp() - (status.delay_until_epoch_ms or 0) / 1000) < 1
    # Asked for otherwise it would be another job; where that of the same images suffices, it is that one.
    known = pair.post(f"/glioloop/studies/{whole}/process", {"known": True, "destinations": []}).json()
    assert known["id"] == put_off["id"]
    # Now somebody waits for it.
    (status,) = queue.client.list_workflows(workflow_ids=[put_off["id"]])
    queue.close()
    assert (status.attributes or {})["quiet"] is False and (status.delay_until_epoch_ms or 0) / 1000 <= time.time()
    assert pair.post(f"/glioloop/jobs/{put_off['id']}/cancel").status_code == 200

    found = _run_archive(pair, folder, "--now", "--again", "--identifiers")
    assert {one["state"] for one in found if one["study_instance_uid"] != whole} == {"refused"}
    assert {one["reason"] for one in found if one["study_instance_uid"] != whole} == {"SEQUENCE_MISSING"}
    (done,) = (one for one in found if one["study_instance_uid"] == whole)
    job = pair.get(f"/glioloop/jobs/{done['job']}")
    assert (done["state"], job["priority"], job["deliveries"]) == ("done", 5000, {})
    assert float(done["whole_tumour_ml"]) == pytest.approx(job["result"]["volumes_ml"]["WT"], abs=0.001)
    assert float(done["whole_tumour_diameter_mm"]) > 0 and float(done["seconds"]) > 0
    assert not pair.workstation_structure_sets()

    # A second run finds what is there, adds nothing, and tells nothing of who the patients are.
    told = _run_archive(pair, folder, "--redcap", "--from", "2000-01-01")
    assert [one["whole_tumour_ml"] for one in told if one["state"] == "done"] == [done["whole_tumour_ml"]]
    assert len(pair.get("/glioloop/jobs")) == 2
    assert not any(one in (folder / "archive.csv").read_text() for one in (whole, done["study"], done["job"]))
    assert (folder / "archive_data_dictionary.csv").exists()


def _run_archive(pair: Pair, folder: Path, *options: str) -> list[dict[str, str]]:
    configuration = pair.node.configuration.folder / "orthanc.json"
    command = [sys.executable, "-m", "pipeline", "run-archive", folder / "archive.csv", *options]
    ran = subprocess.run(
        [*command, "--configuration", configuration], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert ran.returncode == 0, ran.stderr
    with (folder / "archive.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_dates_of_a_schedule() -> None:
    query = StudyQuery(modality="pacs", date="yesterday")
    assert query.attributes(date(2026, 3, 1))["StudyDate"] == "20260228"
    assert query.attributes(date(2026, 3, 1))["ModalitiesInStudy"] == "MR"
    for wrong in ({}, {"Date": "2026"}, {"Date": "-"}, {"Patient": "*"}, {"Patient": "a\\b"}, {"Daily": "25:00"}):
        with pytest.raises(GlioLoopError, match=r"Fetch\.0"):
            load_settings({"Fetch": [{"Name": "n", "Modality": "m", "Daily": "04:00", **wrong}]})
