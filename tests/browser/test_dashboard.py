"""The dashboard in Chromium: contours where they belong, reasons, promotion, names, other origins."""

import base64
import os
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid
from selenium.webdriver.common.keys import Keys

from pipeline.align import Alignment
from pipeline.course.beside import write_beside
from pipeline.course.records import Lesion, Link, Side, TimePoint
from pipeline.course.rows import write
from pipeline.course.scans import Scan
from pipeline.database.engine import database_in
from pipeline.names import ROI_NAMES, Region
from pipeline.objects.regions import REGION_STYLES
from pipeline.settings import ROOT
from pipeline.volume import read_volume
from tests.browser.conftest import GUEST, UNREACHABLE, Browser, Site
from tests.browser.pixels import expected_points, reference_slices, share_in_colour, structure_set
from tests.orthanc.conftest import copy_study, send
from tests.unit.course.shapes import balls

MARKUP = "<img src=x onerror=window.broken=1>"
#: A person name can hold no equals sign: that parts its groups.
NAME = "<h6>broken</h6>"


def test_contours_lie_where_the_structure_set_says(browser: Browser, site: Site, job: dict[str, Any]) -> None:
    browser.open(f"{site.app}#/studies/{job['study']}/{job['id']}")
    canvas = browser.find("canvas[data-sequence=t1c]")
    browser.until(lambda: np.asarray(browser.canvas(canvas)).std() > 20, what="the slices")
    assert browser.errors() == []

    headers = reference_slices(site, job)
    shown = int(browser.text(".slice-number").split("/")[0]) - 1
    size = (headers[0].Columns, headers[0].Rows)
    dataset = structure_set(site, job)
    (tumour,) = [one for one in dataset.ROIContourSequence if one.ReferencedROINumber == 1]
    points = expected_points(headers[shown], tumour.ContourSequence)
    colour = [int(part) for part in tumour.ROIDisplayColor]
    # Inner regions' contours cover a part of the outer one's where they run together.
    for name in ("GTV_TC", "GTV_ET"):
        browser.find(f"label.roi[data-roi={name}] input").click()
    picture = np.asarray(browser.canvas(canvas))
    assert share_in_colour(picture, points, size, colour) > 0.97
    assert share_in_colour(picture, points + 12, size, colour) < 0.6

    browser.find("label.roi[data-roi=GTV_WT] input").click()
    assert share_in_colour(np.asarray(browser.canvas(canvas)), points, size, colour) < 0.05


