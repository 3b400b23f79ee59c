"""Do other programs read our structure sets as we meant them? Dice of their masks to ours.

Usage: python -m benchmarks.readers [--study DIR] [--only made-up|network|limit] [--json]

Three parts, on the reference series of a real study (folders t1, t1c, t2, flair of one classic MR series each):

- a made-up tumour, lobed, with a shell that has a hole, in each encoding of holes;
- what the shipped network finds in the study, against the voxels of the segmentation written with it;
- why rt-utils reads less than the others. It rounds every point to a whole pixel and fills the polygon with its edge,
  so it can give a mask back only from contours that run through the centres of the mask's outermost pixels, half a
  pixel inside the border. Its own contours do; beside its Dice stands the volume within them. Contours of ours are
  moved by up to a bound towards that, to show what Dice costs which volume.
"""

import argparse
import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import Dataset

from benchmarks.environment import peers_python, shared_data
from benchmarks.peer_readers import Masks, Reader, Scores, dice, peer, peer_readers, scores, show
from pipeline.case.segment import segment_folder
from pipeline.cli.console import live_progress
from pipeline.objects import HoleEncodings, Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.rtstruct.planes import to_index
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.volume import SourceVolume, read_volume

#: How far points are moved at most to please rt-utils, pixels; at 0.5 all can be.
MOVES = (0.0, 0.1, 0.2, 0.3, 0.5)
#: Areas within contours are counted on a grid this much finer than the pixels.
FINER = 8


