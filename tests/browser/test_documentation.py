"""The pictures in docs/, taken of a node of their own.

``GLIOLOOP_SCREENSHOTS=1 ./glioloop test tests/browser/test_documentation.py`` takes them anew. Three invented
patients, whose heads are the shipped synthetic study, mirrored and with noise; one lacks a sequence, one is
sent to a modality where nobody answers. Contours are corrected and sent back as at a workstation.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline.node import WORKSTATION, Modality, free_port
from pipeline.node.viewer import viewer_url
from pipeline.settings import ROOT
from tests.browser.conftest import UNREACHABLE, Browser, Site, viewer_or_reason
from tests.browser.test_viewer import SHOW_SLICE
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import grow, send_back
from tests.patience import wait_for

if not os.environ.get("GLIOLOOP_SCREENSHOTS"):
    pytest.skip("pictures are taken when GLIOLOOP_SCREENSHOTS is set", allow_module_level=True)

#: Three studies are segmented before the first picture.
pytestmark = pytest.mark.timeout(3600)

FOLDER = ROOT / "docs"
WIDE, NARROW = (1360, 850), (420, 860)
SERIES = ("t1", "t1c", "t2", "flair")
PATIENTS = {
    "refused": ("Novak^Petr", "SYN-1063"),
    "corrected": ("Moreau^Claire", "SYN-1041"),
    "failed": ("Lindqvist^Erik", "SYN-1078"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A node with the shipped network that takes up what arrives, and a workstation with the viewer."""
    folder = tmp_path_factory.mktemp("pictures")
    viewer, reason = viewer_or_reason()
    pair = make_pair(
        folder,
        stable_age=3,
        modalities={UNREACHABLE: Modality("NOBODY", free_port())},
        viewer=viewer,
        Destinations=[{"Modality": WORKSTATION, "Send": ["inputs", "rtstruct", "seg", "sr", "preview"]}],
        ForwardRetrySeconds=[1, 5, 20],
    )
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield Site(pair, reason)


def study_of(source: Path, target: Path, patient: tuple[str, str], number: int, series: tuple[str, ...]) -> Path:
    """Copy the shipped study as another patient's: under new UIDs, every second one mirrored, each with its noise."""
    rng = np.random.default_rng(number)
    study_uid, frame = generate_uid(), generate_uid()
    for name in series:
        series_uid = generate_uid()
        (target / name).mkdir(parents=True)
        for path in sorted((source / name).iterdir()):
            dataset = pydicom.dcmread(path)
            dataset.decompress()
            dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            pixels = dataset.pixel_array.astype(float)
            pixels = pixels[:, ::-1] if number % 2 else pixels
            pixels = np.where(pixels > 0, pixels + rng.normal(0, 0.01 * number * pixels.max(), pixels.shape), 0)
            dataset.PixelData = np.clip(pixels, 0, None).astype(dataset.pixel_array.dtype).tobytes()
            dataset.PatientName, dataset.PatientID = patient
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, series_uid
            dataset.FrameOfReferenceUID = frame
            dataset.StudyDate = f"202601{10 + number:02d}"
            dataset.StudyDescription = "MR brain with contrast"
            dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            dataset.save_as(target / name / path.name)
    return target


def correct(pair: Pair, job: dict[str, Any], approved: bool, **growths_mm: float) -> None:
    """Take a job's structure set from the workstation, move ROIs' contours, send it back under a new UID."""
    uid = job["result"]["rtstruct"]["sop_instance_uid"]
    with pair.workstation.client() as client:
        wait_for(lambda: bool(client.post("/tools/lookup", content=uid).json()), 120, "the structure set")
        found = client.post("/tools/lookup", content=uid).json()[0]["ID"]
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(client.get(f"/instances/{found}/file").content))
    for name, growth in growths_mm.items():
        grow(dataset, name, growth)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    if approved:
        dataset.ApprovalStatus = "APPROVED"
        dataset.ReviewDate, dataset.ReviewTime, dataset.ReviewerName = "20260120", "101500", "Example^Reader"
    before = pair.get("/glioloop/feedback")["total"]
    send_back(pair, dataset)
    wait_for(lambda: pair.get("/glioloop/feedback")["total"] > before, 120, "the correction")


