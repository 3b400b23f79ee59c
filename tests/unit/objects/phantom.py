"""Phantom series and shapes for the tests of DICOM objects."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import MRImageStorage, generate_uid

from pipeline.volume.records import SliceSource, SourceVolume

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def random_orientation(generator: np.random.Generator) -> tuple[float, ...]:
    """Return the cosines of a random, oblique plane."""
    matrix, _ = np.linalg.qr(generator.normal(size=(3, 3)))
    return tuple(np.concatenate([matrix[:, 0], matrix[:, 1]]).tolist())


def phantom_series(
    shape: tuple[int, int, int] = (10, 32, 40),
    spacing: tuple[float, float, float] = (0.9, 1.1, 3.0),
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-20.0, -15.0, 12.0),
    pixels: bool = True,
) -> tuple[list[Dataset], SourceVolume]:
    """Return a classic MR series: headers (slices, rows, columns; spacing of columns, rows, slices) and volume."""
    slices, rows, columns = shape
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    across, down = np.array(orientation[:3]), np.array(orientation[3:])
    normal = np.cross(across, down)
    values = np.random.default_rng(3).integers(100, 900, size=shape).astype(np.uint16)
    headers = []
    for index in range(slices):
        header = Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        header.file_meta.MediaStorageSOPClassUID = MRImageStorage
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, frame
        header.PatientID, header.PatientName, header.PatientBirthDate, header.PatientSex = "P1", "Doe^Jo", "", "O"
        header.StudyDate, header.StudyTime, header.StudyID, header.AccessionNumber = "20260102", "101112", "7", "A9"
        header.ReferringPhysicianName, header.Modality, header.Manufacturer = "", "MR", "ACME"
        header.SeriesNumber, header.InstanceNumber = 4, slices - index
        header.PositionReferenceIndicator = ""
        header.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        header.Rows, header.Columns = rows, columns
        header.PixelSpacing = [spacing[1], spacing[0]]
        header.ImageOrientationPatient = [float(f"{value:.10f}") for value in orientation]
        position = np.array(origin) + normal * spacing[2] * index
        header.ImagePositionPatient = [float(f"{value:.8f}") for value in position]
        header.SliceThickness = spacing[2]
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
        if pixels:
            header.PixelData = values[index].tobytes()
            header["PixelData"].VR = "OW"
        headers.append(header)
    return headers, volume_of(headers, values)


def volume_of(headers: Sequence[Dataset], values: NDArray[np.generic]) -> SourceVolume:
    """Return the volume of headers that are in the order of slices."""
    first = headers[0]
    across = np.array([float(value) for value in first.ImageOrientationPatient[:3]])
    down = np.array([float(value) for value in first.ImageOrientationPatient[3:]])
    normal = np.cross(across, down)
    positions = np.array([[float(value) for value in header.ImagePositionPatient] for header in headers])
    distance = float((positions[-1] - positions[0]) @ normal / max(1, len(headers) - 1)) or 1.0
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((float(first.PixelSpacing[1]), float(first.PixelSpacing[0]), distance))
    image.SetOrigin(positions[0].tolist())
    image.SetDirection(np.stack([across, down, normal], axis=1).ravel().tolist())
    return SourceVolume(
        image=image,
        slices=tuple(
            SliceSource(str(header.SOPClassUID), str(header.SOPInstanceUID), None, tuple(position.tolist()))
            for header, position in zip(headers, positions, strict=True)
        ),
        study_instance_uid=str(first.StudyInstanceUID),
        series_instance_uid=str(first.SeriesInstanceUID),
        frame_of_reference_uid=str(first.FrameOfReferenceUID),
    )


def series_from_folder(folder: Path) -> tuple[list[Dataset], SourceVolume]:
    """Return headers with pixels and volume of a folder that holds one classic series."""
    headers = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    orientation = [float(value) for value in headers[0].ImageOrientationPatient]
    normal = np.cross(orientation[:3], orientation[3:])
    headers.sort(key=lambda header: float(np.dot(normal, [float(v) for v in header.ImagePositionPatient])))
    return headers, volume_of(headers, np.stack([header.pixel_array for header in headers]))


def image_like(values: NDArray[np.generic], volume: SourceVolume) -> sitk.Image:
    """Return an array (slices, rows, columns) as an image on the volume's grid."""
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(volume.image)
    return image


def signed_distance(volume: SourceVolume, centre: Sequence[float] | None = None) -> NDArray[np.float64]:
    """Return (slices, rows, columns) the distance, mm, of each voxel's centre from a point (middle if None)."""
    columns, rows, slices = volume.image.GetSize()
    sx, sy, sz = volume.image.GetSpacing()
    k, j, i = np.meshgrid(np.arange(slices), np.arange(rows), np.arange(columns), indexing="ij")
    x, y, z = centre if centre is not None else ((columns - 1) / 2 * sx, (rows - 1) / 2 * sy, (slices - 1) / 2 * sz)
    return np.asarray(np.sqrt((i * sx - x) ** 2 + (j * sy - y) ** 2 + (k * sz - z) ** 2))


def soft(inside: NDArray[np.float64], width: float = 4.0) -> NDArray[np.float32]:
    """Return a probability that rises linearly over ``width`` mm around the zero level of a distance inside."""
    return np.clip(0.5 + inside / width, 0, 1).astype(np.float32)


def tumour(volume: SourceVolume, radius: float = 30.0) -> dict[str, NDArray[np.float32]]:
    """Return probabilities of a made-up tumour: lobed WT, TC with it, ET a shell around a necrotic centre."""
    base = signed_distance(volume)
    generator = np.random.default_rng(11)
    noise = sitk.GetArrayFromImage(
        sitk.DiscreteGaussian(
            image_like(generator.normal(size=base.shape), volume), variance=36.0, maximumKernelWidth=64
        )
    )
    wobble = noise / noise.std() * 3.0
    whole = soft(radius - base + wobble)
    core = np.minimum(whole, soft(0.6 * radius - base + wobble))
    ring = np.minimum(core, soft(base - 0.3 * radius + wobble))
    return {"WT": whole, "TC": core, "ET": ring}