def test_the_tumour_in_3d(browser: Browser, site: Site, job: dict[str, Any], axe: str) -> None:
    """Drawn where the patient has it, turned by keys, told in words; where there is no WebGL only in words."""
    headers = reference_slices(site, job)
    (enhancing,) = [one for one in structure_set(site, job).ROIContourSequence if one.ReferencedROINumber == 3]
    points = np.concatenate([np.array(one.ContourData, float).reshape(-1, 3) for one in enhancing.ContourSequence])
    row = np.array(headers[0].ImageOrientationPatient[:3], float)
    middle = (
        np.array(headers[0].ImagePositionPatient, float) + row * headers[0].PixelSpacing[1] * headers[0].Columns / 2
    )
    left = points[:, 0].mean() > middle[0]

    browser.open(f"{site.app}#/studies/{job['study']}")
    browser.find("canvas[data-sequence=t1c]").send_keys("v")
    canvas = browser.find("dialog.look canvas")

    def in_cyan() -> np.ndarray:
        red, green, blue = np.moveaxis(np.asarray(browser.canvas(canvas)).astype(int), -1, 0)
        return np.argwhere((blue > 130) & (green > 90) & (red < 0.6 * blue))

    def seen() -> str:
        return browser.text("dialog.look .seen")

    browser.until(lambda: len(in_cyan()) > 500, what="the enhancing tumour")
    assert seen() == "Seen from the front"
    assert browser.script("return document.activeElement") == canvas
    box = canvas.rect
    ends = {one.text: one.rect["x"] - box["x"] for one in browser.all("dialog.look .end") if one.is_displayed()}
    assert set(ends) == set("RLSI") and ends["R"] < ends["L"]
    width = np.asarray(browser.canvas(canvas)).shape[1]
    across = (in_cyan()[:, 1].mean() / width * box["width"] - ends["R"]) / (ends["L"] - ends["R"])
    assert (across > 0.55) if left else (across < 0.45)
    told = str(canvas.get_attribute("aria-label"))
    assert "Enhancing" in told and ("left" in told) == left
    if os.environ.get("GLIOLOOP_SCREENSHOTS"):
        canvas.send_keys(*[Keys.ARROW_LEFT] * 3, *[Keys.ARROW_DOWN] * 2)
        browser.until(lambda: "left" in seen(), what="the turn")
        browser.find("dialog.look").screenshot(str(ROOT / "docs" / "look3d.png"))

    before = np.asarray(browser.canvas(canvas)).astype(int)
    canvas.send_keys("c", *[Keys.ARROW_LEFT] * 4)
    browser.until(lambda: "the left" in seen(), what="the turn")
    after = np.asarray(browser.canvas(canvas)).astype(int)
    assert (np.abs(after - before).max(axis=2) > 40).mean() > 0.01
    canvas.send_keys("s")
    browser.until(lambda: seen() == "Seen from the left", what="the sagittal view")
    canvas.send_keys("3")
    browser.until(lambda: len(in_cyan()) == 0, what="the enhancing tumour to be hidden")
    assert not browser.find("dialog.look input[data-surface=ET]").is_selected()

    assert _barriers(browser, axe) == {}
    assert browser.errors() == []
    canvas.send_keys(Keys.ESCAPE)
    browser.until(lambda: not browser.all("dialog"), what="the end")
    browser.script("HTMLCanvasElement.prototype.getContext = () => null")
    browser.button("3D").click()
    assert "no WebGL" in browser.text("dialog.look [role=alert]")
    assert "Enhancing" in browser.text("dialog.look table") and not browser.all("dialog.look canvas")
    with site.pair.node.client() as client:
        for path, status, code in ((job["id"], 200, None), ("0" * 32, 404, "JOB_UNKNOWN")):
            answer = client.get(f"/glioloop/jobs/{path}/surfaces")
            assert answer.status_code == status and (code is None or answer.json()["error"]["code"] == code)


def test_who_may_only_look_is_told_so(browser: Browser, site: Site, job: dict[str, Any]) -> None:
    """Whose role may edit gets the brush and the viewer's editing address; a reader nothing that changes."""
    address = f"{site.app}#/studies/{job['study']}"
    browser.open(address)
    assert browser.button("Edit contours").is_enabled() and browser.button("Accept").is_displayed()
    if site.viewer is None:
        link = str(browser.button("Edit in viewer").get_attribute("href"))
        assert "/ohif/segmentation?" in link and f"StudyInstanceUIDs={job['study_instance_uid']}" in link
        assert job["result"]["rtstruct"]["series_instance_uid"] in link
    guest = base64.b64encode(f"{GUEST}:{GUEST}".encode()).decode()
    try:
        browser.driver.execute_cdp_cmd("Network.enable", {})
        browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"Authorization": f"Basic {guest}"}})
        browser.open(address)
        assert "your role here is reader" in browser.text("p[data-role=reader]")
        labels = [one.text for one in browser.all("button, a")]
        assert "3D" in labels and not {"Edit contours", "Edit in viewer", "Accept", "Send back…", "Reprocess…"} & set(
            labels
        )
        browser.open(f"{site.app}#/models")
        browser.until(lambda: "In use" in browser.words(), what="the list of networks")
        assert browser.script("return document.querySelectorAll('[data-needs=administrator]').length")
        assert "Go back to the one before" not in browser.words()
    finally:
        browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})


