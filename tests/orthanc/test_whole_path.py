"""A study in by C-STORE, a structure set out at the workstation; on real Orthancs."""

import subprocess
from pathlib import Path

import pydicom
import pytest

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from tests.orthanc.conftest import SCANNER, Pair, copy_study, send
from tests.patience import wait_for


def structure_set_at_workstation(pair: Pair) -> pydicom.Dataset:
    (identity,) = pair.workstation_structure_sets()
    with pair.workstation.client() as client:
        content = client.get(f"/instances/{identity}/file").raise_for_status().content
    return pydicom.dcmread(pydicom.filebase.DicomBytesIO(content))


def check_references(structure_set: pydicom.Dataset, reference: Path) -> None:
    """Every contour names a slice of the reference series and lies on it."""
    slices = {}
    for path in reference.iterdir():
        header = pydicom.dcmread(path, stop_before_pixels=True)
        slices[header.SOPInstanceUID] = header
    any_slice = next(iter(slices.values()))
    assert structure_set.StudyInstanceUID == any_slice.StudyInstanceUID
    assert structure_set.PatientID == any_slice.PatientID
    frames = structure_set.ReferencedFrameOfReferenceSequence
    assert [frame.FrameOfReferenceUID for frame in frames] == [any_slice.FrameOfReferenceUID]
    contours = [c for roi in structure_set.ROIContourSequence for c in roi.get("ContourSequence", [])]
    assert contours
    for contour in contours:
        header = slices[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        rows, columns = header.ImageOrientationPatient[:3], header.ImageOrientationPatient[3:]
        normal = [
            rows[1] * columns[2] - rows[2] * columns[1],
            rows[2] * columns[0] - rows[0] * columns[2],
            rows[0] * columns[1] - rows[1] * columns[0],
        ]
        points = [float(value) for value in contour.ContourData]
        for start in range(0, len(points), 3):
            offset = [points[start + axis] - header.ImagePositionPatient[axis] for axis in range(3)]
            assert abs(sum(a * b for a, b in zip(offset, normal, strict=True))) < 0.01


def test_sample_study_by_dcmtk(pair: Pair, sample_study: Path) -> None:
    """The sample study, sent by DCMTK: one job, one structure set at the workstation, no second run."""
    node = pair.node.configuration
    subprocess.run(
        [
            "storescu",
            "-aet",
            SCANNER,
            "-aec",
            node.aet,
            "-xt",
            "+sd",
            "+sp",
            "*.dcm",
            "+r",
            "127.0.0.1",
            str(node.dicom_port),
            sample_study,
        ],
        check=True,
        capture_output=True,
    )
    job = pair.wait_job("done", "failed", "refused")
    assert job["state"] == "done", job["error"]
    structure_set = structure_set_at_workstation(pair)
    check_references(structure_set, sample_study / "t1c")
    assert [roi.ROIName for roi in structure_set.StructureSetROISequence] == ["GTV_WT", "GTV_TC", "GTV_ET"]
    assert job["result"]["rtstruct"]["sop_instance_uid"] == structure_set.SOPInstanceUID
    assert set(job["timings_s"]) == {"identify", "load", "align", "infer", "restore", "write", "store", "forward"}
    # Our own upload makes the study stable once more; that must not start another run.
    pair.settle()
    assert [one["id"] for one in pair.get("/glioloop/jobs")] == [job["id"]]
    assert len(pair.workstation_structure_sets()) == 1


def test_real_study(pair: Pair, real_study: Path) -> None:
    """A clinical study whose sequences lie in different oblique planes and are displaced."""
    send(pair, real_study)
    job = pair.wait_job("done", "failed", "refused")
    assert job["state"] == "done", job["error"]
    check_references(structure_set_at_workstation(pair), real_study / "t1c")
    alignment = job["result"]["alignment"]
    # What a registration by others found on this patient (the header geometry says nothing of it).
    assert alignment["t1"]["rotation_deg"] == pytest.approx(9, abs=3)
    assert alignment["t2"]["rotation_deg"] == pytest.approx(8, abs=3)
    assert alignment["flair"]["rotation_deg"] == pytest.approx(13, abs=3)
    assert job["result"]["volumes_ml"]["WT"] > 0


def test_resent_and_reprocessed(pair: Pair, small_study: Path) -> None:
    """A re-sent study changes nothing; REST finds the same job, and with force makes a new one."""
    study = send(pair, small_study)
    job = pair.wait_job("done")
    send(pair, small_study)
    pair.settle()
    assert [one["id"] for one in pair.get("/glioloop/jobs")] == [job["id"]]
    assert len(pair.node_structure_sets()) == 1

    again = pair.post(f"/glioloop/studies/{study}/process")
    assert again.status_code == 202
    assert again.json()["id"] == job["id"]

    forced = pair.post(f"/glioloop/studies/{study}/process", {"force": True})
    assert forced.status_code == 202
    assert forced.json()["id"] != job["id"]
    wait_for(lambda: len(pair.workstation_structure_sets()) == 2, 120, "the second structure set")
    with pair.node.client() as client:
        for identity in pair.node_structure_sets():
            tags = client.get(f"/instances/{identity}/simplified-tags").json()
            if tags["SOPInstanceUID"] != job["result"]["rtstruct"]["sop_instance_uid"]:
                newer = tags
    (predecessor,) = newer["PredecessorStructureSetSequence"]
    assert predecessor["ReferencedSOPInstanceUID"] == job["result"]["rtstruct"]["sop_instance_uid"]
    check_trail(pair, study, small_study, unasked=job["id"], asked=forced.json()["id"])


def check_trail(pair: Pair, study: str, folder: Path, unasked: str, asked: str) -> None:
    """What happened to a study, each event once: what came in, what was decided and by whom, made of which images."""
    state = pair.node.configuration.state_folder
    trail = AuditTrail(database_in(state))
    wait_for(lambda: any(one.event == "forwarded" and one.subject == asked for one in trail.entries()), 30, "the end")
    assert trail.verify() == []
    entries = list(trail.entries())
    assert any(one.event == "received" and one.data["study_instance_uid"] == study for one in entries)
    for job, who in ((unasked, "stable"), (asked, pair.node.configuration.user)):
        of_job = [one for one in entries if one.subject == job]
        assert [one.event for one in of_job] == ["decided", "segmented", "stored", "forwarded"]
        assert of_job[0].who == who
        facts = of_job[1].data
        for name in ("t1", "t1c", "t2", "flair"):
            sent = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in (folder / name).iterdir()}
            assert set(facts["inputs"][name]["sop_instance_uids"]) == sent
        assert len(facts["model_sha256"]) == 64
        assert (
            facts["objects"]["rtstruct"] == pair.get(f"/glioloop/jobs/{job}")["result"]["rtstruct"]["sop_instance_uid"]
        )
        assert of_job[3].data["to"] == "workstation"
    assert [one.who for one in entries if one.event == "asked"] == [pair.node.configuration.user] * 2
    name = str(pydicom.dcmread(next((folder / "t1").iterdir()), stop_before_pixels=True).PatientName)
    assert name and name not in str(entries)


