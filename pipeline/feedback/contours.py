"""What a person drew, as contours on the slices that the dashboard shows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydicom import Dataset
from skimage.measure import find_contours

from pipeline.feedback.masks import Drawn, Mask, Study, named_rois
from pipeline.feedback.recognise import kind_of
from pipeline.feedback.regions import RegionNames
from pipeline.names import Region
from pipeline.viewer.contours import DECIMALS, contours_of

CONTOURS: Final = "contours"

#: Region, slice, and column and row of each point in turn, 0 being the centre of the first pixel.
Outline = tuple[Region, int, list[float]]


def write_contours(folder: Path, dataset: Dataset, drawn: Drawn, study: Study, names: RegionNames) -> None:
    """Write ``contours.json``: ``slices`` (SOP Instance UIDs), ``regions`` drawn, ``contours`` by slice.

    Parameters
    ----------
    folder
        Where to.
    dataset
        The correction.
    drawn
        Its regions.
    study, names
        What it was drawn on; meaning of its ROIs' names.

    Notes
    -----
    A structure set drawn on the reference series is shown as it is, so that what was left alone coincides
    with the automatic contour. Of anything else the regions' outlines are traced.
    """
    as_drawn = kind_of(dataset) == "rtstruct" and drawn.sequences == (study.reference,)
    outlines = list(_as_drawn(dataset, study, names) if as_drawn else _traced(drawn.masks))
    contours: dict[str, list[dict[str, Any]]] = {}
    for region, k, points in outlines:
        contours.setdefault(str(k), []).append({"region": region.value, "points": points})
    content = {
        "slices": [one.sop_instance_uid for one in study.volumes[study.reference].slices],
        "regions": [region.value for region in drawn.masks],
        "contours": contours,
    }
    (folder / f"{CONTOURS}.json").write_text(json.dumps(content, separators=(",", ":")))


def _as_drawn(dataset: Dataset, study: Study, names: RegionNames) -> Iterator[Outline]:
    chosen, _ = names.assign(named_rois(dataset))
    regions = {roi.number: region for region, roi in chosen.items()}
    for number, k, points in contours_of(dataset, study.volumes[study.reference]):
        if number in regions and len(points) >= 6:
            yield regions[number], k, points


def _traced(masks: dict[Region, Mask]) -> Iterator[Outline]:
    for region, mask in masks.items():
        for k in np.flatnonzero(mask.any(axis=(1, 2))):
            # A rim of background closes the outline of what touches the image's edge.
            padded = np.pad(mask[k], 1).astype(np.float32)
            for line in find_contours(padded, 0.5):  # type: ignore[no-untyped-call]
                yield region, int(k), np.round(line[:, ::-1] - 1, DECIMALS).ravel().tolist()
