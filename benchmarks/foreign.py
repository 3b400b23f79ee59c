"""Structure sets of other vendors: how our reader's masks agree with what other readers give, or why those give none.

Usage: python -m benchmarks.foreign [--json]

Each structure set lies beside the images it was drawn on: CERR's on 41 CT slices without a reference from any contour,
MIM's and rt-utils' with references to images that are not there, with two of the CT slices.
"""

import argparse
from pathlib import Path

import pydicom
import SimpleITK as sitk

from benchmarks.environment import peers_python, shared_data
from benchmarks.peer_readers import Masks, Scores, peer_readers, scores, show
from pipeline.errors import GlioLoopError
from pipeline.objects import read_structure_set
from pipeline.volume import VolumeLimits, read_volume

#: Folder and file of each structure set below rtstruct of the real data; the images lie in the same folder.
STRUCTURE_SETS = (
    ("cerr/pat_2", "DCM_RS_00041.dcm"),
    ("rt-utils/mock_data", "invalid_reference_rt.dcm"),
    ("rt-utils/mock_data", "non_existent_reference_rt.dcm"),
    ("rt-utils/mock_data", "rt.dcm"),
)


def compared(peers: Path, folder: Path, name: str) -> dict[str, Scores]:
    """Return Dice of each reader to ours by ROI; ours are told as voxels, with what the reader warned of."""
    images = [path for path in sorted(folder.iterdir()) if pydicom.dcmread(path, stop_before_pixels=True).get("Rows")]
    results: dict[str, Scores] = {}
    expected: Masks = {}
    volume = read_volume(images, limits=VolumeLimits(minimum_slices=2))
    try:
        rois = read_structure_set(folder / name, volume)
    except GlioLoopError as error:
        results["ours"] = {"refused": str(error)}
        numbers = pydicom.dcmread(folder / name).StructureSetROISequence
        expected = {str(item.ROIName): sitk.GetArrayFromImage(volume.image) < -1e9 for item in numbers}
    else:
        expected = {roi.name: sitk.GetArrayFromImage(roi.mask) for roi in rois}
        results["voxels, ours"] = {name: int(mask.sum()) for name, mask in expected.items()}
        results["warnings, ours"] = {roi.name: "; ".join(roi.warnings) or "none" for roi in rois}
    return results | scores(peer_readers(peers), images, folder / name, expected)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    root = shared_data("rtstruct")
    peers = peers_python()
    results = {f"{folder}/{name}": compared(peers, root / folder, name) for folder, name in STRUCTURE_SETS}
    show(results, arguments.json)


if __name__ == "__main__":
    main()
