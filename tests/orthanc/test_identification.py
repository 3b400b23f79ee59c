"""What no header tells: settled by the images, named by REST; on a real Orthanc."""

from pathlib import Path
from typing import Any

import pydicom

from tests.orthanc.conftest import Pair, copy_study, send


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


def test_told_apart_by_the_images_or_by_a_person(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    """A T1 twice: refused until they are named. T2 and FLAIR: told by the ventricles.

    The FLAIR has the shorter TR, so that the provisional choice is the wrong one.
    """
    folder = ambiguous_study(sample_study, tmp_path)
    study = send(shared_pair, folder)
    job = shared_pair.wait_job("done", "failed", "refused", study=study)
    assert (job["state"], job["error"]["code"]) == ("refused", "SEQUENCE_UNDECIDED")
    assert "the images do not tell which was taken after contrast" in job["error"]["detail"]
    before = identification(shared_pair, study)
    assert [pair["sequences"] for pair in before["open"]] == [["t1", "t1c"], ["t2", "flair"]]

    named = {"t1": series_in(folder / "again"), "t1c": series_in(folder / "t1")}
    answer = shared_pair.post(f"/glioloop/studies/{study}/process", {"series": named})
    assert answer.status_code == 202, answer.text
    assert answer.json()["id"] != job["id"]
    done = shared_pair.wait_job("done", "failed", study=study)
    assert done["state"] == "done", done["error"]
    assert done["id"] == answer.json()["id"]
    after = done["result"]["identification"]
    assert after["open"] == []
    assert after["chosen"] == named | {"t2": series_in(folder / "t2"), "flair": series_in(folder / "flair")}
    assert before["chosen"]["t2"] == after["chosen"]["flair"]
    reasons = {one["series_instance_uid"]: one["reasons"] for one in after["series"]}
    assert "fluid is dark in the first, the FLAIR" in reasons[after["chosen"]["t2"]][-1]
    assert series_of_contours(shared_pair, study) == named["t1c"]


def ambiguous_study(sample_study: Path, tmp_path: Path) -> Path:
    """T1, the same T1 eight minutes later, T2 and FLAIR, all without a word or an inversion time."""
    folder = copy_study(sample_study, tmp_path, "t1", "t2", "flair")
    other = copy_study(sample_study, tmp_path / "other", "t1")
    study = pydicom.dcmread(next((folder / "t1").iterdir()), stop_before_pixels=True).StudyInstanceUID
    for path in (other / "t1").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID, dataset.AcquisitionTime = study, "091000"
        dataset.save_as(path)
    (other / "t1").rename(folder / "again")
    other.rmdir()
    for path in (folder / "flair").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.RepetitionTime = 4000.0
        dataset.save_as(path)
    return without_names(folder, "t1", "again", "t2", "flair")


def series_of_contours(pair: Pair, study: str) -> str:
    """The series that the study's structure set refers to."""
    query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT", "StudyInstanceUID": study}}
    with pair.node.client() as client:
        (structure_set,) = client.post("/tools/find", json=query).raise_for_status().json()
        tags = client.get(f"/instances/{structure_set}/simplified-tags").raise_for_status().json()
    frame = tags["ReferencedFrameOfReferenceSequence"][0]
    return str(frame["RTReferencedStudySequence"][0]["RTReferencedSeriesSequence"][0]["SeriesInstanceUID"])


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
