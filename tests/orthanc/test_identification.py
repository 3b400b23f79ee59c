"""What no header tells: settled by the images, named by REST; on a real Orthanc."""

import shutil
from pathlib import Path
from typing import Any

import pydicom

from tests.orthanc.conftest import Pair, copy_study, send, wait_for


def without_names(folder: Path, *series: str) -> Path:
    """Take away what tells these series apart but TR and TE."""
    for path in (path for name in series for path in (folder / name).iterdir()):
        dataset = pydicom.dcmread(path)
        dataset.SeriesDescription = dataset.ProtocolName = "HEAD"
        dataset.ScanningSequence = "SE"
        for keyword in ("ContrastBolusAgent", "InversionTime"):
            if keyword in dataset:
                delattr(dataset, keyword)
        dataset.save_as(path)
    return folder


def series_in(folder: Path) -> str:
    return str(pydicom.dcmread(next(folder.iterdir()), stop_before_pixels=True).SeriesInstanceUID)


def identification(pair: Pair, study: str) -> dict[str, Any]:
    found: dict[str, Any] = pair.get(f"/glioloop/studies/{study}")["identification"]
    return found


def test_t2_and_flair_are_told_apart_by_their_ventricles(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    """FLAIR with the shorter TR, so that the provisional choice is the wrong one."""
    folder = without_names(copy_study(sample_study, tmp_path, "t1", "t1c", "t2", "flair"), "t2", "flair")
    for path in (folder / "flair").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.RepetitionTime = 4000.0
        dataset.save_as(path)
    study = send(shared_pair, folder)
    job = shared_pair.wait_job("done", "failed", "refused", study=study)
    assert job["state"] == "done", job["error"]
    before, after = identification(shared_pair, study), job["result"]["identification"]
    assert [pair["sequences"] for pair in before["open"]] == [["t2", "flair"]]
    assert before["chosen"]["t2"] == after["chosen"]["flair"] == series_in(folder / "flair")
    assert after["open"] == []
    reasons = {one["series_instance_uid"]: one["reasons"] for one in after["series"]}
    assert "fluid is dark in the first, the FLAIR" in reasons[series_in(folder / "t2")][-1]


def test_two_t1_that_look_alike_are_refused_until_they_are_named(
    shared_pair: Pair, sample_study: Path, tmp_path: Path
) -> None:
    """The same T1 twice, and a T1 after contrast that its header does not give away: named, it is taken."""
    folder = copy_study(sample_study, tmp_path, "t1", "t2", "flair")
    other = copy_study(sample_study, tmp_path / "other", "t1")
    for path in (other / "t1").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = pydicom.dcmread(next((folder / "t1").iterdir())).StudyInstanceUID
        dataset.AcquisitionTime = dataset.SeriesTime = "091000"
        dataset.save_as(path)
    shutil.move(other / "t1", folder / "again")
    without_names(folder, "t1", "again")
    study = send(shared_pair, folder)
    job = shared_pair.wait_job("done", "failed", "refused", study=study)
    assert (job["state"], job["error"]["code"]) == ("refused", "SEQUENCE_UNDECIDED")
    assert "the images do not tell which was taken after contrast" in job["error"]["detail"]
    named = {"t1": series_in(folder / "again"), "t1c": series_in(folder / "t1")}
    answer = shared_pair.post(f"/glioloop/studies/{study}/process", {"series": named})
    assert answer.status_code == 202, answer.text
    again = answer.json()["id"]
    assert again != job["id"]
    wait_for(lambda: shared_pair.get(f"/glioloop/jobs/{again}")["state"] in ("done", "failed", "refused"), 240, again)
    done = shared_pair.get(f"/glioloop/jobs/{again}")
    assert done["state"] == "done", done["error"]
    with shared_pair.node.client() as client:
        (structure_set,) = client.post(
            "/tools/find",
            json={"Level": "Instance", "Query": {"Modality": "RTSTRUCT", "StudyInstanceUID": study}, "Expand": True},
        ).json()
        tags = client.get(f"/instances/{structure_set['ID']}/simplified-tags").json()
    frame = tags["ReferencedFrameOfReferenceSequence"][0]
    series = frame["RTReferencedStudySequence"][0]["RTReferencedSeriesSequence"][0]
    assert series["SeriesInstanceUID"] == named["t1c"]  # the contours lie on the series that was named


def test_an_override_must_be_a_series_of_the_study(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    study = send(shared_pair, copy_study(sample_study, tmp_path, "t1", "t1c"))
    for series, code in (("1.2.3", "SERIES_UNKNOWN"), ("", "SERIES_UNKNOWN")):
        answer = shared_pair.post(f"/glioloop/studies/{study}/process", {"series": {"t1c": series}})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    answer = shared_pair.post(f"/glioloop/studies/{study}/process", {"series": {"pd": "1.2.3"}})
    assert answer.status_code == 400


def test_diffusion_is_seen_though_half_of_its_images_have_none(shared_pair: Pair, shared_data: Path) -> None:
    """Philips keeps images of b 0 and b 1000 in one series, a spin echo by its header."""
    folder = shared_data / "dicom" / "philips" / "dti" / "001"
    with shared_pair.node.client() as client:  # their meta headers name other instances: not for C-STORE
        for path in folder.iterdir():
            answer = client.post("/instances", content=path.read_bytes()).raise_for_status().json()
    study = str(answer["ParentStudy"])
    (series,) = identification(shared_pair, study)["series"]
    assert series["verdict"] == "excluded"
    assert "DIFFUSION" in [one["code"] for one in series["exclusions"]]
