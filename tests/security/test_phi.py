"""A patient's name stays in the archive: not in logs, not in the audit trail, not in the queue."""

from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from tests.faults import network
from tests.orthanc.conftest import make_pair, send

NAME = "ZYXWHOLM^QUILLERT"


def test_name_of_a_refused_patient(sample_study: Path, tmp_path: Path) -> None:
    """A study whose headers are wrong in every way that makes libraries talk."""
    uid = generate_uid()
    for name in ("t1", "t1c", "t2", "flair"):
        series = generate_uid()
        (tmp_path / "bad" / name).mkdir(parents=True)
        for number, path in enumerate(sorted((sample_study / name).iterdir())):
            dataset = pydicom.dcmread(path)
            dataset.decompress()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            dataset.PatientName, dataset.PatientID = NAME, f"{NAME}-ID"
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = uid, series
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            if number % 2:
                dataset.ImagePositionPatient = [0, 0, 0]
            dataset.save_as(tmp_path / "bad" / name / path.name)
    network.install(tmp_path / "models", "1.0.0", network.small())
    pair = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"))
    with pair.node:
        pair.wait_ready()
        send(pair, tmp_path / "bad")
        job = pair.wait_job("refused", "failed", "done")
    assert job["state"] == "refused", job
    state = pair.node.configuration.state_folder
    texts = [pair.node.configuration.log, state / "worker.log"]
    texts += sorted(state.glob("queue.sqlite*")) + sorted(state.glob("jobs/*/log.jsonl"))
    for path in texts:
        assert path.stat().st_size, path
        assert NAME.partition("^")[0].encode() not in path.read_bytes(), path
