"""Several images at one position, and objects that are no images, in the series of a study on a real Orthanc."""

from pathlib import Path

import pytest

from pipeline.case.segment import segment_folder
from tests.orthanc.conftest import Pair, copy_study, send
from tests.unit.identify import part_studies as studies
from tests.unit.identify.test_study_folders import copied, lacks_a_slice


def test_the_parts_that_belong_there_are_segmented(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    """Dual echo, T1 before and after contrast, Raw Data, a preferred FLAIR that lacks a slice: the same volumes."""
    plain = segment_folder(sample_study, tmp_path / "plain", None, lambda *_: None)
    study = copy_study(sample_study, tmp_path / "study", "t1", "t1c", "t2", "flair")
    studies.dual_echo(study)
    studies.two_acquisitions(study)
    copied(study / "flair", study / "preferred", studies.setting(MRAcquisitionType="3D", SeriesNumber=77))
    lacks_a_slice(study / "preferred")
    studies.raw_data(study / "flair")
    studies.raw_data(study / "t1c")
    uid = send(shared_pair, study)
    job = shared_pair.wait_job("done", "failed", "refused", study=uid, seconds=600)
    assert job["state"] == "done", job["error"]
    for region, volume in plain.volumes_ml.items():
        assert job["result"]["volumes_ml"][region] == pytest.approx(volume, rel=0.02)
    flags = {(flag["code"], flag["detail"].split(":")[0]) for flag in job["result"]["flags"]}
    assert {("SERIES_SPLIT", "t1c"), ("SERIES_SPLIT", "t2")} <= flags
    assert {("FOREIGN_IMAGES_LEFT_OUT", "t1c"), ("FOREIGN_IMAGES_LEFT_OUT", "flair")} <= flags
    (second,) = [flag["detail"] for flag in job["result"]["flags"] if flag["code"] == "SECOND_CHOICE"]
    assert "series 77" in second
    decision = job["result"]["identification"]
    assert decision["parts"] == {"t1c": {"acquisition": 2.0}, "t2": {"echo time": 95.0}}
