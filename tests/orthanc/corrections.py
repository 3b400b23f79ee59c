"""A radiologist at the workstation: takes the structure set, draws, sends it back to the node."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours

from tests.orthanc.conftest import Pair, copy_study
from tests.patience import wait_for


def from_workstation(pair: Pair) -> tuple[str, Dataset]:
    """The structure set that arrived at the workstation: Orthanc's id there, and the dataset."""
    wait_for(lambda: bool(pair.workstation_structure_sets()), 60, "the structure set at the workstation")
    (identity,) = pair.workstation_structure_sets()
    return identity, fetch(pair, identity)


def fetch(pair: Pair, identity: str) -> Dataset:
    """An instance of the workstation."""
    with pair.workstation.client() as client:
        return pydicom.dcmread(BytesIO(client.get(f"/instances/{identity}/file").raise_for_status().content))


def send_back(pair: Pair, dataset: Dataset) -> str:
    """Store a dataset at the workstation, as its user saves it, and send it to the node by C-STORE."""
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    with pair.workstation.client() as client:
        stored = client.post("/instances", content=content.getvalue()).raise_for_status().json()["ID"]
        client.post("/modalities/node/store", content=str(stored)).raise_for_status()
    return str(stored)


def grow(structure_set: Dataset, name: str, mm: float) -> None:
    """Move every contour of an ROI outwards, as a radiologist's margin does."""
    (number,) = [roi.ROINumber for roi in structure_set.StructureSetROISequence if roi.ROIName == name]
    for item in structure_set.ROIContourSequence:
        if item.ReferencedROINumber != number:
            continue
        for contour in item.ContourSequence:
            points = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)
            if not _round(points):
                continue
            centre = points.mean(axis=0)
            away = points - centre
            distance = np.linalg.norm(away, axis=1, keepdims=True)
            points = centre + away * (1 + mm / np.maximum(distance, mm))
            contour.ContourData = [f"{value:.3f}" for value in points.ravel()]


def outlines(labels: sitk.Image, members: tuple[int, ...], slices: list[Path]) -> list[Dataset]:
    """Draw around some labels of a map in patient coordinates, on the slices of a series: contour items."""
    items = []
    for path in slices:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        grid = _grid(header)
        found = sitk.Resample(labels, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
        mask = np.isin(sitk.GetArrayViewFromImage(found)[0], members)
        for outline in find_contours(mask.astype(np.float32), 0.5):
            points = [grid.TransformContinuousIndexToPhysicalPoint((x, y, 0.0)) for y, x in outline[:-1]]
            item, image = Dataset(), Dataset()
            image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = MRImageStorage, header.SOPInstanceUID
            item.ContourImageSequence = [image]
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            item.ContourData = [f"{value:.3f}" for point in points for value in point]
            items.append(item)
    return items


def _grid(header: Dataset) -> sitk.Image:
    """An empty image of one slice."""
    grid = sitk.Image(header.Columns, header.Rows, 1, sitk.sitkUInt8)
    across, down = (np.array(header.ImageOrientationPatient[k : k + 3], dtype=float) for k in (0, 3))
    grid.SetDirection(np.stack([across, down, np.cross(across, down)], axis=1).ravel().tolist())
    grid.SetOrigin([float(value) for value in header.ImagePositionPatient])
    grid.SetSpacing((float(header.PixelSpacing[1]), float(header.PixelSpacing[0]), 1.0))
    return grid


def replace_contours(structure_set: Dataset, name: str, contours: list[Dataset]) -> None:
    """Put other contours in the place of an ROI's."""
    (number,) = [roi.ROINumber for roi in structure_set.StructureSetROISequence if roi.ROIName == name]
    (item,) = [item for item in structure_set.ROIContourSequence if item.ReferencedROINumber == number]
    item.ContourSequence = contours


def _round(points: NDArray[np.float64]) -> bool:
    """Whether a contour is nearly convex: only then does moving it away from its middle grow it."""
    flat = points[:, :2]
    if len(flat) < 8:
        return False
    x, y = flat.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return bool(area > 0.9 * ConvexHull(flat).volume)


def coarse_scan(source: Path, target: Path, number: int, patient: str) -> Path:
    """Copy the shipped study as another patient's: a third of the matrix, other noise."""
    copy_study(source, target, "t1", "t1c", "t2", "flair")
    rng = np.random.default_rng(number)
    for path in target.glob("*/*"):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array[::3, ::3].astype(np.float64)
        pixels += rng.normal(0, 0.01 * pixels.max(), pixels.shape) * (pixels > 0)
        dataset.PixelData = np.clip(pixels, 0, None).astype(np.uint16).tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing = [3 * float(one) for one in dataset.PixelSpacing]
        dataset.PatientID, dataset.PatientName = patient, f"Loop^{number}"
        dataset.save_as(path, enforce_file_format=True)
    return target
