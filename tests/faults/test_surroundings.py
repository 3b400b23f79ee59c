"""Faults around the work: disks, models, databases, studies that change."""

import contextlib
import json
import sqlite3
import time
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.faults.conftest import MakeSite, Record, Site, fill, small_disk
from tests.orthanc.conftest import send, wait_for


@pytest.mark.parametrize("stage", ["load", "align", "write"])
def test_state_folder_full(make_site: MakeSite, record: Record, tmp_path: Path, stage: str) -> None:
    """No room for working files: a stated failure or a wait; done once there is room."""
    jobs = tmp_path / "site" / "node" / "jobs"
    with small_disk(jobs, 48):
        site = make_site()
        fillers: list[Path] = []
        job = site.wait_end(site.at_stage(stage, lambda: fillers.append(fill(jobs))))
        assert job["state"] == "failed"
        assert job["error"]["code"] == "DISK_FULL", job["error"]
        fillers[0].unlink()
        assert site.pair.post(f"/glioloop/jobs/{job['id']}/retry").status_code == 202
        again = site.wait_end(job["id"])
        assert again["state"] == "done", again["error"]
        record("working files: disk full", stage, "failed: DISK_FULL; room and retry: done once", again["attempts"])
        site.check()


def test_archive_full(make_site: MakeSite, record: Record, tmp_path: Path) -> None:
    """No room in Orthanc's storage: the store stage waits for it, and stores once."""
    storage = tmp_path / "site" / "node" / "orthanc" / "storage"
    with small_disk(storage, 48):
        site = make_site()
        fillers: list[Path] = []
        job = site.at_stage("align", lambda: fillers.append(fill(storage)))
        wait_for(lambda: site.pair.get(f"/glioloop/jobs/{job}")["stage"] == "store", 120, "the store stage")
        time.sleep(3)
        assert site.pair.get(f"/glioloop/jobs/{job}")["state"] in ("running", "failed")
        fillers[0].unlink()
        ended = site.wait_end(job)
        if ended["state"] == "failed":
            assert site.pair.post(f"/glioloop/jobs/{job}/retry").status_code == 202
            ended = site.wait_end(job)
        assert ended["state"] == "done", ended["error"]
        record(
            "Orthanc's storage: disk full", "store", "tried again until there was room, done once", ended["attempts"]
        )
        site.check()


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_model_damaged(make_site: MakeSite, record: Record, damage: str) -> None:
    site = make_site()
    path = site.models / "bright" / "1.0.0" / "model.onnx"
    whole = path.read_bytes()
    changed = whole[:-1] + bytes([whole[-1] ^ 1])
    job = site.wait_end(
        site.at_stage("align", path.unlink if damage == "missing" else lambda: path.write_bytes(changed))
    )
    assert job["state"] == "failed"
    assert job["error"]["code"] == "MODEL_DAMAGED"
    refused = site.pair.post("/glioloop/models/bright/1.0.0/promote")
    assert refused.status_code == 422
    assert refused.json()["error"]["code"] == "MODEL_DAMAGED"
    record(f"model file {damage}", "promote", "refused: MODEL_DAMAGED, the one in use stays")
    path.write_bytes(whole)
    assert site.pair.post(f"/glioloop/jobs/{job['id']}/retry").status_code == 202
    again = site.wait_end(job["id"])
    assert again["state"] == "done", again["error"]
    record(
        f"model file {damage}", "infer", "failed: MODEL_DAMAGED; file restored and retry: done once", again["attempts"]
    )
    site.check()


def test_database_locked(make_site: MakeSite, record: Record) -> None:
    """Something else holds the queue's database for a while: the job waits and goes on."""
    site = make_site()
    database = site.pair.node.configuration.state_folder / "queue.sqlite"

    def hold() -> None:
        with contextlib.closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            time.sleep(15)
            other.execute("ROLLBACK")

    for stage in ("load", "infer"):
        job = site.wait_end(site.at_stage(stage, hold))
        assert job["state"] == "done", job["error"]
        record("queue's database locked for 15 s", stage, "waited, done once", job["attempts"])
    site.check()


