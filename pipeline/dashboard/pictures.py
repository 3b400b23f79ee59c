"""Writes what the dashboard shows into a job's folder ``browse``: contours, a picture a sequence, surfaces."""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import pydicom
import SimpleITK as sitk
import structlog

from pipeline.case.workspace import Workspace
from pipeline.dashboard.contours import contours_on_slices
from pipeline.dashboard.slices import Sheet, draw_on, reduced, sheet_of
from pipeline.dashboard.surfaces import HEAD, NAME, Surface, around_of, encoded, head_of, surface_of
from pipeline.errors.resources import trace_of
from pipeline.names import MRSequence, Region

FOLDER: Final = "browse"
#: Probability from which the brain is drawn.
_BRAIN: Final = 0.5

log = structlog.get_logger()


@contextmanager
def pictures_beside(case: Workspace, reference: MRSequence, roi_names: Mapping[Region, str]) -> Iterator[None]:
    """Draw the slices of a case while its objects are written, which keeps one core busy; then write both.

    Contours go out also where this fails: it is logged.

    Parameters
    ----------
    case
        With volumes and alignment.
    reference
        Sequence whose slices carry the contours.
    roi_names
        ROI name of each region.
    """
    with ThreadPoolExecutor(1) as beside:
        drawn = beside.submit(_draw, case, *_grid(case, reference))
        surfaces = beside.submit(_surfaces, case, reference)
        yield
    try:
        _write(case, reference, roi_names, *drawn.result())
    except Exception as error:
        log.error("slices not drawn", job=case.path.name, where=trace_of(error))
    try:
        case.write_bytes(f"{FOLDER}/{NAME}.bin", surfaces.result())
    except Exception as error:
        log.error("surfaces not drawn", job=case.path.name, where=trace_of(error))


def _grid(case: Workspace, reference: MRSequence) -> tuple[Sheet, sitk.Image]:
    """Of the reference in its own resolution nothing else is kept beside the objects: it may be large."""
    target = case.read_reference(reference).image
    sheet = sheet_of(target)
    return sheet, reduced(target, sheet)


def _draw(case: Workspace, sheet: Sheet, grid: sitk.Image) -> tuple[Sheet, dict[MRSequence, bytes]]:
    transforms = {sequence: one.transform for sequence, one in case.read_alignments().items()}
    return sheet, draw_on(sheet, grid, case.read_volumes(), transforms)


def _surfaces(case: Workspace, reference: MRSequence) -> bytes:
    surfaces: dict[str, Surface | None] = {
        region: surface_of(mask) for region, mask in case.read_regions("mask").items()
    }
    brain = f"probability-{Region.BRAIN.value}"
    if case.has_image(brain):
        surfaces[Region.BRAIN] = around_of(case.read_image(brain), _BRAIN)
    else:
        surfaces[HEAD] = head_of(case.read_volume(reference).image)
    return encoded(surfaces)


def _write(
    case: Workspace,
    reference: MRSequence,
    roi_names: Mapping[Region, str],
    sheet: Sheet,
    pictures: Mapping[MRSequence, bytes],
) -> None:
    slices = case.read_reference(reference)
    path = case.objects / "rtstruct.dcm"
    structure_set = pydicom.dcmread(path) if path.exists() else None
    for sequence, picture in pictures.items():
        case.write_bytes(f"{FOLDER}/{sequence.value}.jpg", picture)
    content = contours_on_slices(structure_set, slices, roi_names).as_json() | {
        "reference": reference.value,
        "sheet": sheet.as_json(),
        "sequences": [sequence.value for sequence in MRSequence if sequence in pictures],
    }
    case.write_bytes(f"{FOLDER}/contours.json", json.dumps(content, separators=(",", ":")).encode())
