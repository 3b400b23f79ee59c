"""A synthetic DICOM study of four series, for the demo and the tests."""

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk
from scipy import ndimage

from pipeline.names import MRSequence, Region
from pipeline.training.synthesis import acquisition, tumour
from pipeline.training.synthesis.anatomy import (
    Anatomy,
    Push,
    add_normal_structures,
    coordinates,
    deform_head,
    push_grid,
)
from pipeline.training.synthesis.heads import Head, load_head
from pipeline.training.synthesis.noise import Array
from pipeline.training.synthesis.series import (
    PLANS,
    SeriesPlan,
    acquire,
    as_image,
    dataset,
    lying,
    series_grid,
    signals,
)
from pipeline.training.synthesis.tissues import Tissue

EXTENT_MM = (168, 224, 180)
LABELS = {Region.WT: 2, Region.TC: 1, Region.ET: 4}
#: How far oedema reaches around foci that are followed over time.
_OEDEMA_MM: Final = 8.0
#: From the brain's surface inwards, mass effect comes on within this.
_HELD_MM: Final = 12.0


@dataclass(frozen=True)
class Focus:
    """A focus of a tumour.

    Attributes
    ----------
    centre
        Shares (z, y, x) of the brain's extent (towards superior, posterior, left).
    radius_mm, kind
        As of :class:`pipeline.training.synthesis.tumour.Core`.
    push_mm
        Mass effect: how far the tissue at its surface is pushed away; negative where it sinks in, as into a cavity.
    oedema_mm
        How far oedema reaches.
    bare
        A cavity without any rim that takes up contrast: nothing of the core is left.
    """

    centre: tuple[float, float, float]
    radius_mm: float
    kind: tumour.TumourKind
    push_mm: float = 0.0
    oedema_mm: float = _OEDEMA_MM
    bare: bool = False


def _place(head: Head, share: tuple[float, float, float]) -> tuple[float, float, float]:
    """Voxel (z, y, x) by its shares of the brain's extent."""
    where = np.argwhere(head.brain > 127)
    z, y, x = (float(a + (b - a) * one) for a, b, one in zip(where.min(0), where.max(0), share, strict=True))
    return z, y, x


def _anatomy(path: Path, rng: np.random.Generator, centre_share: tuple[float, float, float]) -> tuple[Anatomy, Array]:
    """The head with its tumour at 1 mm, and the regions WT, TC, ET as (3, z, y, x)."""
    head = load_head(path, 1, whole=True, extent_mm=EXTENT_MM)
    core = tumour.Core(_place(head, centre_share), 15.0, tumour.TumourKind.RING)
    positions = coordinates(head.brain.shape)
    anatomy = deform_head(head, push_grid(positions, positions, Push(core.centre, core.radius_mm, 5.0), 1.0))
    add_normal_structures(rng, anatomy)
    growth = tumour.grow(rng, [core], anatomy)
    return anatomy, tumour.implant(growth, anatomy, 0.9).astype(np.float32)


@functools.lru_cache(maxsize=1)
def _whole_head(path: Path, spacing_mm: float) -> Head:
    """The head of a patient, who is scanned several times."""
    return load_head(path, spacing_mm, whole=True, extent_mm=EXTENT_MM)


def _with_foci(
    path: Path, rng: np.random.Generator, seed: int, foci: Mapping[int, Focus], spacing_mm: float
) -> tuple[Anatomy, Array, npt.NDArray[np.uint8]]:
    """The head with several foci: anatomy, regions, and which voxel of a core is whose, 1 + the focus' number.

    Each focus has its shape by its number, whatever is beside it, and lies at the same place of the tissue, which the
    others may have pushed aside.
    """
    head = _whole_head(path, spacing_mm)
    read_from = _pushed(head, foci.values())
    anatomy = deform_head(head, read_from)
    add_normal_structures(rng, anatomy)
    regions = np.zeros((3, *head.brain.shape), dtype=bool)
    whose = np.zeros(head.brain.shape, dtype=np.uint8)
    for number, focus in sorted(foci.items()):
        core = tumour.Core(_now_at(_place(head, focus.centre), read_from), focus.radius_mm, focus.kind)
        growth = tumour.grow(np.random.default_rng([seed, number]), [core], anatomy, focus.oedema_mm)
        if focus.bare:
            growth.parts[Tissue.CAVITY] = growth.parts[Tissue.CAVITY] + growth.parts.pop(Tissue.ENHANCING)
        own = tumour.implant(growth, anatomy, 0.9)
        whose[own[1] & (whose == 0)] = number + 1
        regions |= own
    return anatomy, regions.astype(np.float32), whose


def _pushed(head: Head, foci: Iterable[Focus]) -> Array:
    """Indices, shape (3, z, y, x), that the head is read from; the skull stays where it is."""
    positions = coordinates(head.brain.shape)
    grid = positions
    for focus in foci:
        if focus.push_mm:
            push = Push(_place(head, focus.centre), focus.radius_mm, focus.push_mm)
            grid = push_grid(grid, positions, push, head.spacing_mm)
    if grid is positions:
        return positions
    depth_mm = ndimage.distance_transform_edt(head.brain > 127) * head.spacing_mm
    share = np.minimum(depth_mm / _HELD_MM, 1).astype(np.float32)
    return np.asarray(positions + (grid - positions) * share, dtype=np.float32)


