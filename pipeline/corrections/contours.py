"""What a person drew, as contours on the slices that the dashboard shows, and as surfaces."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from skimage.measure import find_contours

from pipeline.corrections.meaning import Meaning
from pipeline.corrections.recognise import kind_of
from pipeline.corrections.study import Mask, Study
from pipeline.dashboard.contours import DECIMALS
from pipeline.dashboard.surfaces import NAME, Surface, encoded, surface_of
from pipeline.names import TUMOUR_REGIONS, Region
from pipeline.objects.rtstruct.loops import loops
from pipeline.objects.rtstruct.parse import parse_structure_set
from pipeline.objects.rtstruct.planes import parallel, to_index
from pipeline.records import Record

CONTOURS: Final = "contours"

#: Slice, and column and row of each point in turn, 0 being the centre of the first pixel.
Outline = tuple[int, list[float]]


class DrawnContour(Record):
    """A contour of a region: column and row of each point in turn, 0 being the centre of the first pixel."""

    region: Region
    points: list[float]


class DrawnContours(Record):
    """SOP Instance UIDs of the slices, regions that were drawn, contours by slice."""

    slices: tuple[str, ...]
    regions: tuple[Region, ...]
    contours: dict[int, list[DrawnContour]]


def write_contours(folder: Path, dataset: Dataset, meaning: Meaning, study: Study) -> None:
    """Write ``contours.json``: a :class:`DrawnContours`.

    Parameters
    ----------
    folder
        Where to.
    dataset
        The correction.
    meaning
        What it says.
    study
        What it was drawn on.

    Notes
    -----
    A region drawn as contours on the reference series' slices is shown as it is, so that what was left alone
    coincides with the automatic contour. Of anything else the region's outline is traced.
    """
    said = [region for region in TUMOUR_REGIONS if region in meaning.said]
    polygons = _polygons(dataset, study) if kind_of(dataset) == "rtstruct" else {}
    contours: dict[int, list[DrawnContour]] = {}
    for region in said:
        numbers = meaning.shown.get(region, ())
        as_drawn = numbers and all(number in polygons for number in numbers)
        outlines = (one for n in numbers for one in polygons[n]) if as_drawn else _traced(meaning.regions[region])
        for k, points in outlines:
            contours.setdefault(k, []).append(DrawnContour(region=region, points=points))
    content = DrawnContours(
        slices=tuple(one.sop_instance_uid for one in study.volumes[study.reference].slices),
        regions=tuple(said),
        contours=contours,
    )
    (folder / f"{CONTOURS}.json").write_text(content.model_dump_json())


def write_surfaces(folder: Path, regions: Mapping[Region, Mask], grid: sitk.Image) -> None:
    """Write ``surfaces.bin``, see :func:`pipeline.dashboard.surfaces.encoded`.

    Parameters
    ----------
    folder
        Where to.
    regions
        Bool, shape (slices, rows, columns) of the grid.
    grid
        The reference series.
    """
    found: dict[str, Surface | None] = {}
    for region, mask in regions.items():
        image = sitk.GetImageFromArray(mask.astype(np.uint8))
        image.CopyInformation(grid)
        found[region] = surface_of(image)
    (folder / f"{NAME}.bin").write_bytes(encoded(found))


def _polygons(dataset: Dataset, study: Study) -> dict[int, list[Outline]]:
    """Contours by ROI number, of those ROIs that were drawn on the reference series' slices."""
    reference = study.volumes[study.reference]
    own = study.images()[study.reference]
    found: dict[int, list[Outline]] = {}
    for roi in parse_structure_set(dataset).rois:
        elsewhere = roi.referenced_instances and not roi.referenced_instances & own
        if roi.number is None or elsewhere or not parallel(roi.polygons, reference).all():
            continue
        for polygon in roi.polygons:
            pixels = to_index(polygon, reference)
            k = round(float(pixels[:, 2].mean()))
            borders = [np.round(one, DECIMALS).ravel().tolist() for one in loops(pixels[:, :2])]
            found.setdefault(roi.number, []).extend((k, border) for border in borders)
    return found


def _traced(mask: Mask) -> Iterator[Outline]:
    for k in np.flatnonzero(mask.any(axis=(1, 2))):
        # A rim of background closes the outline of what touches the image's edge.
        padded = np.pad(mask[k], 1).astype(np.float32)
        for line in find_contours(padded, 0.5):  # type: ignore[no-untyped-call]
            yield int(k), np.round(line[:, ::-1] - 1, DECIMALS).ravel().tolist()
