"""Readers of structure sets side by side: ours, rt-utils, dcmrtstruct2nii, plastimatch; and Dice of what they give."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

PEER = Path(__file__).with_name("rtstruct_peer.py")
Masks = dict[str, NDArray[np.uint8]]
#: (folder with the images, structure set, empty folder to work in) to masks (slices, rows, columns) by ROI name.
Reader = Callable[[Path, Path, Path], Masks]
#: Dice by ROI; a reason in words where there is no mask.
Scores = dict[str, float | str]


def peer_readers(peers: Path) -> dict[str, Reader]:
    """Return the readers of other programs; ``peers`` is the interpreter that has the Python ones."""
    readers: dict[str, Reader] = {"rt-utils": _rt_utils(peers), "dcmrtstruct2nii": _dcmrtstruct2nii(peers)}
    if shutil.which("plastimatch"):
        readers |= {"plastimatch": _plastimatch([]), "plastimatch --xor-contours": _plastimatch(["--xor-contours"])}
    return readers


def scores(
    readers: Mapping[str, Reader], images: Sequence[Path], structure_set: Path, expected: Masks
) -> dict[str, Scores]:
    """Return Dice of each reader's masks to the expected ones; the reason where a reader fails."""
    results: dict[str, Scores] = {}
    with tempfile.TemporaryDirectory() as name:
        series = Path(name) / "images"
        series.mkdir()
        for path in images:
            shutil.copy(path, series)
        for reader, read in readers.items():
            work = Path(name) / reader.replace(" ", "_")
            work.mkdir()
            try:
                masks = read(series, structure_set, work)
            except Exception as error:
                results[reader] = {"error": str(error)[-200:]}
                continue
            results[reader] = {
                roi: round(dice(masks[roi], mask), 4) if roi in masks else "absent" for roi, mask in expected.items()
            }
    return results


def dice(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    """Return the Dice coefficient of two masks, 1 where both are empty; of the part that both matrices have."""
    rows, columns = min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2])
    first, second = a[:, :rows, :columns] > 0, b[:, :rows, :columns] > 0
    together = float(first.sum() + second.sum())
    return 2 * float((first & second).sum()) / together if together else 1.0


def show(results: Mapping[str, Mapping[str, Scores]], as_json: bool) -> None:
    """Print scores by title and reader."""
    if as_json:
        print(json.dumps(results, indent=1))
        return
    for title, readers in results.items():
        print(title)
        for reader, rois in readers.items():
            print(f"  {reader:28}" + "  ".join(f"{name} {value}" for name, value in rois.items()))


def peer(peers: Path, task: str, *paths: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Run a task of ``rtstruct_peer.py`` in the peers' environment and return what it reports."""
    done = subprocess.run([peers, PEER, task, *paths], check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def _rt_utils(peers: Path) -> Reader:
    def read(series: Path, structure_set: Path, work: Path) -> Masks:
        report = peer(peers, "rt_utils_read", series, structure_set, work)
        masks = {path.stem: np.load(path) for path in work.glob("*.npy")}
        errors = [str(roi["error"]) for roi in report["rois"].values() if "error" in roi]
        if errors and not masks:
            raise RuntimeError(errors[0])
        return masks

    return read


def _dcmrtstruct2nii(peers: Path) -> Reader:
    def read(series: Path, structure_set: Path, work: Path) -> Masks:
        peer(peers, "dcmrtstruct2nii_read", series, structure_set, work)
        found = {path.name.split(".")[0].removeprefix("mask_"): path for path in work.glob("mask_*.nii*")}
        # Its file names have every separator as a dash: each mask is found under both spellings.
        masks = {name: _array(path) for name, path in found.items()}
        return masks | {name.replace("-", "_"): mask for name, mask in masks.items()}

    return read


def _plastimatch(options: list[str]) -> Reader:
    def read(series: Path, structure_set: Path, work: Path) -> Masks:
        command = ["plastimatch", "convert", "--input", structure_set, "--referenced-ct", series, *options]
        done = subprocess.run(
            [*command, "--output-prefix", work, "--prefix-format", "nrrd"], capture_output=True, check=False
        )
        if done.returncode:
            said = (done.stderr.decode() or done.stdout.decode()).strip()
            raise RuntimeError(said[-200:] or f"exit status {done.returncode}")
        return {path.stem: _array(path) for path in work.glob("*.nrrd")}

    return read


def _array(path: Path) -> NDArray[np.uint8]:
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))
