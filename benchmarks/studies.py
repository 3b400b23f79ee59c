"""Studies for load: the synthetic study of samples/ at any size, and copies of it under new UIDs."""

from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from pipeline.settings import ROOT
from pipeline.volume import read_volume

SAMPLE = ROOT / "samples" / "synthetic-study"
#: Columns, rows, slices of each of the four series.
SMALL = (60, 73, 20)
TINY = (32, 40, 16)
FULL = (256, 256, 176)

Size = tuple[int, int, int]


def resampled(target: Path, size: Size) -> Path:
    """Write the sample's four series with so many columns, rows and slices over the same field of view.

    Returns
    -------
    Path
        ``target``: one folder a series, uncompressed 16 bit, one file a slice.
    """
    for folder in sorted(path for path in SAMPLE.iterdir() if path.is_dir()):
        files = sorted(folder.iterdir())
        volume = read_volume(files)
        grid = _grid(volume.image, size)
        pixels = sitk.GetArrayFromImage(sitk.Resample(volume.image, grid, sitk.Transform(), sitk.sitkLinear, 0.0))
        header = pydicom.dcmread(files[0])
        (target / folder.name).mkdir(parents=True)
        for number, plane in enumerate(np.clip(pixels, 0, 32767).astype(np.uint16)):
            _describe(header, grid, number)
            header.PixelData = plane.tobytes()
            header.save_as(target / folder.name / f"{number:04d}.dcm", enforce_file_format=True)
    return target


def _grid(image: sitk.Image, size: Size) -> sitk.Image:
    """Return an empty image over the field of view of another, edge to edge."""
    ratio = [old / new for old, new in zip(image.GetSize(), size, strict=True)]
    first = [0.5 * one - 0.5 for one in ratio]
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetDirection(image.GetDirection())
    grid.SetSpacing([old * one for old, one in zip(image.GetSpacing(), ratio, strict=True)])
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first))
    return grid


def _describe(header: pydicom.Dataset, grid: sitk.Image, number: int) -> None:
    columns, rows, _ = grid.GetSize()
    x, y, z = grid.GetSpacing()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    header.InstanceNumber = number + 1
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
    header.RescaleIntercept, header.RescaleSlope = 0, 1
    header.PixelSpacing = [f"{y:.8g}", f"{x:.8g}"]
    header.SliceThickness = f"{z:.8g}"
    if "SpacingBetweenSlices" in header:
        header.SpacingBetweenSlices = f"{z:.8g}"
    header.ImagePositionPatient = [f"{one:.8g}" for one in grid.TransformIndexToPhysicalPoint((0, 0, number))]


def copied(template: Path, target: Path, patient: str) -> Path:
    """Copy a study under new UIDs of study, frame of reference, series and instances, as another patient's."""
    study, frame = generate_uid(), generate_uid()
    for folder in sorted(path for path in template.iterdir() if path.is_dir()):
        series = generate_uid()
        (target / folder.name).mkdir(parents=True)
        for path in sorted(folder.iterdir()):
            dataset = pydicom.dcmread(path)
            dataset.PatientID = dataset.PatientName = patient
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
            dataset.FrameOfReferenceUID = frame
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.save_as(target / folder.name / path.name)
    return target
