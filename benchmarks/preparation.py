"""Load, align and normalise: seconds and peak memory, of the real study and of four series of 256x256x176.

Every run is a process of its own, so that its memory is its own; medians of the runs. The large study is a BraTS case
on a 256x256x176 grid of 1 mm, the sequences displaced against each other, written as DICOM.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from benchmarks.displacements import Study, displaced, random_displacement, research_studies
from benchmarks.environment import ROOT, shared_data
from pipeline.align import align
from pipeline.database.engine import database_in
from pipeline.inference.grids import extent_of, make_grid, sample_all
from pipeline.inference.normalise import normalise_head
from pipeline.names import MRSequence
from pipeline.registry import Registry
from pipeline.volume import read_volume

LARGE = (256, 256, 176)


def prepare(study: Path) -> dict[str, float]:
    """What the pipeline does before the network, on the folders t1, t1c, t2 and flair of a study."""
    with tempfile.TemporaryDirectory() as state:
        grid_of_card = Registry(ROOT / "models", Path(state), database_in(Path(state))).get(None).card.grid
    begin = time.perf_counter()
    volumes = {sequence: read_volume(sorted((study / sequence.value).glob("*.dcm"))) for sequence in MRSequence}
    loaded = time.perf_counter()
    aligned = align(volumes, MRSequence.T1C)
    done = time.perf_counter()
    grid = make_grid(extent_of(volumes[MRSequence.T1C].image), grid_of_card)
    seen = sample_all(volumes, aligned, grid_of_card, grid)
    normalise_head(seen.images, seen.valid)
    end = time.perf_counter()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "load_s": loaded - begin,
        "align_s": done - loaded,
        "normalise_s": end - done,
        "total_s": end - begin,
        "processor_s": usage.ru_utime + usage.ru_stime,  # with the start of Python and its libraries
        "peak_mib": usage.ru_maxrss / 1024,
    }


def write_large(study: Study, folder: Path) -> None:
    """Write a study of four displaced series on the large grid."""
    rng = np.random.default_rng(5)
    grid = sitk.Image(LARGE, sitk.sitkUInt8)
    middle = np.array(study.reference.image.TransformContinuousIndexToPhysicalPoint([119.5, 119.5, 77.0]))
    grid.SetOrigin((middle - (np.array(LARGE) - 1) / 2).tolist())
    uids = {"StudyInstanceUID": generate_uid(), "FrameOfReferenceUID": generate_uid()}
    for sequence, volume in study.volumes.items():
        image = sitk.Resample(volume.image, grid, sitk.Transform(), sitk.sitkLinear, 0.0)
        if sequence is not MRSequence.T1C:
            image = displaced(image, random_displacement(rng, middle))
        _write_series(image, folder / sequence.value, uids)


def _write_series(image: sitk.Image, folder: Path, uids: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    series = generate_uid()
    axes = np.array(image.GetDirection()).reshape(3, 3)
    values = sitk.GetArrayFromImage(image)
    stored = np.clip(values / values.max() * 4000, 0, 4095).astype(np.uint16)
    for k, plane in enumerate(stored):
        header = pydicom.Dataset()
        header.file_meta = pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.update(uids)
        header.SOPClassUID, header.SOPInstanceUID, header.SeriesInstanceUID = MRImageStorage, generate_uid(), series
        header.Modality, header.InstanceNumber, header.SliceThickness = "MR", k + 1, 1.0
        header.Rows, header.Columns, header.PixelSpacing = *plane.shape, [1.0, 1.0]
        header.ImageOrientationPatient = [f"{v:.12f}" for v in axes[:, :2].T.ravel()]
        header.ImagePositionPatient = [f"{v:.8f}" for v in image.TransformIndexToPhysicalPoint((0, 0, k))]
        header.SamplesPerPixel, header.PhotometricInterpretation, header.PixelRepresentation = 1, "MONOCHROME2", 0
        header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
        header.PixelData = plane.tobytes()
        header.save_as(folder / f"{k:03d}.dcm", enforce_file_format=True)


def measured(study: Path, runs: int) -> dict[str, float]:
    """Medians over fresh processes."""
    command = [sys.executable, "-m", "benchmarks.preparation", "--one", str(study)]
    results = []
    for number in range(runs):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT)
        results.append(json.loads(done.stdout))
        print(f"{study.name}: {number + 1} of {runs}", file=sys.stderr, flush=True)
    return {key: round(median(one[key] for one in results), 2) for key in results[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", type=Path, help="measure one study in this process")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(prepare(options.one)))
        return
    shared = shared_data()
    report = {"real study": measured(shared / "tcga-fg-6692" / "dicom", options.runs)}
    with tempfile.TemporaryDirectory() as folder:
        write_large(
            next(study for study in research_studies(shared) if len(study.volumes) == len(MRSequence)), Path(folder)
        )
        report["4 x 256x256x176"] = measured(Path(folder), options.runs)
    print(json.dumps(report, indent=None if options.json else 1))


if __name__ == "__main__":
    main()