def test_missing_sequences_then_complete(pair: Pair, small_study: Path, tmp_path: Path) -> None:
    """Two sequences are refused with reasons; when the others arrive, the study is done."""
    study = copy_study(small_study, tmp_path / "study", "t1", "t1c", "t2", "flair")
    later = tmp_path / "later"
    later.mkdir()
    for name in ("t2", "flair"):
        (study / name).rename(later / name)
    uid = send(pair, study)
    job = pair.wait_job("refused", "done", "failed")
    assert job["error"]["code"] == "SEQUENCE_MISSING"
    assert "t2" in job["error"]["detail"] and "flair" in job["error"]["detail"]
    answer = pair.post(f"/glioloop/studies/{uid}/process")
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "SEQUENCE_MISSING"
    send(pair, later)
    assert pair.wait_job("done", "failed")["state"] == "done"


def test_rest_refuses_wrong_requests(shared_pair: Pair) -> None:
    """Wrong words get a 4xx with a code, never a 500."""
    pair = shared_pair
    unknown = "1.2.3.4"
    for path, body, status, code in (
        (f"/glioloop/studies/{unknown}/process", {"wrong": 1}, 400, "REQUEST_INVALID"),
        (f"/glioloop/studies/{unknown}/process", {}, 404, "STUDY_UNKNOWN"),
        (f"/glioloop/studies/{unknown}/process", {"destinations": ["nowhere"]}, 422, "DESTINATION_UNKNOWN"),
        ("/glioloop/jobs/" + "0" * 32 + "/cancel", {}, 404, "JOB_UNKNOWN"),
    ):
        answer = pair.post(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert answer.json()["error"]["hint"]
    with pair.node.client() as client:
        assert client.post(f"/glioloop/studies/{unknown}/process", content=b"no json").status_code == 400
        assert client.get(f"/glioloop/studies/{unknown}/process").status_code == 405
        assert client.get("/glioloop/jobs?limit=-1").status_code == 400
        assert client.get("/glioloop/metrics").text.startswith("# HELP")
        client.auth = None
        assert client.get("/glioloop/health").status_code == 401