def test_a_job_that_waits_for_quiet_hours_says_so(browser: Browser, site: Site, job: dict[str, Any]) -> None:
    """The row as the worklist makes it, of a job as REST tells it."""
    browser.open(f"{site.app}#/")
    script = """
        const [job, done] = arguments;
        const address = new URL("worklist.js", document.querySelector("script[type=module]").src);
        import(address).then(({ Row }) => {
            const row = new Row(job);
            row.update(job);
            done(row.element.textContent);
        }, (error) => done(String(error)));
    """
    words = lambda one: browser.driver.execute_async_script(script, one)  # noqa: E731
    put_off = {**job, "state": "queued", "waits_until": "2026-05-04T20:00:00+00:00"}
    assert "Waits for quiet hours, from" in words(put_off) and "quiet hours" not in words(job)


def test_slices_by_keyboard(browser: Browser, site: Site, job: dict[str, Any]) -> None:
    browser.open(f"{site.app}#/studies/{job['study']}")
    slider = browser.find("input[type=range]")
    before = browser.text(".slice-number")
    slider.send_keys(Keys.ARROW_DOWN)
    after = browser.text(".slice-number")
    assert int(after.split("/")[0]) == int(before.split("/")[0]) + 1
    slider.send_keys("4")
    assert [one.get_attribute("data-sequence") for one in browser.all(".panes canvas")] == ["flair"]
    slider.send_keys("c")
    assert not any(one.is_selected() for one in browser.all(".roi input"))
    label = browser.find("canvas").get_attribute("aria-label")
    assert label is not None and label.startswith(f"FLAIR, slice {after.split('/')[0].strip()} of")


def test_job_page_shows_why_and_how_long(browser: Browser, site: Site, job: dict[str, Any]) -> None:
    browser.open(f"{site.app}#/jobs/{job['id']}")
    browser.find(".series tbody tr")
    chosen = [row.text.split()[0] for row in browser.all(".series tbody tr")][:4]
    assert chosen == ["T1", "T1c", "T2", "FLAIR"]
    done = [row.get_attribute("data-status") for row in browser.all(".stages li")]
    assert done == ["done"] * 8
    lines = [row.text for row in browser.all(".log tbody tr")]
    assert any("stage done: delineate" in line and "s" in line for line in lines), lines
    assert "forwarded" in lines[-1] and "workstation" in lines[-1]
    assert browser.errors() == []


def test_failed_job_and_a_name_with_markup(browser: Browser, site: Site, sample_study: Path, tmp_path: Path) -> None:
    """A failed delivery says why, retry is offered, and a patient's name is text whatever it holds."""
    folder = copy_study(sample_study, tmp_path / "study", "t1", "t1c", "t2", "flair")
    patient = generate_uid()[-20:]
    for path in folder.rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path)
            dataset.PatientName, dataset.PatientID = NAME, patient
            dataset.StudyDescription, dataset.SeriesDescription = MARKUP, f"{dataset.SeriesDescription} {MARKUP}"
            dataset.save_as(path)
    identity = site.orthanc_id(send(site.pair, folder))
    answer = site.pair.post(f"/glioloop/studies/{identity}/process", {"destinations": [UNREACHABLE]})
    assert answer.status_code == 202
    failed = site.pair.wait_job("failed", study=identity)
    assert failed["error"]["code"] == "FORWARD_FAILED"

    browser.open(f"{site.app}#/")
    row = browser.find(f".worklist tr:has(a[href='#/jobs/{failed['id']}'])")
    assert failed["error"]["message"] in row.text
    assert NAME not in browser.words()  # hidden until asked for
    browser.find(".switch").click()
    browser.until(lambda: NAME in browser.words() and MARKUP in browser.words(), what="the patient's name")
    browser.open(f"{site.app}#/jobs/{failed['id']}")
    reason = browser.text(".error-box")
    assert failed["error"]["message"] in reason and failed["error"]["hint"] in reason
    assert browser.button("Retry").is_enabled()
    browser.open(f"{site.app}#/studies/{identity}")
    browser.find("canvas")
    browser.open(site.explorer(identity))
    browser.until(lambda: "Failed" in browser.text("#glioloop-state"), what="the state")
    assert browser.script("return window.broken") is None and not browser.all("h6")


