"""A synthetic DICOM study of four series, for the demo and the tests."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import SimpleITK as sitk
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, MRImageStorage, generate_uid

from pipeline.names import MRSequence, Region
from pipeline.training.synthesis import acquisition, tumour
from pipeline.training.synthesis.anatomy import (
    Anatomy,
    Push,
    add_normal_structures,
    coordinates,
    deform_head,
    push_grid,
)
from pipeline.training.synthesis.heads import Head, load_head
from pipeline.training.synthesis.noise import Array
from pipeline.training.synthesis.tissues import Tissue

EXTENT_MM = (168, 224, 180)
LABELS = {Region.WT: 2, Region.TC: 1, Region.ET: 4}
#: How far oedema reaches around foci that are followed over time.
_OEDEMA_MM = 8.0
PEAK = 900
"""Stored value of a signal three times that of brain."""


@dataclass(frozen=True)
class Focus:
    """A focus of a tumour.

    Attributes
    ----------
    centre
        Shares (z, y, x) of the brain's extent (towards superior, posterior, left).
    radius_mm, kind
        As of :class:`pipeline.training.synthesis.tumour.Core`.
    """

    centre: tuple[float, float, float]
    radius_mm: float
    kind: tumour.TumourKind


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


def _signals(patient: acquisition.Patient, plan: SeriesPlan) -> npt.NDArray[np.float64]:
    t1 = patient.t1_enhanced if plan.contrast else patient.t1
    if plan.ti is not None:
        values = acquisition.inversion_recovery(patient, t1, plan.tr, plan.ti, plan.te)
    else:
        values = acquisition.spin_echo(patient, t1, plan.tr, plan.te)
    return np.asarray(values / values[[Tissue.WHITE, Tissue.CORTEX]].mean())


def _place(head: Head, share: tuple[float, float, float]) -> tuple[float, float, float]:
    """Voxel (z, y, x) by its shares of the brain's extent."""
    where = np.argwhere(head.brain > 127)
    z, y, x = (float(a + (b - a) * one) for a, b, one in zip(where.min(0), where.max(0), share, strict=True))
    return z, y, x


def _anatomy(path: Path, rng: np.random.Generator, centre_share: tuple[float, float, float]) -> tuple[Anatomy, Array]:
    """The head with its tumour at 1 mm, and the regions WT, TC, ET as (3, z, y, x)."""
    head = load_head(path, 1, whole=True, extent_mm=EXTENT_MM)
    core = tumour.Core(_place(head, centre_share), 15.0, tumour.TumourKind.RING)
    positions = coordinates(head.brain.shape)
    anatomy = deform_head(head, push_grid(positions, positions, Push(core.centre, core.radius_mm, 5.0), 1.0))
    add_normal_structures(rng, anatomy)
    growth = tumour.grow(rng, [core], anatomy)
    return anatomy, tumour.implant(growth, anatomy, 0.9).astype(np.float32)


def _with_foci(path: Path, rng: np.random.Generator, seed: int, foci: Mapping[int, Focus]) -> tuple[Anatomy, Array]:
    """The head with several foci, without mass effect; each has its shape by its number, whatever is beside it."""
    head = load_head(path, 1, whole=True, extent_mm=EXTENT_MM)
    anatomy = deform_head(head, coordinates(head.brain.shape))
    add_normal_structures(rng, anatomy)
    regions = np.zeros((3, *head.brain.shape), dtype=bool)
    for number, focus in sorted(foci.items()):
        core = tumour.Core(_place(head, focus.centre), focus.radius_mm, focus.kind)
        growth = tumour.grow(np.random.default_rng([seed, number]), [core], anatomy, _OEDEMA_MM)
        regions |= tumour.implant(growth, anatomy, 0.9)
    return anatomy, regions.astype(np.float32)


def _as_image(array: npt.NDArray[np.generic]) -> sitk.Image:
    """An array (z, y, x) of 1 mm voxels as an image centred at the isocentre, LPS."""
    image = sitk.GetImageFromArray(array)
    image.SetOrigin([-(n - 1) / 2 for n in image.GetSize()])
    return image


def _series_grid(plan: SeriesPlan) -> sitk.Image:
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


def _acquire(clean: sitk.Image, plan: SeriesPlan, rng: np.random.Generator) -> sitk.Image:
    """Slices of a series: resampled from the anatomy with its slice profile, coil bias and noise."""
    profile = sitk.SmoothingRecursiveGaussian(clean, (0.45, 0.45, plan.thickness_mm / 2.355))
    grid = _series_grid(plan)
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


