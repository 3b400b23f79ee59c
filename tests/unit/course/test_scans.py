"""What was stored is read again: the same masks as were written, whatever part of the grid an object covers."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from pipeline.course.scans import masks_of
from pipeline.names import MRSequence, Region
from pipeline.objects import build_objects
from pipeline.settings import Settings
from tests.unit.objects.phantom import image_like, phantom_series
from tests.unit.objects.test_objects import PROVENANCE, regions_of


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_contours_as_they_were_stored(kind: str, tmp_path: Path) -> None:
    headers, volume = phantom_series((18, 40, 48))
    probabilities, masks = regions_of(volume)
    cavity = np.zeros((18, 40, 48), dtype=np.uint8)
    cavity[4:9, 3:9, 5:12] = 1
    masks[Region.CAVITY] = image_like(cavity, volume)
    settings = Settings()
    made = build_objects(headers, volume, probabilities, masks, {}, PROVENANCE, roi_names=settings.roi_names)
    made.datasets[kind].save_as(tmp_path / "object.dcm", enforce_file_format=True)
    read = masks_of(pydicom.dcmread(tmp_path / "object.dcm"), volume, MRSequence.T1C, settings)
    assert set(read) == set(masks)
    for region in masks:
        written = sitk.GetArrayViewFromImage(masks[region]) > 0
        assert written.any()
        assert not written.all(axis=(1, 2)).any()
        assert np.mean(read[region] != written) < (0.004 if kind == "rtstruct" else 1e-9)