def _now_at(place: tuple[float, float, float], read_from: Array) -> tuple[float, float, float]:
    """Voxel (z, y, x) where the tissue of a place of the head lies after mass effect."""
    at = np.array(place)
    for _ in range(20):
        found = [ndimage.map_coordinates(axis, at[:, None], order=1)[0] for axis in read_from]
        at = at + np.array(place) - np.array(found)
    return float(at[0]), float(at[1]), float(at[2])


def write_study(
    head: Path,
    out: Path,
    seed: int = 7,
    centre: tuple[float, float, float] = (0.62, 0.42, 0.72),
    scan: int = 0,
    foci: Mapping[int, Focus] | None = None,
    plans: Mapping[MRSequence, SeriesPlan] = PLANS,
    spacing_mm: float = 1.0,
) -> dict[str, object]:
    """Render a study with a ring-enhancing tumour and write it as DICOM.

    Parameters
    ----------
    head
        Label map to render.
    out
        Folder; gets ``t1``, ``t1c``, ``t2``, ``flair`` with one file a slice (MR Image Storage, JPEG-LS lossless),
        ``truth.nii.gz`` (labels 1, 2, 4 on the T1c's slices) and ``truth.json`` (volumes).
    seed
        Decides everything random.
    centre
        Place of the tumour as shares (z, y, x) of the brain's extent (towards superior, posterior, left).
    scan
        From 1: which scan of the same head it is, each with its own noise and coil, the head lying otherwise.
    foci
        In place of that tumour, by numbers that stand for the same focus in every scan; ``foci.nii.gz`` then tells
        which voxel of a core is whose (1 + number), on the T1c's slices.
    plans
        How the series are taken.
    spacing_mm
        Of the grid that foci are rendered on, a multiple of half a mm.

    Returns
    -------
    What truth.json holds.
    """
    rng = np.random.default_rng(seed)
    whose = None
    if foci is None:
        anatomy, regions = _anatomy(head, rng, centre)
    else:
        anatomy, regions, whose = _with_foci(head, rng, seed, foci, spacing_mm)
    patient = acquisition.draw_patient(rng)
    table = {s: signals(patient, plan) for s, plan in plans.items()}
    rendered = acquisition.render(rng, anatomy.fractions, table, anatomy.spacing_mm)
    name = hashlib.sha256(f"{head.name}{seed}{centre}{scan or ''}".encode()).hexdigest()[:12]
    position = sitk.Euler3DTransform()
    if scan:
        rng = np.random.default_rng([seed, scan])
        position = lying(rng)
    for k, sequence in enumerate(MRSequence):
        clean = as_image(rendered[k], anatomy.spacing_mm)
        image = acquire(sitk.Resample(clean, position, sitk.sitkLinear, 0.0) if scan else clean, plans[sequence], rng)
        folder = out / sequence.value
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(image.GetSize()[2]):
            dataset(image, number, plans[sequence], name).save_as(
                folder / f"{number + 1:03d}.dcm", enforce_file_format=True
            )
    grid = series_grid(plans[MRSequence.T1C])
    if whose is not None:
        placed = sitk.Resample(as_image(whose, anatomy.spacing_mm), grid, position, sitk.sitkNearestNeighbor)
        sitk.WriteImage(placed, str(out / "foci.nii.gz"), useCompression=True)
    return _write_truth(out, [as_image(one, anatomy.spacing_mm) for one in regions], grid, position, plans)


def _ml(region: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(region).sum() * np.prod(region.GetSpacing()) / 1000)


def _write_truth(
    out: Path,
    regions: Sequence[sitk.Image],
    grid: sitk.Image,
    position: sitk.Transform,
    plans: Mapping[MRSequence, SeriesPlan],
) -> dict[str, object]:
    shares = [sitk.GetArrayFromImage(sitk.Resample(r, grid, position, sitk.sitkLinear)) for r in regions]
    whole, core, enhancing = (share > 0.5 for share in shares)
    labels = sitk.GetImageFromArray(np.where(enhancing, 4, np.where(core, 1, np.where(whole, 2, 0))).astype(np.uint8))
    labels.CopyInformation(grid)
    sitk.WriteImage(labels, str(out / "truth.nii.gz"), useCompression=True)
    names = (Region.WT, Region.TC, Region.ET)
    truth: dict[str, object] = {
        "volumes_ml": {n.value: round(_ml(r), 2) for n, r in zip(names, regions, strict=True)},
        "labels": {"1": "necrosis and non-enhancing core", "2": "oedema", "4": "enhancing tumour"},
        "space": "the T1c series (patient coordinates, LPS)",
        "displacement_against_t1c": {
            s.value: {"rotation_deg": p.moved_deg, "translation_mm": p.moved_mm} for s, p in plans.items()
        },
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=2) + "\n")
    return truth
