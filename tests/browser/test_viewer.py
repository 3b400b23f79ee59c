"""The OHIF viewer beside the workstation: it opens the study and draws the structure set over the T1c."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.filebase import DicomBytesIO

from pipeline.node.viewer import viewer_url
from pipeline.objects import read_structure_set
from pipeline.objects.rtstruct.planes import place
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.volume import read_volume
from tests.browser.conftest import Browser, Site
from tests.patience import wait_for

#: Shows the slice with this SOP Instance UID in the one viewport; false until the viewer has it.
SHOW_SLICE = """
const found = (window.cornerstone?.getEnabledElements() ?? []).map((one) => one.viewport);
const viewport = found.find((one) => one.getImageIds?.().some((id) => id.includes(arguments[0])));
if (!viewport) return false;
window.seen = viewport;
if (viewport.getCurrentImageId()?.includes(arguments[0])) return true;
viewport.setImageIdIndex(viewport.getImageIds().findIndex((id) => id.includes(arguments[0])));
return false;
"""

#: Where points of the patient (LPS, mm) lie in the window.
PLACES = """
const { left, top } = window.seen.canvas.getBoundingClientRect();
return arguments[0].map((point) => window.seen.worldToCanvas(point)).map(([x, y]) => [x + left, y + top]);
"""

#: What the viewer holds of structure sets and draws: name of the ROI and points (LPS, mm) of every contour.
HELD = """
const tools = window.cornerstoneTools;
const held = [];
for (const segmentation of tools?.segmentation.state.getSegmentations() ?? []) {
  for (const [index, uids] of segmentation.representationData.Contour?.annotationUIDsMap ?? []) {
    for (const uid of uids) {
      const contour = tools.annotation.state.getAnnotation(uid).data.contour;
      held.push([segmentation.segments[index].label, Array.from(contour.polyline, (point) => Array.from(point))]);
    }
  }
}
return held;
"""


def structure_set_at_workstation(site: Site, uid: str) -> pydicom.Dataset:
    with site.pair.workstation.client() as client:
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = client.post("/tools/lookup", content=uid).json()
            return bool(found)

        wait_for(there, 60, "the structure set at the workstation")
        return pydicom.dcmread(DicomBytesIO(client.get(f"/instances/{found[0]['ID']}/file").content))


def share_near(picture: np.ndarray, places: np.ndarray, colours: np.ndarray) -> float:
    """Share of the places with one of the colours within two pixels."""
    hit = 0
    for x, y in np.round(places).astype(int):
        patch = picture[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].reshape(-1, 1, 3).astype(int)
        hit += bool((np.abs(patch - colours).max(axis=2) < 60).any())
    return hit / len(places)


def test_viewer_draws_the_contours(chromium: Browser, site: Site, job: dict[str, Any]) -> None:
    """Pixels of the ROIs' colours lie in the screenshot where the contours' points are, and not elsewhere."""
    if site.viewer is not None:
        pytest.skip(f"no viewer: {site.viewer}")
    rtstruct = job["result"]["rtstruct"]
    dataset = structure_set_at_workstation(site, rtstruct["sop_instance_uid"])
    contours = [contour for roi in dataset.ROIContourSequence for contour in roi.get("ContourSequence", [])]
    largest = max(contours, key=lambda one: int(one.NumberOfContourPoints))
    shown = str(largest.ContourImageSequence[0].ReferencedSOPInstanceUID)
    points = np.concatenate([
        np.array(one.ContourData, float).reshape(-1, 3)
        for one in contours
        if one.ContourImageSequence[0].ReferencedSOPInstanceUID == shown
    ])  # fmt: skip
    colours = np.array([list(roi.ROIDisplayColor) for roi in dataset.ROIContourSequence], int)[None]

    chromium.size(1360, 850)
    chromium.login(site.pair.workstation)
    chromium.open(viewer_url(site.pair.workstation.url, job["study_instance_uid"], rtstruct["series_instance_uid"]))
    chromium.until(lambda: chromium.script(SHOW_SLICE, shown), 120, "the slice in the viewer")

    def drawn() -> bool:
        chromium.script(SHOW_SLICE, shown)
        places = np.array(chromium.script(PLACES, points.tolist()))
        return share_near(np.asarray(chromium.picture()), places, colours) > 0.9

    chromium.until(drawn, 60, "the contours in the viewer")
    places = np.array(chromium.script(PLACES, points.tolist()))
    assert share_near(np.asarray(chromium.picture()), places + 25, colours) < 0.5


def test_viewer_holds_the_contours_that_were_written(
    chromium: Browser, site: Site, job: dict[str, Any], sample_study: Path
) -> None:
    """The polygons that the viewer draws, filled by the even-odd rule, give our masks back: Dice 0.98 at least."""
    if site.viewer is not None:
        pytest.skip(f"no viewer: {site.viewer}")
    rtstruct = job["result"]["rtstruct"]
    dataset = structure_set_at_workstation(site, rtstruct["sop_instance_uid"])
    volume = read_volume(sorted((sample_study / "t1c").iterdir()))
    expected = {
        roi.name: sitk.GetArrayFromImage(roi.mask) > 0
        for roi in read_structure_set(dataset, volume)
        if roi.contour_count
    }
    written = sum(len(roi.get("ContourSequence") or []) for roi in dataset.ROIContourSequence)

    chromium.login(site.pair.workstation)
    chromium.open(viewer_url(site.pair.workstation.url, job["study_instance_uid"], rtstruct["series_instance_uid"]))
    chromium.until(lambda: len(chromium.script(HELD)) >= written, 120, "all contours in the viewer")
    polygons: dict[str, list[np.ndarray]] = {}
    for name, points in chromium.script(HELD):
        polygons.setdefault(name, []).append(np.array(points))
    assert set(polygons) == set(expected)
    for name, mask in expected.items():
        drawn = rasterise(place(polygons[name], volume).contours, mask.shape) > 0
        dice = 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum())
        print(f"OHIF, {name}: {len(polygons[name])} contours, Dice {dice:.4f}")
        assert dice >= 0.98
