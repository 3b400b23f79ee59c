"""Contours longer than explicit VR can hold stay decimal strings."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pipeline.objects import Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.objects.rtstruct.content import LONGEST_EXPLICIT
from tests.unit.objects.phantom import image_like, phantom_series


@pytest.mark.parametrize(
    ("columns", "syntax", "decimals"),
    [
        (600, pydicom.uid.ExplicitVRLittleEndian, 5),
        (850, pydicom.uid.ExplicitVRLittleEndian, 3),
        (3000, pydicom.uid.ImplicitVRLittleEndian, 3),
    ],
)
def test_contour_data_stays_decimal_strings(columns: int, syntax: str, decimals: int, tmp_path: Path) -> None:
    headers, volume = phantom_series((3, 24, columns), spacing=(0.5, 0.5, 3.0), pixels=False)
    comb = np.zeros((3, 24, columns), np.uint8)
    comb[1, 4:20, 4:-4] = 1
    comb[1, 8:20, 6:-6:2] = 0
    made = RTStructureSet(headers, volume, [RegionOfInterest(1, "GTV_WT", image_like(comb, volume))], Provenance("a@1"))
    path = tmp_path / "rtstruct.dcm"
    made.save_as(path, enforce_file_format=True)
    again = pydicom.dcmread(path)
    assert again.file_meta.TransferSyntaxUID == syntax
    (contour,) = again.ROIContourSequence[0].ContourSequence
    raw = contour.get_item("ContourData")
    assert syntax == pydicom.uid.ImplicitVRLittleEndian or raw.length <= LONGEST_EXPLICIT
    assert len(raw.value.split(b"\\")[0].partition(b".")[2]) == decimals
    assert contour["ContourData"].VR == "DS"
    assert np.array_equal(sitk.GetArrayFromImage(read_structure_set(again, volume)[0].mask), comb)
    # Whoever reads it writes it as it was.
    copy = io.BytesIO()
    again.save_as(copy)
    assert (
        pydicom.dcmread(io.BytesIO(copy.getvalue())).ROIContourSequence[0].ContourSequence[0]["ContourData"].VR == "DS"
    )
    if shutil.which("dcmdump"):
        shown = subprocess.run(["dcmdump", "+P", "3006,0050", path], capture_output=True, text=True, check=True).stdout
        assert shown.startswith("(3006,0050) DS [")
    if shutil.which("dciodvfy"):
        told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
        assert "Error" not in told.stdout + told.stderr
