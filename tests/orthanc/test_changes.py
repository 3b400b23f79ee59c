"""The cursor in Orthanc's log of changes, on a real Orthanc: every arrival is seen by a look or by the next start."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from pipeline.archive.client import HttpArchive
from pipeline.jobs.changes import ChangeCursor
from pipeline.jobs.queue import JobQueue
from pipeline.node import OrthancProcess, free_port, write_workstation_configuration
from pipeline.settings import load_settings


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[HttpArchive]:
    node = write_workstation_configuration(tmp_path / "archive", http_port=free_port(), dicom_port=free_port())
    with OrthancProcess(node):
        section = {"OrthancUrl": node.url, "OrthancUser": node.user, "OrthancPassword": node.password}
        yield HttpArchive(load_settings(section))


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[JobQueue]:
    made = JobQueue(f"sqlite:///{tmp_path / 'queue.sqlite'}")
    made.make_tables()
    yield made
    made.close()


def _arrive(archive: HttpArchive, study: str, series: str) -> str:
    """An image of a study arrives; return Orthanc's id of the study."""
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.SOPClassUID, image.SOPInstanceUID, image.PatientID = MRImageStorage, generate_uid(), "P"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.Modality = study, series, "MR"
    content = BytesIO()
    image.save_as(content, enforce_file_format=True)
    return str(archive.post("/instances", content.getvalue())["ParentStudy"])


def test_looks_move_the_cursor_past_what_they_saw_and_no_further(archive: HttpArchive, queue: JobQueue) -> None:
    cursor = ChangeCursor(queue.engine, archive)
    old = _arrive(archive, "1.2.1", "1.2.1.1")
    assert cursor.changed_studies() == ([], cursor.end())  # an archive that was there before is not taken up
    cursor.note_inspection(old, cursor.end())
    assert cursor.read() is None
    start = cursor.end()
    cursor.move(start)

    # Two studies arrive at once, one into a series that is there; the one begun later is looked at first.
    _arrive(archive, "1.2.1", "1.2.1.1")
    new = _arrive(archive, "1.2.2", "1.2.2.1")
    assert cursor.changed_studies()[0] == sorted([old, new])
    cursor.note_inspection(new, cursor.end())
    assert cursor.read() == start
    assert cursor.changed_studies()[0] == [old]
    _arrive(archive, "1.2.2", "1.2.2.2")  # after its look began
    assert cursor.changed_studies()[0] == sorted([old, new])
    cursor.note_inspection(old, cursor.end())
    assert start < (cursor.read() or 0) < cursor.end()
    assert cursor.changed_studies()[0] == [new]
    cursor.note_inspection(new, cursor.end())
    assert cursor.read() == cursor.end()
    assert cursor.changed_studies() == ([], cursor.end())