def made_up_tumour(volume: SourceVolume) -> dict[str, NDArray[np.float32]]:
    """Return probabilities of a lobed WT, a TC in it, and an ET that is a shell with a hole."""
    columns, rows, slices = volume.image.GetSize()
    spacing = np.array(volume.image.GetSpacing())[::-1]
    grid = np.stack(np.meshgrid(*map(np.arange, (slices, rows, columns)), indexing="ij"), axis=-1) * spacing
    middle = (np.array([slices, rows, columns]) - 1) / 2 * spacing
    noise = sitk.GetImageFromArray(np.random.default_rng(11).normal(size=(slices, rows, columns)))
    wobble = sitk.GetArrayFromImage(sitk.DiscreteGaussian(noise, 36.0, 64))
    wobble *= 3.0 / wobble.std()
    radius = np.linalg.norm(grid - middle, axis=-1) - wobble

    def inside(distance: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.clip(0.5 + distance / 4, 0, 1).astype(np.float32)

    whole, core = inside(30 - radius), inside(18 - radius)
    return {"GTV_WT": whole, "GTV_TC": core, "GTV_ET": np.minimum(core, inside(radius - 9))}


def ours(volume: SourceVolume) -> Reader:
    def read(_: Path, structure_set: Path, __: Path) -> Masks:
        return {roi.name: sitk.GetArrayFromImage(roi.mask) for roi in read_structure_set(structure_set, volume)}

    return read


def written(
    files: Sequence[Path], volume: SourceVolume, fields: dict[str, NDArray[np.float32]], holes: HoleEncodings
) -> RTStructureSet:
    """Return the structure set of probabilities (slices, rows, columns) by ROI name."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    regions = []
    for number, (name, field) in enumerate(fields.items(), start=1):
        image = sitk.GetImageFromArray(field)
        image.CopyInformation(volume.image)
        regions.append(RegionOfInterest(number, name, image))
    return RTStructureSet(headers, volume, regions, Provenance("made-up@1"), holes=holes)


def made_up(peers: Path, files: Sequence[Path]) -> dict[str, dict[str, Scores]]:
    """Return Dice by hole encoding, reader and ROI; the reason where a reader fails."""
    volume = read_volume(files)
    fields = made_up_tumour(volume)
    cases = {f"holes: {encoding.value}": (encoding, fields) for encoding in HoleEncodings}
    empty = {"GTV_EMPTY": np.zeros_like(fields["GTV_WT"])}
    cases["holes: keyhole, one ROI empty"] = (HoleEncodings.KEYHOLE, empty | fields)
    results = {}
    for title, (encoding, shown) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rtstruct.dcm"
            written(files, volume, shown, encoding).save_as(path, enforce_file_format=True)
            expected = {name: (field >= 0.5).astype(np.uint8) for name, field in shown.items()}
            results[title] = scores({"ours": ours(volume)} | peer_readers(peers), files, path, expected)
    return results


def of_the_network(peers: Path, study: Path, files: Sequence[Path]) -> dict[str, dict[str, Scores]]:
    """Return Dice of each reader to the segmentation of the same result."""
    volume = read_volume(files)
    with tempfile.TemporaryDirectory() as folder, live_progress() as progress:
        segment_folder(study, Path(folder), None, progress.report)
        segmentation = highdicom.seg.segread(Path(folder) / "seg.dcm")
        pixels = segmentation.get_pixels_by_source_instance(
            [item.sop_instance_uid for item in volume.slices],
            assert_missing_frames_are_empty=True,
            combine_segments=False,
        )
        expected = {
            str(item.SegmentLabel): pixels[..., index] for index, item in enumerate(segmentation.SegmentSequence)
        }
        readers = {"ours": ours(volume)} | peer_readers(peers)
        found = scores(readers, files, Path(folder) / "rtstruct.dcm", expected)
    voxels: Scores = {name: float(mask.sum()) for name, mask in expected.items()}
    return {"the network's result": {"voxels": voxels} | found}


def limit(peers: Path, files: Sequence[Path]) -> dict[str, dict[str, Scores]]:
    """Return rt-utils' Dice and the volume within the contours, % of the true one: its contours, and ours moved."""
    volume = read_volume(files)
    fields = made_up_tumour(volume)
    masks = {name: (field >= 0.5).astype(np.uint8) for name, field in fields.items()}
    plain = written(files, volume, fields, HoleEncodings.KEYHOLE)
    true = {name: contour_area(plain, name, volume) for name in fields}
    rt_utils = {"rt-utils": peer_readers(peers)["rt-utils"]}
    results: dict[str, dict[str, Scores]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        candidates = {"its own contours of the same mask": _by_rt_utils(peers, files, masks, folder)}
        for bound in MOVES:
            path = folder / f"moved-{bound}.dcm"
            moved(plain, masks, volume, bound).save_as(path, enforce_file_format=True)
            candidates[f"ours, points moved by at most {bound:g} pixels"] = path
        for title, path in candidates.items():
            dataset = pydicom.dcmread(path)
            within: Scores = {
                roi: round(100 * contour_area(dataset, roi, volume) / area - 100, 2) for roi, area in true.items()
            }
            read = scores(rt_utils, files, path, masks)
            exact: Scores = {roi: round(dice(mask, masks[roi]), 4) for roi, mask in _ours_of(path, volume).items()}
            results[title] = {"rt-utils": read["rt-utils"], "ours": exact, "volume within, % off": within}
    return results


def _ours_of(path: Path, volume: SourceVolume) -> Masks:
    return ours(volume)(path, path, path)


def _by_rt_utils(peers: Path, files: Sequence[Path], masks: Masks, folder: Path) -> Path:
    """Return the structure set that rt-utils writes of masks; its masks have columns and rows swapped."""
    series, arrays, path = folder / "images", folder / "masks", folder / "theirs.dcm"
    series.mkdir()
    arrays.mkdir()
    for file in files:
        (series / file.name).symlink_to(file.resolve())
    for name, mask in masks.items():
        size = max(mask.shape[1:])
        square = np.zeros((len(mask), size, size), np.uint8)
        square[:, : mask.shape[1], : mask.shape[2]] = mask
        np.save(arrays / f"{name}.npy", square[:, : mask.shape[2], : mask.shape[1]])
    peer(peers, "rt_utils_write", series, arrays, path)
    return path


def contours_of(dataset: Dataset, name: str) -> list[Dataset]:
    """Return the contours of the ROI of a name."""
    numbers = {str(item.ROIName): item.ROINumber for item in dataset.StructureSetROISequence}
    return [
        contour
        for roi in dataset.ROIContourSequence
        if roi.ReferencedROINumber == numbers[name]
        for contour in roi.get("ContourSequence") or []
    ]


def contour_area(dataset: Dataset, name: str, volume: SourceVolume) -> float:
    """Return the area within the contours of an ROI by the even-odd rule, pixels, on a finer grid."""
    columns, rows, slices = volume.image.GetSize()
    total = 0
    by_slice: dict[int, list[NDArray[np.float64]]] = {}
    for contour in contours_of(dataset, name):
        points = to_index(np.array(contour.ContourData, float).reshape(-1, 3), volume)
        by_slice.setdefault(round(float(points[:, 2].mean())), []).append((points[:, :2] + 0.5) * FINER - 0.5)
    for index, polygons in by_slice.items():
        if not 0 <= index < slices:
            continue
        lengths = np.array([len(polygon) for polygon in polygons])
        contours = Contours(np.concatenate(polygons), np.cumsum(lengths) - lengths, np.zeros(len(lengths), np.int64))
        total += int(rasterise(contours, (1, rows * FINER, columns * FINER)).sum())
    return total / FINER**2


def moved(dataset: Dataset, masks: Masks, volume: SourceVolume, bound: float) -> Dataset:
    """Return a copy whose points are moved by at most ``bound`` pixels where they then round to a pixel inside."""
    changed = copy.deepcopy(dataset)
    direction = np.array(volume.image.GetDirection()).reshape(3, 3)
    for name, mask in masks.items():
        for contour in contours_of(changed, name):
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            index = to_index(points, volume)
            plane = np.pad(mask[round(float(index[:, 2].mean()))], 2)
            shift = np.array([_shift(point, plane, bound) for point in index[:, :2]])
            shift = np.column_stack([shift * np.array(volume.image.GetSpacing())[:2], np.zeros(len(shift))])
            contour.ContourData = [f"{value:.5f}" for value in (points + shift @ direction.T).ravel()]
    return changed


def _shift(point: NDArray[np.float64], padded: NDArray[np.uint8], bound: float) -> NDArray[np.float64]:
    """Return the shortest way (column, row) of a point into the square of a pixel inside; none if beyond the bound."""
    column, row = np.round(point).astype(int)
    best = np.zeros(2) if padded[row + 2, column + 2] else np.full(2, np.inf)
    for across in (-1, 0, 1):
        for down in (-1, 0, 1):
            if padded[row + down + 2, column + across + 2]:
                middle = np.array([column + across, row + down])
                way = np.clip(point, middle - 0.499, middle + 0.499) - point
                best = min(best, way, key=lambda one: float(np.abs(one).max()))
    return best if np.abs(best).max() <= bound else np.zeros(2)


PARTS = ("made-up", "network", "limit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="folder of a study; default: the real one")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    peers = peers_python()
    study = arguments.study or shared_data("tcga-fg-6692", "dicom")
    files = sorted((study / "t1c").iterdir())
    parts = [arguments.only] if arguments.only else PARTS
    results: dict[str, dict[str, Scores]] = {}
    if "made-up" in parts:
        results |= made_up(peers, files)
    if "network" in parts:
        results |= of_the_network(peers, study, files)
    if "limit" in parts:
        results |= limit(peers, files)
    show(results, arguments.json)


if __name__ == "__main__":
    main()
