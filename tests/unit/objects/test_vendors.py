"""Objects on real headers of several vendors, classic and Enhanced, each with its own gaps and oddities."""

import dataclasses
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk

from pipeline.names import Region
from pipeline.objects import build_objects, read_structure_set
from pipeline.settings import OBJECT_KINDS
from pipeline.volume import VolumeLimits, read_volume
from tests.unit.objects.test_objects import PROVENANCE, regions_of, reread, validate

#: These excerpts have few slices and, all but one, no frame of reference.
SERIES = [
    "ge/anatomical/001",
    "generic/anatomical/002_non_isotropic",
    "generic/compressed/001",
    "hitachi/anatomical/001",
    "hyperfine/anatomical/001",
    "philips/anatomical/001",
    "philips_enhanced/anatomical/001",
    "philips_enhanced/dti/001",
    "siemens/anatomical/001",
    "siemens/dti_classic/001",
    "siemens_enhanced",
]


@pytest.mark.parametrize("folder", SERIES)
def test_objects_on_real_headers(shared_data: Path, folder: str, tmp_path: Path) -> None:
    files = sorted(path for path in (shared_data / "dicom" / folder).iterdir() if path.is_file())
    files = [path for path in files if pydicom.misc.is_dicom(path)]
    volume = read_volume(files, limits=VolumeLimits(minimum_slices=2))
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    if not volume.frame_of_reference_uid:
        volume = dataclasses.replace(volume, frame_of_reference_uid="2.25.1")
        for header in headers:
            header.FrameOfReferenceUID = "2.25.1"
    probabilities, masks = regions_of(volume)
    made = build_objects(headers, volume, probabilities, masks, {}, PROVENANCE, want=set(OBJECT_KINDS) - {"pdf"})
    for roi in read_structure_set(reread(made.datasets["rtstruct"]), volume):
        expected = masks[Region(roi.name.removeprefix("GTV_"))]
        assert (sitk.GetArrayFromImage(roi.mask) == sitk.GetArrayFromImage(expected)).all()
    validate({**made.datasets, "overlay": next(iter(made.overlay))}, tmp_path)
