"""A structure set that was accepted: a new instance that says who stands behind it, and is the same otherwise."""

import copy
import io
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from pipeline.names import RESEARCH_USE
from pipeline.objects.rtstruct.approval import approved
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.rtstruct.test_write import written

WHEN = datetime(2026, 5, 6, 23, 30, 59, 500, tzinfo=UTC)


@pytest.fixture(scope="module")
def automatic() -> Dataset:
    return written(*phantom_series())


def _read(dataset: Dataset) -> Dataset:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


def test_approval_is_a_new_instance_with_its_predecessor(automatic: Dataset) -> None:
    before = copy.deepcopy(automatic)
    automatic.TimezoneOffsetFromUTC = before.TimezoneOffsetFromUTC = "+0200"
    made = _read(approved(automatic, "j.doe", WHEN, "approved job"))
    assert automatic == before
    assert made.SOPInstanceUID == made.file_meta.MediaStorageSOPInstanceUID != automatic.SOPInstanceUID
    assert made.SeriesInstanceUID != automatic.SeriesInstanceUID
    assert (made.ApprovalStatus, made.ReviewerName) == ("APPROVED", "j.doe")
    assert (made.ReviewDate, made.ReviewTime) == ("20260507", "013059"), "on the clock of the images"
    (predecessor,) = made.PredecessorStructureSetSequence
    assert predecessor.ReferencedSOPInstanceUID == automatic.SOPInstanceUID
    assert "(approved)" in made.SeriesDescription and "not approved" not in made.StructureSetDescription
    assert RESEARCH_USE not in made.StructureSetDescription and "Research use only" in made.StructureSetDescription
    assert made.StructureSetDate == automatic.StructureSetDate and made.StructureSetTime == automatic.StructureSetTime
    assert made.ROIContourSequence == automatic.ROIContourSequence
    again = approved(automatic, "j.doe", WHEN, "approved job")
    assert again.SOPInstanceUID == made.SOPInstanceUID, "twice is once"


@pytest.mark.parametrize(
    ("user", "name"),
    [("a^b=c\\d", "a b c d"), ("", "unknown"), ("Jürgen Müller", "Jürgen Müller"), ("x" * 200, "x" * 64)],
)
def test_any_user_of_orthanc_is_a_legal_name(automatic: Dataset, user: str, name: str, tmp_path: Path) -> None:
    automatic.SeriesDescription = "s" * 64
    made = approved(automatic, user, WHEN, "job")
    assert made.ReviewerName == name and len(made.SeriesDescription) <= 64
    path = tmp_path / "approved.dcm"
    made.save_as(path, enforce_file_format=True)
    assert str(pydicom.dcmread(path).ReviewerName) == name
    if shutil.which("dciodvfy"):
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False).stderr
        assert "Error" not in told, told
