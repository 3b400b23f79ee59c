"""The demo's scanner: which files of a folder are a study, and what becomes of a refusal."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from pipeline.errors import GlioLoopError
from pipeline.node import LOOPBACK, free_port
from pipeline.node.demo.sender import send_study, study_in_folder


def _write(path: Path, study: str) -> None:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = MRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.Modality = study, "MR"
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)


def test_the_largest_study_is_taken_and_other_files_are_left(tmp_path: Path) -> None:
    large, small = generate_uid(), generate_uid()
    _write(tmp_path / "a" / "1", large)
    _write(tmp_path / "a" / "deep" / "2.dcm", large)
    _write(tmp_path / "b" / "3.dcm", small)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "empty.dcm").touch()
    found = study_in_folder(tmp_path)
    assert {file.path.name for file in found} == {"1", "2.dcm"}
    assert {file.study_instance_uid for file in found} == {large}
    assert {file.transfer_syntax_uid for file in found} == {ExplicitVRLittleEndian}


def test_a_folder_without_images_is_no_study(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(GlioLoopError) as raised:
        study_in_folder(tmp_path)
    assert raised.value.code == "STUDY_EMPTY"


def test_a_receiver_that_is_not_there_is_told(tmp_path: Path) -> None:
    _write(tmp_path / "1.dcm", generate_uid())
    with pytest.raises(GlioLoopError, match="refused the association") as raised:
        send_study(study_in_folder(tmp_path), LOOPBACK, free_port(), calling_aet="SCANNER", called_aet="NOBODY")
    assert raised.value.code == "STORE_FAILED"
