"""Rendered patients over time: what becomes of their foci, and what is true of every scan."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray

from pipeline.course.lesions import Labelled, lesions_of
from pipeline.course.symmetry import MidSagittalPlane
from pipeline.evaluation.labels import OWN
from pipeline.names import TUMOUR_REGIONS, MRSequence, Region
from pipeline.training.synthesis.series import PLANS
from pipeline.training.synthesis.study import Focus, write_study
from pipeline.training.synthesis.tumour import TumourKind

Mask = NDArray[np.bool_]
Place = tuple[float, float, float]

#: Thickness and gap of the slices, mm; the scans of a patient take turns.
SLICES: Final = ((3.0, 1.0), (2.0, 0.5), (4.0, 1.0), (3.0, 0.0), (2.5, 0.5), (4.5, 0.5))
_ANY_PLANE: Final = MidSagittalPlane(np.array([1.0, 0.0, 0.0]), 0.0)


@dataclass(frozen=True)
class Story:
    """What becomes of a patient's foci.

    Attributes
    ----------
    name
        In a word or two.
    scans
        The foci of each scan, by number; a focus that is not named is not there.
    recurrences
        Foci that grow where another was that had gone, and so count as that one.
    """

    name: str
    scans: tuple[Mapping[int, Focus], ...]
    recurrences: Mapping[int, int] = field(default_factory=dict)


def _ring(centre: Place, radius_mm: float, push_mm: float = 0.0) -> Focus:
    return Focus(centre, radius_mm, TumourKind.RING, push_mm)


def _solid(centre: Place, radius_mm: float, push_mm: float = 0.0) -> Focus:
    return Focus(centre, radius_mm, TumourKind.SOLID, push_mm)


def _resected(centre: Place, radius_mm: float, push_mm: float = 0.0) -> Focus:
    """A part is left at the rim of the cavity."""
    return Focus(centre, radius_mm, TumourKind.CAVITY, push_mm)


def _resected_wholly(centre: Place, radius_mm: float, push_mm: float) -> Focus:
    """Nothing is left but the cavity and a little oedema; the tissue sinks into it."""
    return Focus(centre, radius_mm, TumourKind.CAVITY, push_mm, oedema_mm=4.0, bare=True)


# Shares of the brain's extent towards superior, posterior, left: 0.01 is about 1.3, 1.7 and 1.4 mm.
_RIGHT: Final = (0.62, 0.32, 0.28)
_LEFT: Final = (0.62, 0.60, 0.74)
_BESIDE: Final = (0.62, 0.44, 0.72)
_ROW: Final = tuple((0.62, 0.34 + 0.14 * one, 0.29) for one in range(4))

STORIES: Final = (
    Story(
        "growth, new beside, merger, resection but for the rim",
        (
            {0: _ring(_RIGHT, 11), 1: _solid(_LEFT, 10)},
            {0: _ring(_RIGHT, 15), 1: _solid(_LEFT, 10)},
            {0: _ring(_RIGHT, 10), 1: _solid(_LEFT, 10), 2: _solid(_BESIDE, 8)},
            {0: _ring(_RIGHT, 10), 1: _solid(_LEFT, 13), 2: _solid(_BESIDE, 12)},
            {0: _resected(_RIGHT, 12), 1: _solid(_LEFT, 13), 2: _solid(_BESIDE, 12)},
        ),
    ),
    Story(
        "new near and far, vanished and back",
        (
            {0: _solid(_LEFT, 9)},
            {0: _solid(_LEFT, 9), 1: _solid((0.62, 0.475, 0.74), 5), 2: _solid(_RIGHT, 6)},
            {0: _solid(_LEFT, 10), 1: _solid((0.62, 0.475, 0.74), 7)},
            {0: _solid(_LEFT, 7), 1: _solid((0.62, 0.475, 0.74), 7), 2: _solid(_RIGHT, 6)},
            {0: _solid(_LEFT, 5), 2: _solid(_RIGHT, 8)},
        ),
    ),
    Story(
        "split, merger of the parts, split",
        (
            {0: _solid((0.60, 0.46, 0.72), 11), 1: _solid((0.60, 0.60, 0.72), 11)},
            {0: _solid((0.60, 0.46, 0.72), 7), 1: _solid((0.60, 0.60, 0.72), 6)},
            {0: _solid((0.60, 0.46, 0.72), 8), 1: _solid((0.60, 0.60, 0.72), 12)},
            {0: _solid((0.60, 0.46, 0.72), 6), 1: _solid((0.60, 0.60, 0.72), 8)},
            {0: _solid((0.60, 0.46, 0.72), 8), 1: _solid((0.60, 0.60, 0.72), 5)},
        ),
    ),
    Story(
        "three in a row: mergers and splits",
        (
            {0: _solid(_ROW[0], 6), 1: _solid(_ROW[1], 7), 2: _solid(_ROW[2], 6)},
            {0: _solid(_ROW[0], 9), 1: _solid(_ROW[1], 11), 2: _solid(_ROW[2], 6)},
            {0: _solid(_ROW[0], 7), 1: _solid(_ROW[1], 11), 2: _solid(_ROW[2], 9)},
            {0: _solid(_ROW[0], 8), 1: _solid(_ROW[1], 6), 2: _solid(_ROW[2], 8)},
            {0: _solid(_ROW[0], 6), 2: _solid(_ROW[2], 10)},
        ),
    ),
    Story(
        "vanished with a new one beside its place, and back",
        (
            {0: _solid((0.62, 0.42, 0.28), 6), 2: _ring(_LEFT, 10)},
            {1: _solid((0.62, 0.50, 0.28), 5), 2: _ring(_LEFT, 12)},
            {0: _solid((0.62, 0.42, 0.28), 6), 1: _solid((0.62, 0.50, 0.28), 5), 2: _ring(_LEFT, 9)},
            {0: _solid((0.62, 0.42, 0.28), 8), 1: _solid((0.62, 0.50, 0.28), 4), 2: _ring(_LEFT, 7)},
        ),
    ),
    Story(
        "complete resection, brain shift, recurrence at the rim",
        (
            {0: _ring(_RIGHT, 16, 7.0), 1: _solid((0.62, 0.48, 0.30), 5), 2: _solid(_LEFT, 7)},
            {0: _resected_wholly(_RIGHT, 14, -5.0), 1: _solid((0.62, 0.48, 0.30), 5), 2: _solid(_LEFT, 8)},
            {0: _resected_wholly(_RIGHT, 11, -7.0), 1: _solid((0.62, 0.48, 0.30), 7), 2: _solid(_LEFT, 6)},
            {
                0: _resected_wholly(_RIGHT, 10, -7.0),
                1: _solid((0.62, 0.48, 0.30), 8),
                2: _solid(_LEFT, 6),
                3: _solid((0.72, 0.30, 0.28), 5),
            },
        ),
        {3: 0},
    ),
    Story(
        "mass effect on small neighbours",
        (
            {0: _ring(_LEFT, 9, 1.0), 1: _solid((0.62, 0.44, 0.72), 4.5), 2: _solid((0.76, 0.60, 0.72), 4)},
            {0: _ring(_LEFT, 14, 6.0), 1: _solid((0.62, 0.44, 0.72), 4.5), 2: _solid((0.76, 0.60, 0.72), 4)},
            {0: _ring(_LEFT, 18, 10.0), 1: _solid((0.62, 0.44, 0.72), 5), 2: _solid((0.76, 0.60, 0.72), 4)},
            {0: _ring(_LEFT, 9, 0.0), 1: _solid((0.62, 0.44, 0.72), 5), 2: _solid((0.76, 0.60, 0.72), 5)},
        ),
    ),
    Story(
        "two that shift onto each other's places",
        (
            {0: _ring(_RIGHT, 9, 0.0), 1: _solid((0.62, 0.45, 0.29), 4), 2: _solid((0.62, 0.52, 0.29), 4)},
            {0: _ring(_RIGHT, 16, 10.0), 1: _solid((0.62, 0.45, 0.29), 4), 2: _solid((0.62, 0.52, 0.29), 4)},
            {0: _resected_wholly(_RIGHT, 14, -6.0), 1: _solid((0.62, 0.45, 0.29), 4), 2: _solid((0.62, 0.52, 0.29), 5)},
            {0: _resected(_RIGHT, 12, 0.0), 1: _solid((0.62, 0.45, 0.29), 4), 2: _solid((0.62, 0.52, 0.29), 6)},
        ),
    ),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scanned:
    """A rendered study and what is true of it.

    Attributes
    ----------
    folder
        Its files; ``t1c`` holds the reference series.
    volumes
        ml of each region as rendered, by its name.
    masks
        The regions on the reference series' slices.
    lesions
        What there is to be found of the core: the same parts as a course counts, on those slices.
    foci
        Which foci each of them is made of.
    """

    folder: Path
    volumes: dict[str, float]
    masks: dict[Region, Mask]
    lesions: Labelled
    foci: tuple[frozenset[int], ...]


def render(story: Story, head: Path, folder: Path, patient: str, seed: int, spacing_mm: float = 1.0) -> list[Scanned]:
    """Render a patient's studies, ninety days apart: each with noise, coil, position and slices of its own.

    What the folder holds already is not rendered again.
    """
    found = []
    for number, foci in enumerate(story.scans, start=1):
        thickness, gap = SLICES[(number + seed) % len(SLICES)]
        plans = {name: replace(plan, thickness_mm=thickness, gap_mm=gap) for name, plan in PLANS.items()}
        out = folder / str(number)
        done = out / "rendered"
        if not done.exists():
            write_study(head, out, seed, scan=number, foci=foci, plans=plans, spacing_mm=spacing_mm)
            _date(out, patient, date(2026, 1, 5) + timedelta(days=90 * (number - 1)))
            done.touch()
        found.append(_scanned(out, story.recurrences))
    return found


def _date(folder: Path, patient: str, day: date) -> None:
    for path in folder.glob("*/*.dcm"):
        dataset = pydicom.dcmread(path)
        dataset.PatientID = patient
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            setattr(dataset, keyword, f"{day:%Y%m%d}")
        dataset.save_as(path, enforce_file_format=True)


def _scanned(folder: Path, recurrences: Mapping[int, int]) -> Scanned:
    volumes = json.loads((folder / "truth.json").read_text())["volumes_ml"]
    labels = sitk.ReadImage(str(folder / "truth.nii.gz"))
    regions = OWN.regions(sitk.GetArrayFromImage(labels))
    masks = {region: np.asarray(one, dtype=bool) for region, one in zip(TUMOUR_REGIONS, regions, strict=True)}
    lesions = lesions_of({Region.TC: masks[Region.TC]}, labels, _ANY_PLANE)[Region.TC]
    whose = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "foci.nii.gz")))
    found = [np.unique(whose[lesions.array == place + 1]).tolist() for place in range(len(lesions.lesions))]
    foci = tuple(frozenset(recurrences.get(one - 1, one - 1) for one in each if one) for each in found)
    return Scanned(folder, volumes, masks, lesions, foci)


def reference_files(scanned: Scanned) -> list[Path]:
    """The slices of the reference series."""
    return sorted((scanned.folder / MRSequence.T1C.value).glob("*.dcm"))
