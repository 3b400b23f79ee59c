"""A known shape goes in as DICOM and comes back as contours, by volume, alignment, network's grid and restore.

The network is left out: the moving series itself holds the shape as a probability, so that every millimetre
lost on the way is the geometry's.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from scipy import ndimage

from benchmarks.displacements import random_displacement
from pipeline.align import Alignment, align
from pipeline.inference.grids import extent_of, like, make_grid, sample
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.objects import Provenance, build_objects
from pipeline.registry import InputGrid
from pipeline.restore import Cleaning, restore
from pipeline.volume import SourceVolume, read_volume
from tests.unit.align.test_align import phantom

Points = NDArray[np.float64]
Field = Callable[[Points], Points]
NETWORK_GRID = InputGrid(order=(MRSequence.FLAIR,), spacing_mm=(2.0, 2.0, 2.0), window=(64, 64, 64), multiple=16)
CLEANING = Cleaning(
    thresholds=dict.fromkeys(TUMOUR_REGIONS, 0.5),
    minimum_component_ml=dict.fromkeys(TUMOUR_REGIONS, 0.1),
    fill_holes=True,
)
PROVENANCE = Provenance("none@0", "ab" * 32, created=datetime.datetime(2026, 3, 4, 5, 6, 7))
RAMP_MM = 12.0  # over which the probability rises around the border: wider than any slice is thick


@dataclass(frozen=True)
class Grid:
    """How a series is sliced: any plane, pixels, distance, handedness and order of files."""

    angles: tuple[float, float, float]
    column_mm: float
    row_mm: float
    step_mm: float
    mirrored: bool
    backwards: bool
    reach_mm: float = 100.0

    @property
    def axes(self) -> Points:
        """Columns: directions of the rows, of the columns, of the slices."""
        turn = sitk.Euler3DTransform()
        turn.SetRotation(*self.angles)
        axes = np.array(turn.GetMatrix()).reshape(3, 3)
        if self.mirrored:  # the normal, row times column, then points against the direction of the slices
            axes = axes * np.array([1.0, -1.0, 1.0])
        return axes

    @property
    def size(self) -> tuple[int, int, int]:
        return tuple(round(self.reach_mm / mm) for mm in (self.column_mm, self.row_mm, self.step_mm))  # type: ignore[return-value]


def ellipsoid(centre: Points, radii: Points, axes: Points) -> Field:
    """Probability of an ellipsoid that is 0.5 on its surface and rises linearly through it."""

    def field(points: Points) -> Points:
        local = (points - centre) @ axes / radii
        reach = np.linalg.norm(local, axis=-1)
        slope = np.linalg.norm(local / radii, axis=-1) / np.maximum(reach, 1e-9)
        distance = (reach - 1) / np.maximum(slope, 1e-9)  # first order: exact on the surface
        return np.clip(0.5 - distance / RAMP_MM, 0, 1)

    return field


def write_series(folder: Path, grid: Grid, middle: Points, field: Field, uid: str) -> list[Path]:
    """Classic MR instances of a field at the centres of voxels around ``middle``; names and numbers hide the order."""
    folder.mkdir(parents=True)
    columns, rows, slices = grid.size
    axes, steps = grid.axes, np.array([grid.column_mm, grid.row_mm, grid.step_mm])
    corner = middle - axes @ (steps * (np.array(grid.size) - 1) / 2)
    j, i = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    plane = i[..., None] * grid.column_mm * axes[:, 0] + j[..., None] * grid.row_mm * axes[:, 1]
    files = []
    for k in range(slices):
        place = slices - 1 - k if grid.backwards else k
        position = corner + axes[:, 2] * grid.step_mm * place
        stored = np.round(field(position + plane) * 20000).astype(np.uint16)
        header = Dataset()
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, f"{uid}.{k + 1}"
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = "1.2.3", uid, "1.2.9"
        header.PatientID, header.PatientName, header.PatientBirthDate, header.PatientSex = "P1", "Doe^Jo", "", "O"
        header.StudyDate, header.StudyTime, header.StudyID, header.AccessionNumber = "20260102", "101112", "7", "A9"
        header.ReferringPhysicianName, header.Modality, header.Manufacturer = "", "MR", "ACME"
        header.SeriesNumber, header.InstanceNumber, header.PositionReferenceIndicator = 4, (k * 7) % slices, ""
        header.Rows, header.Columns, header.PixelSpacing = rows, columns, [grid.row_mm, grid.column_mm]
        header.ImageOrientationPatient = [float(f"{v:.10f}") for v in (*axes[:, 0], *axes[:, 1])]
        header.ImagePositionPatient = [float(f"{v:.8f}") for v in position]
        header.SliceThickness = grid.step_mm
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
        header.RescaleSlope, header.RescaleIntercept = 1 / 20000, 0.0
        header.PixelData = stored.tobytes()
        files.append(folder / f"{(k * 5) % 101:03d}-{k}.dcm")
        header.save_as(files[-1], enforce_file_format=True)
    return files


def home_again(
    shape: SourceVolume, alignment: Alignment, reference: SourceVolume, files: list[Path], saved: Path
) -> Dataset:
    """From the series that holds the shape to the structure set on the reference series, through a file."""
    grid = make_grid(extent_of(reference.image), NETWORK_GRID)
    probability = like(sample(shape.image, alignment.transform, grid), grid)
    restored = restore(dict.fromkeys(TUMOUR_REGIONS, probability), reference, CLEANING)
    headers = [dcmread(file, stop_before_pixels=True) for file in files]
    objects = build_objects(
        headers, reference, restored.probabilities, restored.masks, CLEANING.thresholds, PROVENANCE, want={"rtstruct"}
    )
    objects.datasets["rtstruct"].save_as(saved, enforce_file_format=True)
    return dcmread(saved)


def centroid_and_volume(structure_set: Dataset, slice_distance: float) -> tuple[Points, float]:
    """Of the contours as written (mm, ml), by nothing but their points: areas of polygons times the slice distance."""
    number = next(
        roi.ROINumber for roi in structure_set.StructureSetROISequence if roi.ROIName.endswith(Region.WT.value)
    )
    item = next(roi for roi in structure_set.ROIContourSequence if roi.ReferencedROINumber == number)
    total, weighted = 0.0, np.zeros(3)
    for contour in item.ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        first = points[0]
        fans = np.cross(points[1:-1] - first, points[2:] - first) / 2
        normal = fans.sum(axis=0) / np.linalg.norm(fans.sum(axis=0))
        areas = fans @ normal
        centres = (first + points[1:-1] + points[2:]) / 3
        total += areas.sum()
        weighted += (areas[:, None] * centres).sum(axis=0)
    return weighted / total, total * slice_distance / 1000


def seen_from(motion: sitk.Euler3DTransform, field: Field) -> Field:
    """The field in a patient who has moved: point x of the first series lies at motion(x) in the second."""
    back = motion.GetInverse()
    origin = np.array(back.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.array([np.array(back.TransformPoint(unit)) - origin for unit in np.eye(3).tolist()])
    return lambda points: field(points @ matrix + origin)


def head(sequence: MRSequence) -> Field:
    """The phantom of the alignment's tests between its voxels, 0 to 1."""
    image = phantom(sequence, (1.8, 1.8, 1.8))
    values, origin = sitk.GetArrayFromImage(image) / 300, np.array(image.GetOrigin())

    def field(points: Points) -> Points:
        index = np.moveaxis((points - origin) / 1.8, -1, 0)[::-1]
        return np.clip(ndimage.map_coordinates(values, index, order=1), 0, 1)

    return field


