"""Two studies side by side on the slices of the newer one, for the dashboard: pictures and contours of both."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from skimage.measure import find_contours

from pipeline.align import Alignment
from pipeline.course.records import TimePoint
from pipeline.course.scans import Scan
from pipeline.course.shown import CONTENT, folder_of
from pipeline.dashboard.contours import DECIMALS, Contour, Roi, contours_on_slices
from pipeline.dashboard.slices import draw_sheets
from pipeline.names import REGION_MEANING, MRSequence, Region
from pipeline.objects.regions import REGION_STYLES

Mask = NDArray[np.bool_]


def write_beside(state: Path, point: TimePoint, now: Scan, before: Scan, names: Mapping[Region, str]) -> None:
    """Write what the dashboard shows of a study beside the one before; nothing where they could not be aligned.

    Parameters
    ----------
    state
        The node's state folder.
    point
        What is kept of the study.
    names
        ROI name of each region.
    """
    if not point.alignment:
        return
    transform = Alignment.from_json(point.alignment).transform
    folder = folder_of(state, point.study)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    target = now.volume.image
    for name, scan, moved in (("now", now, sitk.Transform()), ("before", before, transform)):
        sheet, drawn = draw_sheets({MRSequence.T1C: scan.volume}, {MRSequence.T1C: moved}, target)
        (folder / f"{name}.jpg").write_bytes(drawn[MRSequence.T1C])
    regions = [region for region in Region if region in now.masks]
    shown = {
        "now": _contours([now.masks[one] for one in regions]),
        "before": _contours([_moved(before, one, target, transform) for one in regions]),
    }
    content = contours_on_slices(None, now.volume, names).as_json() | {
        "sheet": sheet.as_json(),
        "sequences": ["before", "now"],
        "rois": [_roi(one, names[one]).as_json() for one in regions],
        "contours": _as_json(shown["now"]),
        "own": {name: _as_json(one) for name, one in shown.items()},
    }
    # Last: whoever finds it finds the pictures.
    (folder / CONTENT).write_text(json.dumps(content, separators=(",", ":")))


def _moved(scan: Scan, region: Region, target: sitk.Image, transform: sitk.Transform) -> Mask:
    if region not in scan.masks:
        return np.zeros(target.GetSize()[::-1], dtype=bool)
    image = sitk.GetImageFromArray(scan.masks[region].astype(np.float32))
    image.CopyInformation(scan.volume.image)
    return np.asarray(sitk.GetArrayFromImage(sitk.Resample(image, target, transform, sitk.sitkLinear, 0.0)) >= 0.5)


def _contours(masks: list[Mask]) -> dict[int, list[Contour]]:
    """Outlines by slice, in pixels, 0 being the centre of the first one; the number of a mask is its ROI's place."""
    found: dict[int, list[Contour]] = {}
    for roi, mask in enumerate(masks):
        for k in np.flatnonzero(mask.any(axis=(1, 2))):
            outlines = find_contours(np.pad(mask[k], 1).astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
            found.setdefault(int(k), []).extend(
                Contour(roi=roi, points=np.round(one[:, ::-1] - 1, DECIMALS).ravel().tolist()) for one in outlines
            )
    return found


def _as_json(contours: Mapping[int, list[Contour]]) -> dict[str, list[object]]:
    return {str(k): [one.as_json() for one in each] for k, each in contours.items()}


def _roi(region: Region, name: str) -> Roi:
    return Roi(name=name, region=region.value, meaning=REGION_MEANING[region], colour=REGION_STYLES[region].colour)
