"""Input that cannot be done: refused with a code and a reason, the images stay, the node goes on."""

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import CTImageStorage, generate_uid

from tests.orthanc.conftest import Pair, copy_study, send


def refused(pair: Pair, study_uid: str) -> dict[str, Any]:
    job = pair.wait_job("refused", "done", "failed", study=study_uid)
    assert job["state"] == "refused", job
    assert job["error"]["message"] and job["error"]["hint"]
    return job


def images(pair: Pair, study_uid: str) -> int:
    with pair.node.client() as client:
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_uid}}
        return len(client.post("/tools/find", json=query).raise_for_status().json())


def test_two_sequences(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    folder = copy_study(sample_study, tmp_path, "t1", "t1c")
    uid = send(shared_pair, folder)
    job = refused(shared_pair, uid)
    assert job["error"]["code"] == "SEQUENCE_MISSING"
    assert images(shared_pair, uid) == sum(1 for _ in folder.rglob("*.dcm"))


def test_ct_study(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    folder = copy_study(sample_study, tmp_path, "t1")
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.Modality = "CT"
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.save_as(path)
    uid = send(shared_pair, folder)
    assert refused(shared_pair, uid)["error"]["code"] == "NO_MR"
    assert images(shared_pair, uid) == sum(1 for _ in folder.rglob("*.dcm"))


def test_truncated_file(shared_pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    """One image whose pixel data end too early, as after a broken transfer into an archive."""
    folder = copy_study(sample_study, tmp_path, "t1", "t1c", "t2", "flair")
    victim = sorted((folder / "t2").iterdir())[3]
    dataset = pydicom.dcmread(victim)
    dataset.decompress()
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 2]
    dataset.save_as(victim)
    uid = send(shared_pair, folder)
    job = refused(shared_pair, uid)
    assert job["error"]["code"] == "FILE_UNREADABLE"
    assert dataset.SOPInstanceUID in job["error"]["detail"]
    assert images(shared_pair, uid) == sum(1 for _ in folder.rglob("*.dcm"))


def test_study_without_images(shared_pair: Pair, tmp_path: Path) -> None:
    """A study that holds only a document: an empty study, as far as the node goes."""
    dataset = pydicom.dcmread(pydicom.data.get_testdata_file("reportsi.dcm"))
    dataset.StudyInstanceUID = generate_uid()
    dataset.save_as(tmp_path / "report.dcm")
    uid = send(shared_pair, tmp_path)
    assert refused(shared_pair, uid)["error"]["code"] in ("NO_MR", "STUDY_EMPTY")
    assert images(shared_pair, uid) == 1


def test_the_node_goes_on(shared_pair: Pair, small_study: Path) -> None:
    """After all of that a good study is done."""
    uid = send(shared_pair, small_study)
    job = shared_pair.wait_job("done", "failed", "refused", study=uid)
    assert job["state"] == "done", job["error"]


@pytest.mark.parametrize("key", ["Nonsense", "StateFolderr"])
def test_wrong_configuration_is_named(tmp_path: Path, key: str) -> None:
    """An unknown key is refused with its name before Orthanc starts."""
    from pipeline.errors import GlioLoopError  # noqa: PLC0415
    from tests.orthanc.conftest import make_pair  # noqa: PLC0415

    with pytest.raises(GlioLoopError, match=key):
        make_pair(tmp_path, **{key: 1})