def test_promote_and_back(browser: Browser, site: Site) -> None:
    def current() -> str:
        return next(one["identity"] for one in site.pair.get("/glioloop/models") if one["current"])

    before = current()
    browser.open(f"{site.app}#/models")
    browser.find(".model[data-current=true]")
    browser.button("Use this one").click()
    browser.until(lambda: current() != before, what="the promotion")
    browser.until(lambda: before not in browser.text(".model[data-current=true]"), what="the page to follow")
    browser.button("Go back to the one before").click()
    browser.until(lambda: current() == before, what="the way back")
    browser.until(lambda: before in browser.text(".model[data-current=true]"), what="the page to follow")
    browser.button("Go back to the one before").click()
    browser.until(lambda: "nothing was promoted" in browser.text("dialog[open]"), what="why not further")


def test_reprocess_dialog_names_a_series(browser: Browser, site: Site, job: dict[str, Any]) -> None:
    browser.open(f"{site.app}#/jobs/{job['id']}")
    browser.button("Reprocess…").click()
    browser.find("dialog[open] #series-flair")
    browser.script("const s = document.getElementById('series-flair'); s.selectedIndex = 0")
    browser.button("Start").click()
    browser.until(lambda: job["id"] not in browser.driver.current_url, what="the new job's page")
    identity = browser.driver.current_url.rsplit("/", 1)[1]
    browser.button("Cancel").click()
    states = ("cancelled", "done")
    browser.until(lambda: site.pair.get(f"/glioloop/jobs/{identity}")["state"] in states, 60, "the end")


def test_other_origins_command_nothing(browser: Browser, site: Site) -> None:
    """A page of another server makes a logged-in browser promote a network: refused."""
    before = site.pair.get("/glioloop/models")
    other = next(one for one in before if not one["current"])
    target = f"{site.url}/glioloop/models/{other['identity'].replace('@', '/')}/promote"
    browser.login(site.pair.workstation)
    browser.open(f"{site.pair.workstation.url}/app/explorer.html")
    browser.driver.execute_async_script(
        "fetch(arguments[0], {method: 'POST', mode: 'no-cors', credentials: 'include'}).finally(arguments[1])",
        target,
    )
    assert site.pair.get("/glioloop/models") == before
    with site.pair.node.client() as client:
        for headers in (
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Origin": "http://elsewhere.test"},
        ):
            answer = client.post(target, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "REQUEST_FOREIGN")
        same = client.post("/glioloop/jobs/" + "0" * 32 + "/cancel", headers={"Sec-Fetch-Site": "same-origin"})
        assert same.status_code == 404
    assert site.pair.get("/glioloop/models") == before


def test_node_page(browser: Browser, site: Site) -> None:
    browser.open(f"{site.app}#/node")
    browser.until(lambda: "Well" in browser.words() and "workstation" in browser.words(), what="the node's state")
    browser.open(site.app.rstrip("/"))  # Orthanc cannot tell the two apart; both must work
    browser.find(".worklist")


