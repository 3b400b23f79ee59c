"""A real study that was defaced: every series is derived, each has a frame of reference of its own."""

from pathlib import Path

from tests.orthanc.conftest import Pair, send


def test_a_study_of_derived_images_is_done_and_told(pair: Pair, shared_data: Path) -> None:
    send(pair, shared_data / "upenn-gbm-00463")
    job = pair.wait_job("done", "failed", "refused", seconds=600)
    assert job["state"] == "done", job["error"]
    flags = [flag["code"] for flag in job["result"]["flags"]]
    assert "DERIVED_IMAGES" in flags
    assert flags.count("FRAME_OF_REFERENCE_DIFFERS") == 3
    # Half of the parietal and occipital lobe: no expert's contours are at hand to compare with.
    assert 75 < job["result"]["volumes_ml"]["WT"] < 250
    assert len(pair.workstation_structure_sets()) == 1
