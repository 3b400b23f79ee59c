"""The OHIF viewer beside the workstation: it opens the study and draws the structure set over the T1c."""

from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO

from pipeline.viewer.ohif import viewer_url
from tests.browser.conftest import Browser, Site
from tests.orthanc.conftest import wait_for

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
    chromium.keep_picture("viewer")