angle = st.floats(-3.1, 3.1)
pixel = st.floats(0.6, 1.3)
grids = st.builds(Grid, st.tuples(angle, angle, angle), pixel, pixel, st.floats(1.0, 4.0), st.booleans(), st.booleans())
anywhere = st.floats(-6, 6)
radius = st.floats(30, 38)


@settings(max_examples=6, deadline=None)
@given(
    sliced=grids,
    moved=grids,
    centre=st.tuples(anywhere, anywhere, anywhere),
    radii=st.tuples(radius, radius, radius),
    turned=st.tuples(angle, angle, angle),
    seed=st.integers(0, 1000),
)
def test_a_shape_in_a_moved_series_comes_home(
    tmp_path_factory: pytest.TempPathFactory,
    sliced: Grid,
    moved: Grid,
    centre: tuple[float, float, float],
    radii: tuple[float, float, float],
    turned: tuple[float, float, float],
    seed: int,
) -> None:
    """Any two oblique grids, the patient moved between them by up to 40 mm and 25 degrees, by the alignment's map."""
    folder = tmp_path_factory.mktemp("study")
    field = ellipsoid(np.array(centre), np.array(radii), Grid(turned, 1, 1, 1, False, False).axes)
    motion = random_displacement(np.random.default_rng(seed), np.zeros(3))
    files = write_series(folder / "reference", sliced, np.zeros(3), field, "1.2.3.4")
    there = np.array(motion.TransformPoint((0.0, 0.0, 0.0)))
    others = write_series(folder / "moving", moved, there, seen_from(motion, field), "1.2.3.5")
    alignment = Alignment(motion, 1.0, 1.0, 0.0, 0.0)
    structure_set = home_again(read_volume(others), alignment, read_volume(files), files, folder / "rs.dcm")
    found, volume_ml = centroid_and_volume(structure_set, sliced.step_mm)
    assert np.linalg.norm(found - centre) < 0.2
    assert volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(radii) / 1000, rel=0.01)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_shape_comes_home_by_the_alignment_that_was_found(tmp_path: Path, seed: int) -> None:
    """The same with nothing given: two heads in DICOM, one displaced, aligned by their grey values."""
    rng = np.random.default_rng(seed)
    tilt, other = (tuple(rng.uniform(-0.3, 0.3, 3).tolist()) for _ in range(2))
    sliced = Grid(tilt, 1.4, 1.4, 3.0, bool(seed % 2), False, reach_mm=230.0)
    moved = Grid(other, 1.2, 1.5, 2.5, not seed % 2, True, reach_mm=230.0)
    motion = random_displacement(rng, np.zeros(3))
    there = np.array(motion.TransformPoint((0.0, 0.0, 0.0)))
    centre, radii = np.array([12.0, -8.0, 6.0]), np.array([30.0, 26.0, 33.0])
    shape = seen_from(motion, ellipsoid(centre, radii, np.eye(3)))
    files = {
        MRSequence.T1C: write_series(tmp_path / "t1c", sliced, np.zeros(3), head(MRSequence.T1C), "1.2.3.4"),
        MRSequence.FLAIR: write_series(
            tmp_path / "flair", moved, there, seen_from(motion, head(MRSequence.FLAIR)), "1.5"
        ),
    }
    shown = read_volume(write_series(tmp_path / "shape", moved, there, shape, "1.2.3.6"))
    volumes = {sequence: read_volume(one) for sequence, one in files.items()}
    found = align(volumes, MRSequence.T1C)[MRSequence.FLAIR]
    structure_set = home_again(shown, found, volumes[MRSequence.T1C], files[MRSequence.T1C], tmp_path / "rs.dcm")
    place, volume_ml = centroid_and_volume(structure_set, sliced.step_mm)
    assert np.linalg.norm(place - centre) < 0.2
    assert volume_ml == pytest.approx(4 / 3 * np.pi * np.prod(radii) / 1000, rel=0.01)
