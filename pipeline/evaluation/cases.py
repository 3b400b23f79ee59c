"""BraTS-layout cases: folders of NIfTI volumes with a segmentation."""

import contextlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pipeline.errors import GlioLoopError
from pipeline.names import MRSequence

SUFFIXES: dict[MRSequence, tuple[str, ...]] = {
    MRSequence.T1: ("_t1", "-t1n", "_t1n", "-t1", "_t1w"),
    MRSequence.T1C: ("_t1ce", "-t1c", "_t1gd", "_t1c", "-t1ce", "_t1post"),
    MRSequence.T2: ("_t2", "-t2w", "_t2w", "-t2"),
    MRSequence.FLAIR: ("_flair", "-t2f", "_t2f", "-flair", "_fl"),
}
SEGMENTATION_SUFFIXES = ("_seg", "-seg", "_labels", "_label")
ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class Case:
    """One case on disk.

    Attributes
    ----------
    name
        Of its folder.
    files
        Sequence to file; one or two may be missing.
    segmentation
        Label file, None where absent.
    """

    name: str
    files: dict[MRSequence, Path]
    segmentation: Path | None

    def without(self, sequences: Collection[MRSequence]) -> "Case":
        """The case as if it lacked these sequences."""
        return replace(self, files={s: path for s, path in self.files.items() if s not in sequences})

    def read_images(self) -> dict[MRSequence, sitk.Image]:
        """Float32 volumes, the background of skull-stripped ones at the minimum."""
        return self.images(self.files)

    def images(self, sequences: Iterable[MRSequence]) -> dict[MRSequence, sitk.Image]:
        """Those of some sequences, as far as they are there, as :meth:`read_images`."""
        wanted = [sequence for sequence in sequences if sequence in self.files]
        return {s: with_dark_background(_read(self.files[s], sitk.sitkFloat32)) for s in wanted}

    def read_labels(self) -> sitk.Image:
        """Label volume.

        Raises
        ------
        GlioLoopError
            FILE_UNREADABLE where there is none.
        """
        if self.segmentation is None:
            raise GlioLoopError("FILE_UNREADABLE", f"case {self.name} has no segmentation")
        return _read(self.segmentation, sitk.sitkUInt8)


def _read(path: Path, pixel: int) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path), pixel)
    except RuntimeError as error:
        raise GlioLoopError("FILE_UNREADABLE", path.name) from error


def with_dark_background(image: sitk.Image) -> sitk.Image:
    """Lift the brain above a constant background, which becomes zero.

    Skull-stripped volumes that were normalised have their background below zero or, where it was left at zero,
    in the middle of the brain's range. A corner's value that fills a tenth of the volume is such a background.
    """
    values = sitk.GetArrayFromImage(image)
    corner = values[0, 0, 0]
    background = values == corner
    if background.mean() < 0.1 or background.all() or (corner == 0 and values.min() >= 0):
        return image
    brain = values[~background]
    lowest = float(brain.min()) - 0.05 * float(np.percentile(brain, 99) - brain.min())
    values = np.where(background, 0, values - lowest).astype(np.float32)
    out = sitk.GetImageFromArray(values)
    out.CopyInformation(image)
    return out


def find_cases(folder: Path) -> list[Case]:
    """Cases of a folder, sorted by name: the folder itself or its sub-folders.

    Raises
    ------
    GlioLoopError
        STUDY_EMPTY where none is found.
    """
    candidates = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())] if folder.is_dir() else []
    cases = [case for path in candidates if (case := _case_in(path)) is not None]
    if not cases:
        raise GlioLoopError("STUDY_EMPTY", f"no BraTS-layout case in {folder.name}")
    return cases


def find_groups(folder: Path) -> dict[str, list[Case]]:
    """Cases by group: those of the folder itself, else those of each sub-folder (train, tuning, validation, …).

    Raises
    ------
    GlioLoopError
        STUDY_EMPTY where none is found.
    """
    inside = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    try:
        return {folder.name: find_cases(folder)}
    except GlioLoopError:
        groups = {}
        for path in inside:
            with contextlib.suppress(GlioLoopError):
                groups[path.name] = find_cases(path)
        if not groups:
            raise
        return groups


def _case_in(folder: Path) -> Case | None:
    stems = {
        path.name.removesuffix(ending).lower(): path for ending in ENDINGS for path in sorted(folder.glob(f"*{ending}"))
    }
    files: dict[MRSequence, Path] = {}
    for sequence, suffixes in SUFFIXES.items():
        found = [path for stem, path in stems.items() if stem.endswith(suffixes)]
        if found:
            files[sequence] = found[0]
    segmentation = [path for stem, path in stems.items() if stem.endswith(SEGMENTATION_SUFFIXES)]
    return Case(folder.name, files, segmentation[0] if segmentation else None) if files else None