PAGES = ["#/", "#/jobs/{id}", "#/studies/{study}", "#/feedback", "#/models", "#/node"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_barrier(browser: Browser, site: Site, job: dict[str, Any], axe: str, scheme: str) -> None:
    """axe-core finds no serious or critical violation of WCAG 2 A and AA on any page."""
    browser.scheme(scheme)
    found = {}
    for page in PAGES:
        browser.open(site.app + page.format(**job))
        browser.find("main h1")
        time.sleep(1.5)  # series, slices and names arrive
        found.update({f"{page} {name}": nodes for name, nodes in _barriers(browser, axe).items()})
    assert found == {}


def _barriers(browser: Browser, axe: str) -> dict[str, list[str]]:
    """What axe-core takes for a serious or critical barrier on the page as it is."""
    browser.script(axe)
    result = browser.driver.execute_async_script("const done = arguments[0]; axe.run(document).then(done)")
    assert result["passes"]
    return {
        one["id"]: [node["html"][:160] + str(node["any"][:1])[:200] for node in one["nodes"]][:3]
        for one in result["violations"]
        if one["impact"] in ("serious", "critical")
    }


def test_the_course_of_a_patient_in_curve_and_tables(
    browser: Browser, site: Site, job: dict[str, Any], sample_study: Path, tmp_path: Path
) -> None:
    """Two studies with a lesion that grew, as they are kept; from the study's page by a button."""
    later = send(site.pair, copy_study(sample_study, tmp_path / "later", "t1c"))
    patient, other = site.pair.get(f"/studies/{job['study']}")["ParentPatient"], site.orthanc_id(later)
    lesion = Lesion(
        tracking_uid="2.25.98765", region=Region.ET, side=Side.LEFT, volume_ml=4.0, long_axis_mm=20.0,
        short_axis_mm=15.0, slices=6, measurable=True, inside=(0.0, 0.0, 0.0),
    )  # fmt: skip
    first = TimePoint(
        study=job["study"], study_instance_uid="1.2.1", at=datetime(2026, 1, 5), model="a@1", source="automatic",
        made_from="x", volumes_ml={Region.WT: 30.0, Region.TC: 9.0, Region.ET: 4.0}, lesions=(lesion,),
    )  # fmt: skip
    grown = lesion.model_copy(update={"volume_ml": 9.0, "long_axis_mm": 28.0})
    second = first.model_copy(
        update={
            "study": other, "study_instance_uid": later, "at": datetime(2026, 4, 6), "before": job["study"],
            "source": "corrected", "aligned": True, "links": (Link(before="2.25.98765", after="2.25.98765"),),
            "volumes_ml": {Region.WT: 30.2, Region.TC: 14.0, Region.ET: 9.0}, "lesions": (grown,),
        }
    )  # fmt: skip
    state = site.pair.node.configuration.state_folder
    volume = read_volume(sorted((sample_study / "t1c").glob("*.dcm")))
    centre = (10.0, 20.0, 5.0)
    small, large = (
        Scan(volume, (), {Region.ET: balls(volume.image, (centre, radius))}, None) for radius in (12.0, 25.0)
    )
    second = second.model_copy(update={"alignment": Alignment.of_itself().as_json()})
    write_beside(state, second, now=large, before=small, names=ROI_NAMES)
    write(database_in(state), patient, "p", [first, second])
    browser.open(f"{site.app}#/studies/{job['study']}")
    browser.until(lambda: any(one.text == "Course" for one in browser.all("a.button")), what="the button")
    browser.open(f"{site.app}#/patients/{patient}")
    browser.find("svg.course g[data-region=ET] circle")
    assert len(browser.all("svg.course circle")) == 6
    tables = [table.text for table in browser.all("table")]
    assert any("+5.00 ml (+125 %)" in text and "below what repeats" in text for text in tables), tables
    assert any("…98765" in text and "28 × 15 mm" in text for text in tables)

    # Side by side, on one slice, each with its own contours.
    canvases = [browser.find(f"canvas[data-sequence={name}]") for name in ("before", "now")]
    browser.until(lambda: all(np.asarray(browser.canvas(one)).std() > 20 for one in canvases), what="both pictures")
    slices, colour = volume.image.GetSize()[2], REGION_STYLES[Region.ET].colour
    shown = [np.asarray(browser.canvas(one)) for one in canvases]
    widths = [np.ptp(np.nonzero((np.abs(one.astype(int) - colour) < 60).all(axis=2))[1]) for one in shown]
    assert widths[1] / widths[0] == pytest.approx(25 / 12, rel=0.15)
    labels = [str(one.get_attribute("aria-label")) for one in canvases]
    assert labels[0].startswith("2026-01-05, slice ") and labels[1].startswith("2026-04-06, slice ")
    before = browser.text(".slice-number")
    browser.find(".browser input[type=range]").send_keys(Keys.ARROW_DOWN)
    assert browser.text(".slice-number") != before
    moved = [str(one.get_attribute("aria-label")) for one in canvases]
    assert {one.split("slice ")[1].split(" of")[0] for one in moved} != {one.split("slice ")[1] for one in labels}
    assert all(f" of {slices}" in one for one in moved)
    assert browser.errors() == []
    if os.environ.get("GLIOLOOP_SCREENSHOTS"):
        browser.size(1280, 1960)
        browser.until(lambda: np.asarray(browser.canvas(canvases[0])).std() > 20, what="the picture")
        browser.picture().convert("RGB").save(ROOT / "docs" / "course.png")