@pytest.fixture(scope="module")
def jobs(site: Site, sample_study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the node made of the three: a job of each, by what becomes of it. The last one is still at work."""
    folder = tmp_path_factory.mktemp("studies")
    pair, found = site.pair, {}
    for number, (outcome, patient) in enumerate(PATIENTS.items(), start=1):
        series = ("t1", "t1c", "t2") if outcome == "refused" else SERIES
        study = site.orthanc_id(send(pair, study_of(sample_study, folder / outcome, patient, number, series)))
        if outcome != "failed":
            ended = "refused" if outcome == "refused" else "done"
            found[outcome] = pair.wait_job(ended, "failed", study=study, seconds=600)
            assert found[outcome]["state"] == ended, found[outcome]["error"]
            continue
        first = pair.wait_job("queued", "running", study=study)
        assert pair.post(f"/glioloop/jobs/{first['id']}/cancel").status_code == 200
        answer = pair.post(f"/glioloop/studies/{study}/process", {"destinations": [UNREACHABLE]})
        assert answer.status_code == 202
        found[outcome] = answer.json()
    for growth in (3.0, 1.5):
        correct(pair, found["corrected"], True, GTV_WT=growth, GTV_TC=growth / 2)
    return found


def keep(browser: Browser, name: str, whole: bool = False) -> None:
    """Save a picture of the page, of its whole length where wanted; colours reduced, since pictures live in git."""
    if whole:
        width = int(browser.script("return window.innerWidth"))
        browser.size(width, int(browser.script("return document.documentElement.scrollHeight")) + 1)
        time.sleep(0.5)
    picture = browser.picture().quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(FOLDER / f"{name}.png", optimize=True)


def look(browser: Browser, address: str, ready: str, size: tuple[int, int] = WIDE, scheme: str = "light") -> None:
    """Open a page with names shown, and wait until it is drawn."""
    browser.scheme(scheme)
    browser.size(*size)
    browser.script("localStorage.setItem('glioloop.names', 'shown')")
    browser.open(address)
    browser.find(ready, 60)
    time.sleep(2)  # names, series and slices arrive


def test_worklist(browser: Browser, site: Site, jobs: dict[str, dict[str, Any]]) -> None:
    assert jobs
    look(browser, f"{site.app}#/", ".worklist tbody tr")
    browser.until(lambda: "Running" in browser.words(), 60, "a job at work")
    keep(browser, "worklist")
    look(browser, f"{site.app}#/", ".worklist tbody tr", NARROW, "dark")
    keep(browser, "worklist-narrow-dark")


def test_study(browser: Browser, site: Site, jobs: dict[str, dict[str, Any]]) -> None:
    address = f"{site.app}#/studies/{jobs['corrected']['study']}/{jobs['corrected']['id']}"
    look(browser, address, "label[data-source=corrected]")
    browser.button("Zoom to tumour").click()
    keep(browser, "study")
    keep_edit_mode(browser)
    look(browser, address, "label[data-source=corrected]", scheme="dark")
    keep(browser, "study-dark", whole=True)


def keep_edit_mode(browser: Browser) -> None:
    """Keep a picture of edit mode: a stroke of the brush on T1c."""
    browser.size(1060, 1000)
    browser.find("canvas").send_keys("2")
    browser.button("Edit contours").click()
    browser.find("canvas").send_keys("1", "]", "]", "]", "]", *[Keys.SHIFT + Keys.ARROW_LEFT + Keys.NULL] * 2)
    browser.find("canvas").send_keys(" ", *[Keys.ARROW_UP, " "] * 12)
    browser.script("document.querySelector('.brush').scrollIntoView()")
    time.sleep(1)
    picture = (
        browser.picture().crop((20, 0, 720, 900)).quantize(160, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    picture.save(FOLDER / "edit.png", optimize=True)


def test_jobs(browser: Browser, site: Site, jobs: dict[str, dict[str, Any]]) -> None:
    look(browser, f"{site.app}#/jobs/{jobs['corrected']['id']}", ".log tbody tr")
    keep(browser, "job", whole=True)
    look(browser, f"{site.app}#/jobs/{jobs['refused']['id']}", ".series tbody tr")
    keep(browser, "job-refused", whole=True)
    failed = site.pair.wait_job("failed", study=jobs["failed"]["study"], seconds=600)
    look(browser, f"{site.app}#/jobs/{failed['id']}", ".error-box")
    keep(browser, "job-failed")


def test_feedback_and_networks(browser: Browser, site: Site, jobs: dict[str, dict[str, Any]]) -> None:
    assert jobs
    run = site.pair.post("/glioloop/finetune").json()["id"]
    wait_for(lambda: site.pair.get(f"/glioloop/finetune/{run}")["state"] == "running", 60, "the fine-tuning")
    look(browser, f"{site.app}#/feedback", ".plot")
    keep(browser, "feedback", whole=True)
    site.pair.post(f"/glioloop/finetune/{run}/cancel")
    look(browser, f"{site.app}#/models", ".model")
    keep(browser, "models", whole=True)


def test_node(browser: Browser, site: Site) -> None:
    look(browser, f"{site.app}#/node", "table[aria-label=Workers]")
    keep(browser, "node")


def test_orthanc_explorer(browser: Browser, site: Site, jobs: dict[str, dict[str, Any]]) -> None:
    look(browser, site.explorer(jobs["corrected"]["study"]), "#glioloop-preview")
    keep(browser, "orthanc-explorer")
    look(browser, f"{site.app}#/studies/{jobs['corrected']['study']}", "canvas")
    browser.button("Reprocess…").click()
    browser.find("dialog[open] #series-flair")
    keep(browser, "reprocess")


def test_viewer(chromium: Browser, site: Site, jobs: dict[str, dict[str, Any]]) -> None:
    if site.viewer is not None:
        pytest.skip(f"no viewer: {site.viewer}")
    job = jobs["corrected"]
    rtstruct = job["result"]["rtstruct"]
    with site.pair.workstation.client() as client:
        found = client.post("/tools/lookup", content=rtstruct["sop_instance_uid"]).json()[0]["ID"]
        dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(client.get(f"/instances/{found}/file").content))
    contours = [contour for roi in dataset.ROIContourSequence for contour in roi.get("ContourSequence", [])]
    largest = max(contours, key=lambda one: int(one.NumberOfContourPoints))
    shown = str(largest.ContourImageSequence[0].ReferencedSOPInstanceUID)
    chromium.size(*WIDE)
    chromium.login(site.pair.workstation)
    chromium.open(viewer_url(site.pair.workstation.url, job["study_instance_uid"], rtstruct["series_instance_uid"]))
    chromium.until(lambda: chromium.script(SHOW_SLICE, shown), 300, "the slice in the viewer")
    time.sleep(5)
    assert chromium.driver.find_elements(By.TAG_NAME, "canvas")
    keep(chromium, "viewer")
