"""The OHIF viewer beside the workstation: it draws the structure set over the T1c, and stores what is edited in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.filebase import DicomBytesIO
from scipy.ndimage import binary_fill_holes
from selenium.webdriver.common.action_chains import ActionChains

from pipeline.node import OrthancProcess
from pipeline.node.viewer import viewer_url
from pipeline.objects import read_structure_set
from pipeline.objects.rtstruct.planes import place
from pipeline.objects.rtstruct.rasterise import rasterise
from pipeline.volume import read_volume
from pipeline.volume.records import SourceVolume
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

#: What the viewer holds of structure sets and draws: name of the ROI and points (LPS, mm) of every contour, and of
#: the holes of those that were edited.
HELD = """
const tools = window.cornerstoneTools;
const held = [];
for (const segmentation of tools?.segmentation.state.getSegmentations() ?? []) {
  for (const [index, uids] of segmentation.representationData.Contour?.annotationUIDsMap ?? []) {
    const holes = [...uids].flatMap((uid) => tools.annotation.state.getAnnotation(uid).childAnnotationUIDs ?? []);
    for (const uid of new Set([...uids, ...holes])) {
      const contour = tools.annotation.state.getAnnotation(uid).data.contour;
      held.push([segmentation.segments[index].label, Array.from(contour.polyline, (point) => Array.from(point))]);
    }
  }
}
return held;
"""


#: Takes the structure set out of the viewer.
DELETE = """
const [segmentation] = window.services.segmentationService.getSegmentations();
window.commandsManager.runCommand('deleteSegmentation', { segmentationId: segmentation.segmentationId });
"""

Mask = NDArray[np.bool_]


def structure_set_at_workstation(site: Site, uid: str) -> pydicom.Dataset:
    with site.pair.workstation.client() as client:
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = client.post("/tools/lookup", content=uid).json()
            return bool(found)

        wait_for(there, 60, "the structure set at the workstation")
        return pydicom.dcmread(DicomBytesIO(client.get(f"/instances/{found[0]['ID']}/file").content))


def structure_set_on(orthanc: OrthancProcess, instance: str) -> pydicom.Dataset:
    with orthanc.client() as client:
        return pydicom.dcmread(DicomBytesIO(client.get(f"/instances/{instance}/file").raise_for_status().content))


def masks_of(dataset: pydicom.Dataset, volume: SourceVolume) -> dict[str, Mask]:
    return {roi.name: sitk.GetArrayFromImage(roi.mask) > 0 for roi in read_structure_set(dataset, volume)}


def contours_on(dataset: pydicom.Dataset, name: str, slice_uid: str) -> list[NDArray[np.float64]]:
    """Points (LPS, mm) of an ROI's contours on one slice."""
    (number,) = [roi.ROINumber for roi in dataset.StructureSetROISequence if roi.ROIName == name]
    return [
        np.array(one.ContourData, float).reshape(-1, 3)
        for roi in dataset.ROIContourSequence
        for one in roi.ContourSequence
        if roi.ReferencedROINumber == number
        and one.ContourImageSequence[0].ReferencedSOPInstanceUID == slice_uid
    ]  # fmt: skip


def polygons_of(held: list[Any]) -> dict[str, list[NDArray[np.float64]]]:
    polygons: dict[str, list[NDArray[np.float64]]] = {}
    for name, points in held:
        polygons.setdefault(name, []).append(np.array(points))
    return polygons


def fill(polygons: list[NDArray[np.float64]], volume: SourceVolume) -> Mask:
    """Fill polygons (LPS, mm) by the even-odd rule; shape (slices, rows, columns)."""
    return np.asarray(rasterise(place(polygons, volume).contours, volume.image.GetSize()[::-1]) > 0)


def dice_of(one: Mask, other: Mask) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def holes(mask: Mask) -> int:
    """Voxels in holes of the slices."""
    return sum(int((binary_fill_holes(one) & ~one).sum()) for one in mask)


