"""Priors that lie in another archive, on two real Orthancs: fetched and used, told where they are not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import generate_uid

from pipeline.node import LOOPBACK
from pipeline.node.demo.sender import send_study, study_in_folder
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.test_course import scanned
from tests.patience import wait_for
from tests.unit.corrections.phantom import write_threshold_model


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Pair]:
    """A node that asks the workstation for priors; the network is made for the test."""
    write_threshold_model(tmp_path / "models", whole_tumour=2.0, core=2.0, brain=False, version="1.0.0")
    pair = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"), Priors={"From": ["workstation"]}, Destinations=[])
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield pair


def of(folder: Path, patient: str, born: str) -> Path:
    """The study as one of a person."""
    for path in folder.glob("*/*"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID, dataset.PatientBirthDate = patient, born
        dataset.save_as(path, enforce_file_format=True)
    return folder


def archive(pair: Pair, folder: Path) -> str:
    """Store a study in the other archive."""
    files, to = study_in_folder(folder), pair.workstation.configuration
    send_study(files, LOOPBACK, to.dicom_port, calling_aet="GLIOLOOP", called_aet=to.aet)
    return files[0].study_instance_uid


def with_more(folder: Path) -> Path:
    """The study with a series that nobody needs."""
    (folder / "dwi").mkdir()
    series = generate_uid()
    for path in (folder / "t2").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = series
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.SeriesDescription, dataset.ProtocolName = "ep2d_diff_b1000", "ep2d_diff_b1000"
        dataset.save_as(folder / "dwi" / path.name, enforce_file_format=True)
    return folder


def damage(pair: Pair, study: str, series: str) -> None:
    """Have the other archive lose the last image of a series, which it finds out when it is to send it."""
    other = pair.workstation
    with other.client() as client:
        (found,) = client.post("/tools/lookup", content=study).raise_for_status().json()
        described = client.get(f"/studies/{found['ID']}/series").raise_for_status().json()
        (lost,) = [one for one in described if series in one["MainDicomTags"]["SeriesDescription"].lower()]
        uuid = client.get(f"/instances/{lost['Instances'][-1]}").raise_for_status().json()["FileUuid"]
    other.stop()  # it has the file in its memory, too
    next(other.configuration.state_folder.rglob(uuid)).unlink()
    other.start()


def course(pair: Pair, patient: str) -> list[dict[str, Any]]:
    found = pair.get(f"/glioloop/patients/{patient}/course")
    return list(found["studies"])


def test_priors_in_another_archive(node: Pair, small_study: Path, tmp_path: Path) -> None:
    prior = of(scanned(small_study, tmp_path / "prior", "20250601"), "P-1", "19700101")
    earlier = archive(node, with_more(prior))
    # Orthanc says of both what it was told of the number first: only the images say whose they are.
    archive(node, of(scanned(small_study, tmp_path / "other", "20250301"), "P-1", "19440404"))
    archive(node, of(scanned(small_study, tmp_path / "stranger", "20250602"), "P-10", "19700101"))
    now = send(node, of(scanned(small_study, tmp_path / "now", "20260105"), "P-1", "19700101"))

    def complete() -> bool:
        return [one["study_instance_uid"] for one in course(node, "P-1")] == [earlier, now]

    wait_for(complete, 180, lambda: f"the prior in the course; {node.get('/glioloop/jobs')}")
    one, other = course(node, "P-1")
    assert other["aligned"]
    assert {lesion["tracking_uid"] for lesion in one["lesions"]} == {
        lesion["tracking_uid"] for lesion in other["lesions"]
    }
    wait_for(lambda: bool(course(node, "P-1")[-1]["flags"]), 60, "the other person's study to be told of")
    (flag,) = course(node, "P-1")[-1]["flags"]
    assert flag["code"] == "PRIOR_LEFT_OUT"
    assert "differ" in flag["detail"]
    studies = node.get("/studies?expand")
    assert {study["MainDicomTags"]["StudyInstanceUID"] for study in studies} == {earlier, now}
    described = {one["MainDicomTags"]["SeriesDescription"] for one in node.get("/series?expand")}
    assert "ep2d_diff_b1000" not in described
    jobs = {job["study_instance_uid"]: job for job in node.get("/glioloop/jobs")}
    assert jobs[earlier]["origin"] == "course"
    assert jobs[now]["origin"] != "course"

    # One that hands out a part, and then does not: told, and nothing of it stays to be compared with.
    half = archive(node, of(scanned(small_study, tmp_path / "half", "20250603"), "P-3", "19720101"))
    damage(node, half, "flair")
    third = send(node, of(scanned(small_study, tmp_path / "third", "20260107"), "P-3", "19720101"))
    node.wait_job("done", study=third)
    wait_for(lambda: bool(course(node, "P-3")), 90, "the course of the study whose prior came in part")
    (study,) = course(node, "P-3")
    (flag,) = study["flags"]
    assert flag["code"] == "PRIOR_NOT_FETCHED"
    assert flag["detail"].startswith("workstation: RETRIEVE_FAILED")
    wait_for(
        lambda: half not in {one["MainDicomTags"]["StudyInstanceUID"] for one in node.get("/studies?expand")},
        60,
        "the part to be taken out again",
    )
    assert half not in {job["study_instance_uid"] for job in node.get("/glioloop/jobs") if job["state"] == "done"}

    # An archive that is down is told, and stops nothing.
    node.workstation.stop()
    alone = send(node, of(scanned(small_study, tmp_path / "alone", "20260106"), "P-2", "19710101"))
    node.wait_job("done", study=alone)
    wait_for(lambda: bool(course(node, "P-2")), 90, "the course of one study, which tells what lacks")
    (study,) = course(node, "P-2")
    (flag,) = study["flags"]
    assert flag["code"] == "PRIOR_NOT_FETCHED"
    assert flag["detail"].startswith("workstation: QUERY_FAILED")
