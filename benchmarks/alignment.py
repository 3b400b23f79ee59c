"""How well alignment comes back from known displacements.

Every trial moves one sequence by a random rigid displacement (up to 40 mm and 25 degrees) and, but for the
native grids, re-slices it on a random oblique grid with slices of 1 to 5.5 mm; alignment must find the
displacement again. Truth is the identity for BraTS cases, whose sequences are aligned with each other, and
for a clinical study the alignment of the undisplaced study: there the figure is consistency, not accuracy.

    python -m benchmarks.alignment --shared ../shared/data --trials 40 --json
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from benchmarks.environment import shared_data
from pipeline.align import Alignment, align
from pipeline.errors import GlioLoopError
from pipeline.names import Sequence
from pipeline.volume import SourceVolume, read_volume

LARGEST_SHIFT_MM = 40.0
LARGEST_TURN_DEG = 25.0
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    case: str
    sequence: str
    shift_mm: float
    turn_deg: float
    error_mm: float | None
    error_deg: float | None
    seconds: float
    refused: str = ""


def volume_of(image: sitk.Image, name: str = "") -> SourceVolume:
    """A volume without slice records: all that alignment needs."""
    return SourceVolume(sitk.Cast(image, sitk.sitkFloat32), (), "study", name, "frame")


def random_displacement(rng: np.random.Generator, centre: Points) -> sitk.Euler3DTransform:
    """Turn about a random axis by up to 25 degrees and shift in a random direction by up to 40 mm."""
    axis, direction = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 3)))
    turn = sitk.VersorRigid3DTransform()
    turn.SetRotation(axis.tolist(), float(np.radians(rng.uniform(0, LARGEST_TURN_DEG))))
    moved = sitk.Euler3DTransform()
    moved.SetCenter(centre.tolist())
    moved.SetMatrix(turn.GetMatrix())
    moved.SetTranslation((direction * rng.uniform(0, LARGEST_SHIFT_MM)).tolist())
    return moved


def displaced(image: sitk.Image, displacement: sitk.Euler3DTransform) -> sitk.Image:
    """The same pixels with a header that says that the patient lies elsewhere: x becomes displacement(x)."""
    moved = sitk.Image(image)
    matrix = np.array(displacement.GetMatrix()).reshape(3, 3)
    moved.SetOrigin(displacement.TransformPoint(image.GetOrigin()))
    moved.SetDirection((matrix @ np.array(image.GetDirection()).reshape(3, 3)).ravel().tolist())
    return moved


def resliced(image: sitk.Image, rng: np.random.Generator) -> sitk.Image:
    """The image on an oblique grid (up to 15 degrees) with slices of 1 to 5.5 mm along a random axis."""
    size, spacing = np.array(image.GetSize()), np.array(image.GetSpacing())
    thickness, along = float(rng.uniform(1.0, 5.5)), int(rng.integers(3))
    new_spacing = spacing.copy()
    new_spacing[along] = max(thickness, float(spacing[along]))
    new_size = np.maximum(np.round(size * spacing / new_spacing), 8).astype(int)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*(float(angle) for angle in np.radians(rng.uniform(-15, 15, 3))))
    direction = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(image.GetDirection()).reshape(3, 3)
    middle = np.array(image.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist()))
    grid = sitk.Image(new_size.tolist(), sitk.sitkUInt8)
    grid.SetSpacing(new_spacing.tolist())
    grid.SetDirection(direction.ravel().tolist())
    grid.SetOrigin((middle - direction @ (new_spacing * (new_size - 1) / 2)).tolist())
    sigma = [max(s, 1e-3) for s in np.where(np.arange(3) == along, 0.4 * new_spacing, 1e-3)]
    smooth = sitk.SmoothingRecursiveGaussian(image, sigma) if thickness > spacing[along] else image
    return sitk.Resample(smooth, grid, sitk.Transform(), sitk.sitkLinear, 0.0)


def head_points(image: sitk.Image, count: int = 500) -> Points:
    """Points inside the head (or stripped brain), LPS mm, the same for the same image."""
    mask = sitk.GetArrayFromImage(sitk.OtsuThreshold(sitk.SmoothingRecursiveGaussian(image, 3.0), 0, 1)) > 0
    indices = np.argwhere(mask)[:, ::-1]
    chosen = indices[np.random.default_rng(0).choice(len(indices), count)]
    return np.array([image.TransformIndexToPhysicalPoint([int(i) for i in index]) for index in chosen])


def target_errors(found: sitk.Transform, true: sitk.Transform, points: Points) -> Points:
    """Distance between where two transforms bring each point, mm."""
    return np.array([np.subtract(found.TransformPoint(p), true.TransformPoint(p)) for p in points.tolist()]).reshape(
        -1, 3
    )


def angle_between(found: sitk.Transform, true: sitk.Transform) -> float:
    """Angle of the rotation that is left, degrees."""
    a, b = (np.array(sitk.Euler3DTransform(t).GetMatrix()).reshape(3, 3) for t in (found, true))
    return float(np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))))


def chained(displacement: sitk.Euler3DTransform, before: sitk.Transform) -> sitk.Euler3DTransform:
    """One rigid transform for ``displacement(before(x))``."""
    first = sitk.Euler3DTransform(before)
    matrix = np.array(displacement.GetMatrix()).reshape(3, 3) @ np.array(first.GetMatrix()).reshape(3, 3)
    both = sitk.Euler3DTransform()
    both.SetMatrix(matrix.ravel().tolist(), 1e-6)
    both.SetTranslation(displacement.TransformPoint(first.TransformPoint((0.0, 0.0, 0.0))))
    return both


def trial(
    case: str,
    reference: SourceVolume,
    sequence: Sequence,
    moving: SourceVolume,
    before: sitk.Transform,
    rng: np.random.Generator,
    reslice: bool,
) -> Trial:
    """Displace one sequence, align it again, measure."""
    points = head_points(reference.image)
    displacement = random_displacement(rng, points.mean(axis=0))
    image = resliced(moving.image, rng) if reslice else moving.image
    moved = replace(moving, image=displaced(image, displacement))
    true = chained(displacement, before)
    shift = float(np.linalg.norm(displacement.GetTranslation()))
    turn = angle_between(displacement, sitk.Euler3DTransform())
    started = time.perf_counter()
    try:
        found: Alignment = align({Sequence.T1C: reference, sequence: moved}, Sequence.T1C)[sequence]
    except GlioLoopError as error:
        seconds = time.perf_counter() - started
        return Trial(case, sequence.value, shift, turn, None, None, seconds, refused=error.detail)
    seconds = time.perf_counter() - started
    errors = np.linalg.norm(target_errors(found.transform, true, points), axis=1)
    angle = angle_between(found.transform, true)
    return Trial(case, sequence.value, shift, turn, float(errors.mean()), angle, seconds)


def clinical_cases(shared: Path) -> Iterator[tuple[str, dict[Sequence, SourceVolume], dict[Sequence, sitk.Transform]]]:
    """The clinical study with the alignment of its undisplaced sequences."""
    folder = shared / "tcga-fg-6692" / "dicom"
    volumes = {s: read_volume(sorted((folder / s.value).glob("*.dcm"))) for s in Sequence}
    before = {s: a.transform for s, a in align(volumes, Sequence.T1C).items()}
    yield "tcga-fg-6692", volumes, before


def brats_cases(shared: Path) -> Iterator[tuple[str, dict[Sequence, SourceVolume], dict[Sequence, sitk.Transform]]]:
    """BraTS cases that have a T1c and at least one other sequence."""
    names = {Sequence.T1: "t1", Sequence.T1C: "t1ce", Sequence.T2: "t2", Sequence.FLAIR: "flair"}
    for folder in sorted((shared / "brats-cases").iterdir()):
        files = {s: folder / f"{folder.name}_{name}.nii.gz" for s, name in names.items()}
        volumes = {s: volume_of(sitk.ReadImage(str(f)), s.value) for s, f in files.items() if f.exists()}
        if Sequence.T1C in volumes and len(volumes) > 1:
            yield folder.name, volumes, dict.fromkeys(volumes, sitk.Euler3DTransform())


def trials(
    case: str,
    volumes: Mapping[Sequence, SourceVolume],
    before: Mapping[Sequence, sitk.Transform],
    count: int,
    reslice: bool,
) -> Iterator[Trial]:
    """``count`` displacements, the sequences taking turns; the same for the same count."""
    moving = [sequence for sequence in volumes if sequence is not Sequence.T1C]
    for number in range(count):
        sequence = moving[number % len(moving)]
        rng = np.random.default_rng([number, *case.encode()])
        yield trial(case, volumes[Sequence.T1C], sequence, volumes[sequence], before[sequence], rng, reslice)


def summary(results: list[Trial]) -> dict[str, object]:
    """What the issue asks for: median, 95th percentile, how many came back, what was refused."""
    errors = np.array([t.error_mm for t in results if t.error_mm is not None])
    angles = np.array([t.error_deg for t in results if t.error_deg is not None])
    back = int(((errors <= 1.0) & (angles <= 1.0)).sum())
    return {
        "trials": len(results),
        "within_1mm_1deg": back,
        "median_mm": round(float(np.median(errors)), 3) if errors.size else None,
        "p95_mm": round(float(np.percentile(errors, 95)), 3) if errors.size else None,
        "worst_mm": round(float(errors.max()), 3) if errors.size else None,
        "median_deg": round(float(np.median(angles)), 3) if angles.size else None,
        "refused": [f"{t.sequence}: {t.refused}" for t in results if t.refused],
        "wrong_but_accepted": int((errors > 3.0).sum()),
        "seconds_per_sequence": round(float(np.median([t.seconds for t in results])), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, help="folder of real data; default: GLIOLOOP_SHARED/data")
    parser.add_argument("--trials", type=int, default=40, help="per case")
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shared = options.shared or shared_data()
    report: dict[str, object] = {}
    for reslice, cases in ((False, clinical_cases), (True, brats_cases)):
        for case, volumes, before in cases(shared):
            if options.only not in case:
                continue
            results = list(trials(case, volumes, before, options.trials, reslice))
            report[case] = summary(results)
            if not options.json:
                print(case, json.dumps(report[case]), flush=True)
    if options.json:
        print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
