"""The shipped sample study under a test patient, under new UIDs each time, so that no check is a repetition."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import pydicom
from pydicom.uid import UID

from pipeline.names import TEST_PATIENT_ID
from pipeline.objects.provenance import UidSource
from pipeline.settings import ROOT

SAMPLE: Final = ROOT / "samples" / "synthetic-study"
TRUTH: Final = SAMPLE / "truth.nii.gz"
_RENAMED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


def test_images(seed: str, sample: Path = SAMPLE) -> Iterator[bytes]:
    """Return the sample's images as Part 10 files.

    Parameters
    ----------
    seed
        Identity of the check: the same gives the same UIDs, so that images that are sent again change nothing.
    sample
        Folder of the study.
    """
    uids = UidSource(f"check/{seed}")
    for path in sorted(sample.rglob("*.dcm")):
        image = pydicom.dcmread(path)
        for keyword in _RENAMED:
            image[keyword].value = UID(uids.uid(str(image[keyword].value)))
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.PatientID, image.PatientName = TEST_PATIENT_ID, "GlioLoop^Check"
        file = BytesIO()
        image.save_as(file, enforce_file_format=True)
        yield file.getvalue()
