"""The series of a rendered study: how each is taken, and its slices as DICOM."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, MRImageStorage, generate_uid

from pipeline.names import MRSequence
from pipeline.training.synthesis import acquisition
from pipeline.training.synthesis.tissues import Tissue

PEAK = 900
"""Stored value of a signal three times that of brain."""


@dataclass(frozen=True)
class SeriesPlan:
    """How one series is taken.

    Attributes
    ----------
    number, description, sequence, variant
        SeriesNumber, SeriesDescription, ScanningSequence, SequenceVariant.
    tr, te, ti
        ms; ti None where there is no inversion.
    contrast
        ContrastBolusAgent, empty for none.
    thickness_mm, gap_mm
        Of the slices.
    tilt_deg
        Turn of the slices about the patient's left-right and front-back axis.
    moved_deg, moved_mm
        How the patient lies against the reference series: rotations and shifts about and along x, y, z.
    """

    number: int
    description: str
    sequence: str
    variant: str
    tr: float
    te: float
    ti: float | None = None
    contrast: str = ""
    thickness_mm: float = 3.0
    gap_mm: float = 1.0
    tilt_deg: tuple[float, float] = (0.0, 0.0)
    moved_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    moved_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)


PLANS: dict[MRSequence, SeriesPlan] = {
    MRSequence.T1: SeriesPlan(
        2, "T1 SE AX", "SE", "SP", 550, 12, moved_deg=(0.8, 0.5, -1.0), moved_mm=(0.5, 1.0, -1.0)
    ),
    MRSequence.T2: SeriesPlan(
        3,
        "T2 TSE AX OBL",
        "SE",
        "SK",
        4500,
        95,
        tilt_deg=(9.0, 2.0),
        moved_deg=(2.5, -1.5, 3.0),
        moved_mm=(3.0, -4.0, 2.5),
    ),
    MRSequence.FLAIR: SeriesPlan(
        4,
        "FLAIR AX",
        "IR",
        "SK",
        9000,
        115,
        ti=2450,
        thickness_mm=4.0,
        gap_mm=0.4,
        tilt_deg=(3.0, 0.0),
        moved_deg=(-1.0, 1.0, 1.5),
        moved_mm=(-1.0, 1.5, 1.0),
    ),
    MRSequence.T1C: SeriesPlan(5, "T1 SE AX POST GD", "SE", "SP", 550, 12, contrast="Gadobutrol"),
}


def signals(patient: acquisition.Patient, plan: SeriesPlan) -> npt.NDArray[np.float64]:
    """Signal of every tissue in a series, against the mean of white matter and cortex."""
    t1 = patient.t1_enhanced if plan.contrast else patient.t1
    if plan.ti is not None:
        values = acquisition.inversion_recovery(patient, t1, plan.tr, plan.ti, plan.te)
    else:
        values = acquisition.spin_echo(patient, t1, plan.tr, plan.te)
    return np.asarray(values / values[[Tissue.WHITE, Tissue.CORTEX]].mean())


def as_image(array: npt.NDArray[np.generic], spacing_mm: float = 1.0) -> sitk.Image:
    """An array (z, y, x) of isotropic voxels as an image centred at the isocentre, LPS."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([spacing_mm] * 3)
    image.SetOrigin([-(n - 1) / 2 * spacing_mm for n in image.GetSize()])
    return image


def series_grid(plan: SeriesPlan) -> sitk.Image:
    """The empty slices of a series, around the isocentre."""
    distance = plan.thickness_mm + plan.gap_mm
    turn = sitk.Euler3DTransform()
    turn.SetRotation(np.deg2rad(plan.tilt_deg[0]), np.deg2rad(plan.tilt_deg[1]), 0)
    direction = np.array(turn.GetMatrix()).reshape(3, 3)
    size = np.array([180, 220, int(160 / distance)])
    spacing = np.array([1.0, 1.0, distance])
    grid = sitk.Image([int(n) for n in size], sitk.sitkFloat32)
    grid.SetSpacing(spacing.tolist())
    grid.SetDirection(direction.ravel().tolist())
    grid.SetOrigin((-direction @ (spacing * (size - 1) / 2)).tolist())
    return grid


def _displacement(plan: SeriesPlan) -> sitk.Euler3DTransform:
    moved = sitk.Euler3DTransform()
    moved.SetRotation(*np.deg2rad(plan.moved_deg))
    moved.SetTranslation(plan.moved_mm)
    return moved