def _dataset(image: sitk.Image, k: int, plan: SeriesPlan, name: str) -> pydicom.Dataset:
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


def _lying(rng: np.random.Generator) -> sitk.Euler3DTransform:
    position = sitk.Euler3DTransform()
    position.SetRotation(*rng.uniform(-0.12, 0.12, 3))
    position.SetTranslation(rng.uniform(-6, 6, 3).tolist())
    return position


def place_in_scan(head: Path, seed: int, scan: int, centre: tuple[float, float, float]) -> tuple[float, float, float]:
    """Where a place, by its shares of the brain's extent, lies in a scan of :func:`write_study`: LPS, mm."""
    brain = load_head(head, 1, whole=True, extent_mm=EXTENT_MM)
    z, y, x = (at - (size - 1) / 2 for at, size in zip(_place(brain, centre), brain.brain.shape, strict=True))
    lps = _lying(np.random.default_rng([seed, scan])).GetInverse().TransformPoint((x, y, z))
    return float(lps[0]), float(lps[1]), float(lps[2])


def write_study(
    head: Path,
    out: Path,
    seed: int = 7,
    centre: tuple[float, float, float] = (0.62, 0.42, 0.72),
    scan: int = 0,
    foci: Mapping[int, Focus] | None = None,
) -> dict[str, object]:
    """Render a study with a ring-enhancing tumour and write it as DICOM.

    Parameters
    ----------
    head
        Label map to render.
    out
        Folder; gets ``t1``, ``t1c``, ``t2``, ``flair`` with one file a slice (MR Image Storage, JPEG-LS lossless),
        ``truth.nii.gz`` (labels 1, 2, 4 on the T1c's slices) and ``truth.json`` (volumes).
    seed
        Decides everything random.
    centre
        Place of the tumour as shares (z, y, x) of the brain's extent (towards superior, posterior, left).
    scan
        From 1: which scan of the same head it is, each with its own noise and coil, the head lying otherwise.
    foci
        In place of that tumour, by numbers that stand for the same focus in every scan.

    Returns
    -------
    What truth.json holds.
    """
    rng = np.random.default_rng(seed)
    anatomy, regions = _anatomy(head, rng, centre) if foci is None else _with_foci(head, rng, seed, foci)
    patient = acquisition.draw_patient(rng)
    table = {s: _signals(patient, plan) for s, plan in PLANS.items()}
    rendered = acquisition.render(rng, anatomy.fractions, table, 1.0)
    name = hashlib.sha256(f"{head.name}{seed}{centre}{scan or ''}".encode()).hexdigest()[:12]
    position = sitk.Euler3DTransform()
    if scan:
        rng = np.random.default_rng([seed, scan])
        position = _lying(rng)
    for k, sequence in enumerate(MRSequence):
        clean = _as_image(rendered[k])
        lying = sitk.Resample(clean, position, sitk.sitkLinear, 0.0) if scan else clean
        image = _acquire(lying, PLANS[sequence], rng)
        folder = out / sequence.value
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(image.GetSize()[2]):
            _dataset(image, number, PLANS[sequence], name).save_as(
                folder / f"{number + 1:03d}.dcm", enforce_file_format=True
            )
    return _write_truth(out, regions)


def _write_truth(out: Path, regions: Array) -> dict[str, object]:
    grid = _series_grid(PLANS[MRSequence.T1C])
    shares = [
        sitk.GetArrayFromImage(sitk.Resample(_as_image(r), grid, sitk.Transform(), sitk.sitkLinear)) for r in regions
    ]
    whole, core, enhancing = (share > 0.5 for share in shares)
    labels = sitk.GetImageFromArray(np.where(enhancing, 4, np.where(core, 1, np.where(whole, 2, 0))).astype(np.uint8))
    labels.CopyInformation(grid)
    sitk.WriteImage(labels, str(out / "truth.nii.gz"), useCompression=True)
    names = (Region.WT, Region.TC, Region.ET)
    truth: dict[str, object] = {
        "volumes_ml": {n.value: round(float(r.sum()) / 1000, 2) for n, r in zip(names, regions, strict=True)},
        "labels": {"1": "necrosis and non-enhancing core", "2": "oedema", "4": "enhancing tumour"},
        "space": "the T1c series (patient coordinates, LPS)",
        "displacement_against_t1c": {
            s.value: {"rotation_deg": p.moved_deg, "translation_mm": p.moved_mm} for s, p in PLANS.items()
        },
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    return truth