def drag(browser: Browser, places: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> None:
    """Drag the mouse from place to place of the window."""
    actions = ActionChains(browser.driver, duration=5)
    mouse = actions.w3c_actions.pointer_action
    for number, (x, y) in enumerate(places):
        mouse.move_to_location(int(x), int(y))
        if number == 0:
            mouse.pointer_down()
    mouse.pointer_up()
    actions.perform()


def draw_at(
    browser: Browser, name: str, shown: str, point: NDArray[np.float64], away_from: NDArray[np.float64], deep: float
) -> None:
    """Draw a circle outside an ROI that reaches some pixels beyond a point of its contour (LPS, mm), freehand in OHIF.

    It begins far from it: near a contour the mouse would drag that. What OHIF makes of it, more or less than before,
    is OHIF's business.
    """
    choose(browser, name)
    browser.find("[data-cy='PlanarFreehandContourSegmentationTool-btn']").click()
    browser.until(lambda: browser.script(SHOW_SLICE, shown), 60, "the slice in the viewer")
    border, centre = np.array(browser.script(PLACES, [point.tolist(), away_from.tolist()]))
    outwards = (border - centre) / np.linalg.norm(border - centre)
    angles = np.arctan2(*outwards[::-1]) + np.linspace(0, 2 * np.pi, 40)
    before = polygons_of(browser.script(HELD))[name]
    drag(browser, border + (24 - deep) * outwards + 24 * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    lengths = [len(one) for one in before]
    now = lambda: [len(one) for one in polygons_of(browser.script(HELD))[name]]  # noqa: E731
    browser.until(lambda: now() != lengths, 30, f"the edit of {name}")


def choose(browser: Browser, name: str) -> None:
    """Make an ROI the one that is drawn in."""
    next(one for one in browser.all("[data-cy='data-row']") if name in one.text).click()
    active = """
    const { segmentationService: service, viewportGridService: grid } = window.services;
    return service.getActiveSegment(grid.getActiveViewportId())?.label;
    """
    browser.until(lambda: browser.script(active) == name, 15, f"{name} to be the active one")


def structure_sets(site: Site) -> set[str]:
    """Orthanc's ids of the workstation's structure sets."""
    query = {"Level": "Instance", "Query": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.481.3"}}
    with site.pair.workstation.client() as client:
        return set(client.post("/tools/find", json=query).raise_for_status().json())


def store_structure_set(browser: Browser, site: Site) -> str:
    """Store what the viewer holds, by its own menu; return the workstation's id of what came by STOW-RS."""
    before = structure_sets(site)
    browser.find("[data-cy='segmentation-collapsed-more-btn-Contour']").click()
    item = lambda text: next((one for one in browser.all("[role=menuitem]") if one.text.strip() == text), None)  # noqa: E731
    export = browser.until(lambda: item("Export"), 15, "the menu")
    ActionChains(browser.driver).move_to_element(export).click().perform()
    browser.until(lambda: item("DICOM RTSS"), 15, "the menu of formats").click()
    browser.button("Save").click()
    return str(browser.until(lambda: structure_sets(site) - before, 60, "the structure set, stored").pop())


def send_to_node(site: Site, study: str, instance: str) -> tuple[str, str | None]:
    """Send an instance of the workstation to the node; return what became of it, and the case."""
    with site.pair.workstation.client() as client:
        client.post("/modalities/node/store", content=instance).raise_for_status()
    assert site.pair.post(f"/glioloop/studies/{study}/feedback").status_code == httpx.codes.ACCEPTED
    found: list[tuple[str, str | None]] = []

    def looked_at() -> bool:
        seen = site.pair.get("/glioloop/feedback")["looked_at"]
        found[:] = [(one["verdict"], one["case"]) for one in seen if one["instance"] == instance]
        return bool(found)

    wait_for(looked_at, 120, "the node to look at it")
    return found[0]


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

    held = chromium.script(HELD)
    for start in places[:: len(places) // 5]:
        drag(chromium, [start, start + 30, start + np.array([40, 10])])
    assert chromium.script(HELD) == held, "a slip of the mouse changed contours that nobody asked to edit"


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
    polygons = polygons_of(chromium.script(HELD))
    assert set(polygons) == set(expected)
    for name, mask in expected.items():
        dice = dice_of(fill(polygons[name], volume), mask)
        print(f"OHIF, {name}: {len(polygons[name])} contours, Dice {dice:.4f}")
        assert dice >= 0.98

    # Once more in the same page: earlier versions show nothing the second time, as nothing is asked before.
    chromium.script(DELETE)
    chromium.until(lambda: not chromium.script(HELD), 30, "no contours in the viewer")
    entry = next(one for one in chromium.all("[data-cy='study-browser-thumbnail-no-image']") if "RTSTRUCT" in one.text)
    ActionChains(chromium.driver).double_click(entry).perform()
    chromium.until(lambda: len(chromium.script(HELD)) >= written, 60, "all contours a second time")


def test_what_is_stored_in_the_viewer_comes_back(
    chromium: Browser, site: Site, study: str, job: dict[str, Any], sample_study: Path
) -> None:
    """OHIF stores a structure set over DICOMweb: untouched it is ``unchanged``, edited it is what was drawn."""
    if site.viewer is not None:
        pytest.skip(f"no viewer: {site.viewer}")
    rtstruct = job["result"]["rtstruct"]
    dataset = structure_set_at_workstation(site, rtstruct["sop_instance_uid"])
    volume = read_volume(sorted((sample_study / "t1c").iterdir()))
    automatic = masks_of(dataset, volume)
    assert holes(automatic["GTV_ET"]), "nothing that a viewer could fill"
    written = sum(len(roi.get("ContourSequence") or []) for roi in dataset.ROIContourSequence)
    largest = max(
        (one for roi in dataset.ROIContourSequence for one in roi.get("ContourSequence", [])),
        key=lambda one: int(one.NumberOfContourPoints),
    )
    shown = str(largest.ContourImageSequence[0].ReferencedSOPInstanceUID)

    chromium.size(1360, 850)
    chromium.login(site.pair.workstation)
    uid, series = job["study_instance_uid"], rtstruct["series_instance_uid"]
    chromium.open(viewer_url(site.pair.workstation.url, uid, series, editable=True))
    chromium.until(lambda: len(chromium.script(HELD)) >= written, 120, "all contours in the viewer")
    saved = store_structure_set(chromium, site)
    assert send_to_node(site, study, saved) == ("unchanged", None)

    chromium.until(lambda: len(chromium.script(HELD)) >= written, 120, "what was stored, opened again")
    chromium.until(lambda: chromium.script(SHOW_SLICE, shown), 60, "the slice in the viewer")
    whole, enhancing = (max(contours_on(dataset, name, shown), key=len) for name in ("GTV_WT", "GTV_ET"))
    # Far from each other: what is taken from the whole tumour is not where the enhancing one lies.
    apart = np.linalg.norm(whole[:, None] - enhancing, axis=2)
    edge = whole[apart.min(axis=1).argmax()]
    draw_at(chromium, "GTV_WT", shown, edge, whole.mean(axis=0), deep=18)
    ring = enhancing[np.linalg.norm(enhancing - edge, axis=1).argmax()]
    draw_at(chromium, "GTV_ET", shown, ring, enhancing.mean(axis=0), deep=8)
    drawn = {name: fill(polygons, volume) for name, polygons in polygons_of(chromium.script(HELD)).items()}
    edited = store_structure_set(chromium, site)
    verdict, case = send_to_node(site, study, edited)
    assert verdict == "corrected" and case is not None
    arrived = masks_of(structure_set_on(site.pair.node, edited), volume)
    for name, mask in drawn.items():
        dice = dice_of(arrived[name], mask)
        print(f"OHIF, {name}: Dice {dice:.4f} to what was drawn, {dice_of(mask, automatic[name]):.4f} to the automatic")
        assert dice >= 0.99
    assert holes(arrived["GTV_ET"]) == pytest.approx(holes(automatic["GTV_ET"]), rel=0.02), "holes are kept"
    regions = site.pair.get(f"/glioloop/feedback/{case}")["regions"]
    for region in ("WT", "ET"):
        assert regions[region]["added_ml"] + regions[region]["removed_ml"] > 0.01