def test_database_damaged(make_site: MakeSite, record: Record) -> None:
    """A damaged queue is told as such; after the documented repair the node works, and nothing is stored twice."""
    site = make_site()
    done = site.wait_end(site.process())
    assert done["state"] == "done", done["error"]
    state = site.pair.node.configuration.state_folder
    with site.prober.pause():
        site.pair.node.stop()
        content = bytearray((state / "queue.sqlite").read_bytes())
        content[:4096] = b"\xff" * 4096
        (state / "queue.sqlite").write_bytes(content)
        (state / "queue.sqlite-wal").unlink(missing_ok=True)
        site.pair.node.start()
    wait_for(lambda: "QUEUE_DAMAGED" in (state / "worker.log").read_text(), 60, "the reason")
    assert site.health()["status"] == "degraded"
    assert len(site.pair.node_structure_sets()) == 1
    with site.prober.pause():
        site.pair.node.stop()
        for path in state.glob("queue.sqlite*"):
            path.unlink()
        site.pair.node.start()
    site.pair.wait_ready()
    again = site.wait_end(site.process())
    assert again["state"] == "done", again["error"]
    record("queue's database damaged", "queued", "told as QUEUE_DAMAGED; repaired as documented: done", "")
    assert not site.prober.failures


@pytest.mark.parametrize("stage", ["load", "align"])
def test_study_deleted(make_site: MakeSite, record: Record, stage: str) -> None:
    site = make_site()

    def delete() -> None:
        with site.pair.node.client() as client:
            client.delete(f"/studies/{site.study}").raise_for_status()

    job = site.wait_end(site.at_stage(stage, delete))
    assert job["state"] == "refused", job
    assert job["error"]["code"] == "STUDY_GONE"
    assert site.pair.get("/studies") == []
    record("study deleted", stage, "refused: STUDY_GONE, nothing brought back", job["attempts"])
    site.check()


def test_new_series_while_in_work(make_site: MakeSite, record: Record, small_study: Path, tmp_path: Path) -> None:
    """A series that arrives late: the job goes on with what it was asked for; the new content is judged by itself."""
    site = make_site(Automatic=True)
    late = tmp_path / "late"
    late.mkdir()
    uid = generate_uid()
    for path in sorted((small_study / "t1").iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, "T1 SE AX REPEAT"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(late / path.name)
    job = site.wait_end(site.at_stage("infer", lambda: send(site.pair, late)))
    assert job["state"] == "done", job["error"]
    time.sleep(8)  # the study becomes stable again and is looked at
    wait_for(lambda: all(one["state"] == "done" for one in _jobs(site)), 120, "every job's end")
    record("new series arrives", "infer", f"done; {len(_jobs(site))} jobs, one result each", job["attempts"])
    site.check()


def _jobs(site: Site) -> list[dict[str, object]]:
    return list(site.pair.get("/glioloop/jobs"))


def test_audit_of_a_job(make_site: MakeSite) -> None:
    """What happened and who asked stands in the trail, whole, each once."""
    site = make_site()
    job = site.wait_end(site.process())
    assert job["state"] == "done", job["error"]
    folder = site.pair.node.configuration.state_folder / "audit"
    entries = [json.loads(line) for line in (folder / "trail.jsonl").read_text().splitlines()]
    of_job = [one["event"] for one in entries if one["subject"] == job["id"]]
    assert of_job == ["decided", "segmented", "stored", "forwarded"]
    (asked,) = (one for one in entries if one["event"] == "asked")
    assert asked["who"] == site.pair.node.configuration.user
    segmented = next(one for one in entries if one["event"] == "segmented")
    assert set(segmented["data"]["inputs"]) == {"t1", "t1c", "t2", "flair"}
    assert len(segmented["data"]["model_sha256"]) == 64
    assert "SAMPLE" not in (folder / "trail.jsonl").read_text()
