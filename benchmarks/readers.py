"""Do other programs read our structure sets as we meant them? Dice of their masks to ours.

Usage: python -m benchmarks.readers [--peers PYTHON] [--series DIR] [--structure-set FILE] [--json]

PYTHON is an interpreter whose environment holds rt-utils and dcmrtstruct2nii; plastimatch is taken from PATH.
DIR is a folder with one classic MR series. The tumour is made up: lobed, with a shell that has a hole.
With FILE, a structure set of anyone's on that series, the readers' masks are compared with our reader's instead.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.environment import peers_python, shared_data
from pipeline.objects import HoleEncodings, Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.volume import SourceVolume, VolumeLimits, read_volume

PEER = Path(__file__).with_name("rtstruct_peer.py")
Masks = dict[str, NDArray[np.uint8]]


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


def dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the Dice coefficient of two masks; where their matrices differ, of the part both have."""
    rows, columns = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
    a, b = a[:, :rows, :columns] > 0, b[:, :rows, :columns] > 0
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def by_rt_utils(peers: Path, series: Path, structure_set: Path, work: Path) -> Masks:
    subprocess.run([peers, PEER, "rt_utils_read", series, structure_set, work], check=True, capture_output=True)
    return {path.stem: np.load(path) for path in work.glob("*.npy")}


def by_dcmrtstruct2nii(peers: Path, series: Path, structure_set: Path, work: Path) -> Masks:
    command = [peers, PEER, "dcmrtstruct2nii_read", series, structure_set, work]
    subprocess.run(command, check=True, capture_output=True)
    found = {path.name.split(".")[0].removeprefix("mask_"): path for path in work.glob("mask_*.nii*")}
    # Its file names have every separator as a dash: each mask is found under both spellings.
    masks = {name: _array(path) for name, path in found.items()}
    return masks | {name.replace("-", "_"): mask for name, mask in masks.items()}


def by_plastimatch(options: list[str]) -> Callable[[Path, Path, Path, Path], Masks]:
    def read(_: Path, series: Path, structure_set: Path, work: Path) -> Masks:
        command = ["plastimatch", "convert", "--input", structure_set, "--referenced-ct", series, *options]
        done = subprocess.run(
            [*command, "--output-prefix", work, "--prefix-format", "nrrd"], capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr.decode()[-300:])
        return {path.stem: _array(path) for path in work.glob("*.nrrd")}

    return read


def by_ours(volume: SourceVolume) -> Callable[[Path, Path, Path, Path], Masks]:
    def read(_: Path, __: Path, structure_set: Path, ___: Path) -> Masks:
        return {roi.name: sitk.GetArrayFromImage(roi.mask) for roi in read_structure_set(structure_set, volume)}

    return read


def _array(path: Path) -> NDArray[np.uint8]:
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def compare(peers: Path, series: Path) -> dict[str, dict[str, dict[str, float | str]]]:
    """Return Dice by hole encoding, reader and ROI; the error's text where a reader fails."""
    files = sorted(series.iterdir())
    volume = read_volume(files)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files]
    fields = made_up_tumour(volume)
    empty = np.zeros_like(fields["GTV_WT"])
    readers: dict[str, Callable[[Path, Path, Path, Path], Masks]] = {
        "ours": by_ours(volume),
        "rt-utils": by_rt_utils,
        "dcmrtstruct2nii": by_dcmrtstruct2nii,
    }
    if shutil.which("plastimatch"):
        readers |= {"plastimatch": by_plastimatch([]), "plastimatch --xor-contours": by_plastimatch(["--xor-contours"])}
    results: dict[str, dict[str, dict[str, float | str]]] = {}
    cases = {encoding.value: (encoding, False) for encoding in HoleEncodings}
    cases["keyhole, one ROI empty"] = (HoleEncodings.KEYHOLE, True)
    for title, (encoding, with_empty) in cases.items():
        shown = {"GTV_EMPTY": empty, **fields} if with_empty else fields
        regions = [_roi(number, name, shown[name], volume) for number, name in enumerate(shown, start=1)]
        made = RTStructureSet(headers, volume, regions, Provenance("made-up@1"), holes=encoding)
        results[title] = {}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rtstruct.dcm"
            made.save_as(path, enforce_file_format=True)
            for reader, read in readers.items():
                work = Path(folder) / reader.replace(" ", "_")
                work.mkdir()
                try:
                    masks = read(peers, series, path, work)
                except Exception as error:
                    results[title][reader] = {"error": str(error)[-300:]}
                    continue
                results[title][reader] = {
                    name: round(dice(masks[name], (field >= 0.5).astype(np.uint8)), 4) if name in masks else "absent"
                    for name, field in shown.items()
                }
    return results


def compare_foreign(peers: Path, series: Path, structure_set: Path) -> dict[str, dict[str, dict[str, float | str]]]:
    """Return Dice of each reader's masks to our reader's, by ROI; the error's text where a reader fails."""
    images = [path for path in sorted(series.iterdir()) if pydicom.dcmread(path, stop_before_pixels=True).get("Rows")]
    ours = by_ours(read_volume(images, VolumeLimits(minimum_slices=2)))(peers, series, structure_set, series)
    readers: dict[str, Callable[[Path, Path, Path, Path], Masks]] = {
        "rt-utils": by_rt_utils,
        "dcmrtstruct2nii": by_dcmrtstruct2nii,
    }
    if shutil.which("plastimatch"):
        readers |= {"plastimatch": by_plastimatch([]), "plastimatch --xor-contours": by_plastimatch(["--xor-contours"])}
    results: dict[str, dict[str, float | str]] = {
        "voxels, ours": {name: int((mask > 0).sum()) for name, mask in ours.items()}
    }
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "images"
        copied.mkdir()
        for path in images:
            shutil.copy(path, copied)
        for reader, read in readers.items():
            work = Path(folder) / reader.replace(" ", "_")
            work.mkdir()
            try:
                masks = read(peers, copied, structure_set, work)
            except Exception as error:
                results[reader] = {"error": str(error)[-300:]}
                continue
            results[reader] = {
                name: round(dice(masks[name], mask), 4) if name in masks else "absent" for name, mask in ours.items()
            }
    return {structure_set.name: results}


def _roi(number: int, name: str, field: NDArray[np.float32], volume: SourceVolume) -> RegionOfInterest:
    image = sitk.GetImageFromArray(field)
    image.CopyInformation(volume.image)
    return RegionOfInterest(number, name, image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="interpreter with the peers; default: an environment made for them")
    parser.add_argument("--series", type=Path, help="folder with one classic MR series; default: the real study's T1c")
    parser.add_argument("--structure-set", type=Path, help="a foreign structure set on that series")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.peers = arguments.peers or peers_python()
    arguments.series = arguments.series or shared_data("tcga-fg-6692", "dicom", "t1c")
    if arguments.structure_set:
        results = compare_foreign(arguments.peers, arguments.series, arguments.structure_set)
    else:
        results = compare(arguments.peers, arguments.series)
    if arguments.json:
        print(json.dumps(results, indent=1))
        return
    for title, readers in results.items():
        print(title if arguments.structure_set else f"holes: {title}")
        for reader, rois in readers.items():
            print(f"  {reader:28}" + "  ".join(f"{name} {value}" for name, value in rois.items()))


if __name__ == "__main__":
    sys.exit(main())
