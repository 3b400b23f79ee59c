"""Writes what the dashboard shows into a job's folder: ``browse/contours.json`` and a picture a sequence."""

import json
from collections.abc import Mapping
from typing import Final

import pydicom

from pipeline.case.workspace import Workspace
from pipeline.dashboard.contours import contours_on_slices
from pipeline.dashboard.slices import draw_sheets
from pipeline.names import MRSequence, Region

FOLDER: Final = "browse"


def write_pictures(case: Workspace, reference: MRSequence, roi_names: Mapping[Region, str]) -> None:
    """Write slices and contours of a case whose objects are written.

    Parameters
    ----------
    case
        With volumes, alignment and objects.
    reference
        Sequence whose slices carry the contours.
    roi_names
        ROI name of each region.
    """
    volumes = case.read_volumes()
    slices = case.read_reference(reference)
    alignments = case.read_alignments()
    path = case.objects / "rtstruct.dcm"
    structure_set = pydicom.dcmread(path) if path.exists() else None
    sheet, pictures = draw_sheets(volumes, {key: one.transform for key, one in alignments.items()}, slices.image)
    for sequence, picture in pictures.items():
        case.write_bytes(f"{FOLDER}/{sequence.value}.jpg", picture)
    content = contours_on_slices(structure_set, slices, roi_names).as_json() | {
        "reference": reference.value,
        "sheet": sheet.as_json(),
        "sequences": [sequence.value for sequence in MRSequence if sequence in pictures],
    }
    case.write_bytes(f"{FOLDER}/contours.json", json.dumps(content, separators=(",", ":")).encode())
