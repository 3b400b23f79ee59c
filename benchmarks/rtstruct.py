"""Structure sets: how fast, how exact, beside rt-utils in the same run.

Usage: python -m benchmarks.rtstruct [--peers PYTHON] [--shapes N] [--json]

Writes three ROIs on 176 slices of 256² and reads one; measures spheres and shells against their exact volume; takes
N random shapes on random oblique grids through a structure set and back. PYTHON is an interpreter whose environment
holds rt-utils, which reports its own times.
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy import ndimage

from benchmarks.environment import peers_python
from pipeline.objects import HoleEncodings, Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.volume import SliceSource, SourceVolume

PEER = Path(__file__).with_name("rtstruct_peer.py")
PROVENANCE = Provenance("made-up@1")
REPEATS = 5


def series(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], direction: NDArray[np.float64]
) -> tuple[list[Dataset], SourceVolume]:
    """Return headers with empty pixels and the volume; direction's columns are row, column and slice cosines."""
    headers, slices = [], []
    study, uid, frame = generate_uid(), generate_uid(), generate_uid()
    for index in range(shape[0]):
        position = direction[:, 2] * spacing[2] * index + [-80.0, -90.0, 20.0]
        header = Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, uid, frame
        header.PatientID, header.PatientName, header.Modality = "P", "P^P", "MR"
        header.PatientBirthDate = header.PatientSex = header.StudyDate = header.StudyTime = header.StudyID = ""
        header.AccessionNumber = header.ReferringPhysicianName = ""
        header.ImageOrientationPatient = [f"{value:.12f}" for value in direction[:, :2].T.ravel()]
        header.ImagePositionPatient = [f"{value:.8f}" for value in position]
        header.PixelSpacing, header.SliceThickness = [spacing[1], spacing[0]], spacing[2]
        header.Rows, header.Columns, header.SamplesPerPixel = shape[1], shape[2], 1
        header.PhotometricInterpretation, header.PixelRepresentation = "MONOCHROME2", 0
        header.BitsAllocated, header.BitsStored, header.HighBit = 8, 8, 7
        header.PixelData = bytes(shape[1] * shape[2])
        header["PixelData"].VR = "OB"
        headers.append(header)
        written = tuple(float(value) for value in header.ImagePositionPatient)
        slices.append(SliceSource(MRImageStorage, header.SOPInstanceUID, None, written))
    image = sitk.Image(shape[2], shape[1], shape[0], sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetOrigin(slices[0].position)
    image.SetDirection(direction.ravel().tolist())
    return headers, SourceVolume(image, tuple(slices), study, uid, frame)


def on(volume: SourceVolume, values: NDArray[np.generic]) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(volume.image)
    return image


def balls(shape: tuple[int, int, int]) -> dict[str, NDArray[np.float32]]:
    """Return probabilities of three nested, lobed regions; the innermost is a shell."""
    grid = np.stack(np.meshgrid(*[np.arange(size, dtype=np.float32) for size in shape], indexing="ij"), axis=-1)
    middle = np.array(shape, np.float32) / 2
    lobes = 6 * np.sin(grid[..., 0] / 5) * np.cos(grid[..., 1] / 6) * np.sin(grid[..., 2] / 7)
    radius = np.linalg.norm(grid - middle, axis=-1) + lobes
    inside = {"WT": 60 - radius, "TC": 45 - radius, "ET": np.minimum(45 - radius, radius - 20)}
    return {name: np.clip(0.5 + distance / 4, 0, 1).astype(np.float32) for name, distance in inside.items()}


def speed(peers: Path) -> dict[str, float]:
    """Return seconds (best of several) to write three ROIs and to read one."""
    shape = (176, 256, 256)
    headers, volume = series(shape, (1.0, 1.0, 1.0), np.eye(3))
    fields = balls(shape)
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        target, images, masks = Path(folder) / "ours.dcm", Path(folder) / "images", Path(folder) / "masks"
        images.mkdir()
        masks.mkdir()
        for kind in ("probabilities", "masks"):
            regions = [
                RegionOfInterest(
                    number, name, on(volume, field if kind == "probabilities" else (field >= 0.5) * np.uint8(1))
                )
                for number, (name, field) in enumerate(fields.items(), start=1)
            ]
            times = []
            for _ in range(REPEATS):
                begin = time.perf_counter()
                made = RTStructureSet(headers, volume, regions, PROVENANCE)
                made.save_as(target, enforce_file_format=True)
                times.append(time.perf_counter() - begin)
            results[f"write 3 ROIs ({kind})"] = min(times)
        times = []
        for _ in range(REPEATS):
            begin = time.perf_counter()
            roi = read_structure_set(target, volume, numbers=[1])[0]
            times.append(time.perf_counter() - begin)
        results["read 1 ROI with the file"] = min(times)
        assert (sitk.GetArrayFromImage(roi.mask) == (fields["WT"] >= 0.5)).all()
        for index, header in enumerate(headers):
            header.save_as(images / f"{index:03}.dcm", enforce_file_format=True)
        for name, field in fields.items():
            np.save(masks / f"{name}.npy", field >= 0.5)
        theirs = Path(folder) / "theirs.dcm"
        written = _peer(peers, "rt_utils_write", images, masks, theirs)
        read = _peer(peers, "rt_utils_read", images, theirs, masks)
        results["rt-utils: open series"] = written["open_s"]
        results["rt-utils: write 3 ROIs (masks)"] = written["write_s"]
        results["rt-utils: read 1 ROI, file already open"] = read["rois"]["WT"]["read_s"]
    return results


def _peer(peers: Path, *arguments: object) -> dict[str, dict[str, dict[str, float]]]:
    done = subprocess.run([peers, PEER, *map(str, arguments)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def volumes(peers: Path) -> dict[str, dict[str, float]]:
    """Return errors of volume, %, of the contours of spheres and shells; rt-utils gets the mask of the same shape."""
    results: dict[str, dict[str, float]] = {}
    for radius, hole in ((10, 0), (15, 0), (25, 0), (40, 0), (15, 7), (25, 12), (40, 30)):
        size = 2 * radius + 8
        headers, volume = series((size, size, size), (1.0, 1.0, 1.0), np.eye(3))
        grid = np.stack(np.meshgrid(*3 * [np.arange(size)], indexing="ij"), axis=-1)
        distance = np.linalg.norm(grid - (size - 1) / 2 - [0.21, 0.37, -0.3], axis=-1)
        inside = np.minimum(radius - distance, distance - hole) if hole else radius - distance
        exact = 4 / 3 * np.pi * (radius**3 - hole**3)
        title = f"shell {radius}/{hole} mm" if hole else f"sphere {radius} mm"
        field = np.clip(0.5 + inside / 4, 0, 1).astype(np.float32)
        made = RTStructureSet(headers, volume, [RegionOfInterest(1, "R", on(volume, field))], PROVENANCE)
        results[title] = {"ours": 100 * (contour_volume(made) / exact - 1)}
        with tempfile.TemporaryDirectory() as folder:
            images, masks, theirs = Path(folder) / "images", Path(folder) / "masks", Path(folder) / "theirs.dcm"
            images.mkdir()
            masks.mkdir()
            for index, header in enumerate(headers):
                header.save_as(images / f"{index:03}.dcm", enforce_file_format=True)
            np.save(masks / "R.npy", inside >= 0)
            _peer(peers, "rt_utils_write", images, masks, theirs)
            results[title]["rt-utils"] = 100 * (contour_volume(pydicom.dcmread(theirs)) / exact - 1)
    return results


def contour_volume(structure_set: Dataset) -> float:
    """Return the volume within axial contours 1 mm apart: on each slice the largest area less the others'."""
    areas: dict[float, list[float]] = {}
    for contour in structure_set.ROIContourSequence[0].ContourSequence:
        x, y, z = np.array(contour.ContourData, float).reshape(-1, 3).T
        area = abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2
        areas.setdefault(round(float(z[0]), 2), []).append(area)
    return sum(2 * max(found) - sum(found) for found in areas.values())


def round_trips(count: int) -> dict[str, float]:
    """Return worst and mean Dice of random shapes through a structure set on random oblique grids."""
    scores, exact = [], 0
    for seed in range(count):
        generator = np.random.default_rng(seed)
        shape = tuple(int(size) for size in generator.integers((5, 16, 16), (14, 64, 64)))
        spacing = tuple(float(step) for step in generator.uniform((0.4, 0.4, 0.8), (1.4, 1.4, 6.0)))
        direction, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        direction[:, 2] = np.cross(direction[:, 0], direction[:, 1])
        headers, volume = series(shape, spacing, direction)
        noise = ndimage.gaussian_filter(generator.normal(size=shape), generator.uniform(0.6, 3))
        level = float(np.quantile(noise, generator.uniform(0.3, 0.95)))
        inside = noise >= level
        if inside.sum() <= 100:
            continue
        values = (
            np.clip(0.5 + (noise - level) / noise.std(), 0, 1).astype(np.float32) if seed % 2 else inside * np.uint8(1)
        )
        region = RegionOfInterest(1, "R", on(volume, values))
        made = RTStructureSet(headers, volume, [region], PROVENANCE, holes=list(HoleEncodings)[seed % 3])
        file = io.BytesIO()
        made.save_as(file, enforce_file_format=True)
        mask = (
            sitk.GetArrayFromImage(read_structure_set(pydicom.dcmread(io.BytesIO(file.getvalue())), volume)[0].mask) > 0
        )
        scores.append(2 * float((mask & inside).sum()) / float(mask.sum() + inside.sum()))
        exact += bool((mask == inside).all())
    return {
        "shapes": len(scores),
        "worst": min(scores),
        "median": median(scores),
        "without a single wrong voxel": exact,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="interpreter with rt-utils; default: an environment made for it")
    parser.add_argument("--shapes", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    peers = arguments.peers or peers_python()
    results = {
        "seconds": speed(peers),
        "volume error, %": volumes(peers),
        "round trip, Dice": round_trips(arguments.shapes),
    }
    if arguments.json:
        print(json.dumps(results, indent=1))
        return
    for title, figures in results.items():
        print(title)
        for name, value in figures.items():
            print(
                f"  {name:44}"
                + (f"{value:.4g}" if not isinstance(value, dict) else str({k: round(v, 3) for k, v in value.items()}))
            )


if __name__ == "__main__":
    sys.exit(main())