def acquire(clean: sitk.Image, plan: SeriesPlan, rng: np.random.Generator) -> sitk.Image:
    """Slices of a series: resampled from the anatomy with its slice profile, coil bias and noise."""
    profile = sitk.SmoothingRecursiveGaussian(clean, (0.45, 0.45, plan.thickness_mm / 2.355))
    grid = series_grid(plan)
    taken = sitk.Resample(profile, grid, _displacement(plan), sitk.sitkLinear, 0.0)
    values = sitk.GetArrayFromImage(taken)
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in values.shape)
    slope = rng.uniform(-0.12, 0.12, 3)
    bias = 1 + slope[0] * z[:, None, None] + slope[1] * y[None, :, None] + slope[2] * x[None, None, :]
    noise = rng.standard_normal((2, *values.shape), dtype=np.float32) * np.float32(0.011)
    values = np.sqrt((values * bias + noise[0]) ** 2 + noise[1] ** 2)
    stored = sitk.GetImageFromArray(np.clip(np.round(values * PEAK / 3), 0, 4095).astype(np.uint16))
    stored.CopyInformation(grid)
    return stored


def _uid(*words: object) -> UID:
    return generate_uid(entropy_srcs=["glioloop synthetic study", *map(str, words)])


def dataset(image: sitk.Image, k: int, plan: SeriesPlan, name: str) -> pydicom.Dataset:
    """Slice k of a series as a classic MR Image."""
    ds = pydicom.Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = _uid(name, plan.number, k)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(name), _uid(name, plan.number)
    ds.FrameOfReferenceUID = _uid(name, "frame")
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "MR", "Synthetic", "Label map renderer"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    ds.PatientName, ds.PatientID, ds.PatientSex, ds.PatientBirthDate = (
        "SAMPLE^SYNTHETIC",
        "SYNTHETIC-1",
        "O",
        "19700101",
    )
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20260101"
    ds.StudyTime, ds.AcquisitionTime = "090000", f"09{plan.number:02d}00"
    ds.SeriesTime = ds.ContentTime = ds.AcquisitionTime
    ds.AccessionNumber, ds.StudyID, ds.ReferringPhysicianName = "SYNTHETIC1", "1", ""
    ds.StudyDescription, ds.SeriesDescription = "MR BRAIN (SYNTHETIC)", plan.description
    ds.ProtocolName, ds.BodyPartExamined, ds.PatientPosition = plan.description, "HEAD", "HFS"
    ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = plan.number, k + 1, 1
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = plan.sequence, plan.variant, ""
    ds.MRAcquisitionType, ds.MagneticFieldStrength = "2D", 1.5
    ds.RepetitionTime, ds.EchoTime, ds.FlipAngle = plan.tr, plan.te, 90
    ds.EchoTrainLength = 1 if plan.variant == "SP" else 12
    if plan.ti is not None:
        ds.InversionTime = plan.ti
    if plan.contrast:
        ds.ContrastBolusAgent, ds.ContrastBolusRoute = plan.contrast, "IV"
    ds.SliceThickness, ds.SpacingBetweenSlices = plan.thickness_mm, plan.thickness_mm + plan.gap_mm
    _add_pixels(ds, image, k)
    return ds


def _add_pixels(ds: pydicom.Dataset, image: sitk.Image, k: int) -> None:
    direction = np.array(image.GetDirection()).reshape(3, 3)
    position = image.TransformIndexToPhysicalPoint((0, 0, k))
    ds.ImagePositionPatient = [round(v, 4) for v in position]
    ds.ImageOrientationPatient = [round(float(v), 6) for v in (*direction[:, 0], *direction[:, 1])]
    ds.PixelSpacing = [image.GetSpacing()[1], image.GetSpacing()[0]]
    pixels = sitk.GetArrayViewFromImage(image)[k]
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.WindowCenter, ds.WindowWidth = PEAK // 3, PEAK * 2 // 3
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    ds.compress(JPEGLSLossless, encoding_plugin="pyjpegls", generate_instance_uid=False)


def lying(rng: np.random.Generator) -> sitk.Euler3DTransform:
    """How a head lies in a scan: maps a point of the scan to the head's own space, mm."""
    position = sitk.Euler3DTransform()
    position.SetRotation(*rng.uniform(-0.12, 0.12, 3))
    position.SetTranslation(rng.uniform(-6, 6, 3).tolist())
    return position
