"""The loop in Chromium: a real correction on the feedback page, beside the automatic contours, and in the worklist.

Its tests share one node with a corrected study, which is why this file is long.
"""

import copy
import io
import shutil
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from sqlalchemy import select, update

from pipeline.corrections.record import CaseRecord, ReaderAgreement, ReaderDifference
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.database.tables import CASES
from tests.browser.conftest import Browser, Site
from tests.browser.painting import Canvas, Masks, masks_of
from tests.browser.pixels import expected_points, reference_slices, share_in_colour
from tests.orthanc.corrections import from_workstation, grow, send_back
from tests.patience import wait_for
from tests.unit.corrections.phantom import write_threshold_model

GROWTH_MM = 4.0


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network made for the test: the loop is what is tested here, and this one is done in a second."""
    folder = tmp_path_factory.mktemp("networks")
    card = write_threshold_model(folder, whole_tumour=2.0, core=2.0, brain=False)
    return folder / card.name / card.version


@dataclass(frozen=True)
class Correction:
    """A structure set as it was sent out, and as it came back."""

    before: pydicom.Dataset
    after: pydicom.Dataset


@pytest.fixture(scope="module")
def corrected(site: Site, job: dict[str, Any]) -> Correction:
    """A structure set with a wider whole tumour, saved at the workstation and sent back, approved by nobody."""
    stored, dataset = from_workstation(site.pair)
    before = copy.deepcopy(dataset)
    grow(dataset, "GTV_WT", GROWTH_MM)
    with site.pair.workstation.client() as client:
        client.delete(f"/instances/{stored}").raise_for_status()
    send_back(site.pair, dataset)
    assert site.pair.post(f"/glioloop/studies/{job['study']}/feedback").status_code == 202
    wait_for(lambda: site.pair.get("/glioloop/feedback")["total"] == 1, 60, "the correction")
    return Correction(before, dataset)


def the_case(site: Site) -> dict[str, Any]:
    (case,) = site.pair.get("/glioloop/feedback")["cases"]
    return dict(case)


def test_page_shows_the_correction(browser: Browser, site: Site, corrected: Correction) -> None:
    """Difference figures, a mark in the plot where the Dice says, the same as a table, and the review state."""
    case = the_case(site)
    whole = case["regions"]["WT"]
    assert whole["added_ml"] > 0.5
    browser.open(f"{site.app}#/feedback")
    row = browser.text(".corrections tbody tr")
    assert f"Dice {whole['dice']:.3f}" in row and f"+{_ml(whole['added_ml'])}" in row
    assert "Corrected" in row and "not trusted" in row
    core = case["regions"]["TC"]  # left alone, and so cut to what was changed around it
    assert core["added_ml"] == 0 and core["removed_ml"] <= whole["removed_ml"] and core["dice"] > 0.999
    assert f"Dice {whole['dice']:.3f}" in browser.script(
        "return document.querySelector('.plot .series circle title').textContent"
    )
    low, high = (_height(browser, dice) for dice in ("0.8", "1.0"))
    middle = float(browser.script("return document.querySelector('.plot circle').cy.baseVal.value"))
    assert middle == pytest.approx(high + (low - high) * (1 - whole["dice"]) / 0.2, abs=1)
    browser.find("details summary").click()
    table = browser.text("table[aria-label='Agreement, Whole tumour'] tbody tr")
    assert f"{whole['dice']:.3f}" in table and _ml(whole["added_ml"]) in table
    browser.script("document.querySelector('input[name=region][value=TC]').click()")
    browser.until(lambda: "Dice 1.000" in str(browser.script(
        "return document.querySelector('.plot circle title')?.textContent")), what="the core's plot")  # fmt: skip
    browser.open(f"{site.app}#/")
    assert browser.text("td[data-review=corrected]") == "corrected"
    assert browser.errors() == []


def moved_points(correction: Correction, header: pydicom.Dataset) -> tuple[np.ndarray, list[int]]:
    """Points (column, row) of the corrected whole tumour on a slice, where it is off the automatic one; its colour."""
    items = [
        next(one for one in dataset.ROIContourSequence if one.ReferencedROINumber == 1)
        for dataset in (correction.before, correction.after)
    ]
    before, after = (expected_points(header, item.ContourSequence) for item in items)
    distance = np.linalg.norm(after[:, None] - before[None], axis=2).min(axis=1)
    return after[distance > 2.5], [int(part) for part in items[1].ROIDisplayColor]


def _height(browser: Browser, dice: str) -> float:
    """Where the axis has a Dice: the line beside its label."""
    ticks = [one for one in browser.all(".plot .tick") if one.text == dice]
    return float(ticks[0].get_attribute("y") or "nan") - 4


def _ml(value: float) -> str:
    return f"{value:.2f} ml" if value < 10 else f"{value:.1f} ml"


def test_both_contours_over_the_slices(
    browser: Browser, site: Site, job: dict[str, Any], corrected: pydicom.Dataset
) -> None:
    """The corrected contour lies where its points say, dashed; each of the two can be switched off."""
    browser.open(f"{site.app}#/studies/{job['study']}/{job['id']}")
    canvas = browser.find("canvas[data-sequence=t1c]")
    browser.until(lambda: np.asarray(browser.canvas(canvas)).std() > 20, what="the slices")
    headers = reference_slices(site, job)
    shown = int(browser.text(".slice-number").split("/")[0]) - 1
    size = (headers[0].Columns, headers[0].Rows)
    points, colour = moved_points(corrected, headers[shown])

    def share(*, automatic: bool, drawn: bool) -> float:
        for source, on in (("automatic", automatic), ("corrected", drawn)):
            box = browser.find(f"label[data-source={source}]").find_element(By.TAG_NAME, "input")
            if box.is_selected() != on:
                box.click()
        return share_in_colour(np.asarray(browser.canvas(canvas)), points, size, colour)

    for name in ("GTV_TC", "GTV_ET"):
        browser.find(f"label.roi[data-roi={name}] input").click()
    only = share(automatic=False, drawn=True)
    assert 0.4 < only < 0.95  # dashed: there are gaps
    assert share(automatic=False, drawn=False) < 0.05
    assert share(automatic=True, drawn=False) < 0.1
    figures = browser.text("table[aria-label='Automatic and corrected']")
    assert f"Dice {the_case(site)['regions']['WT']['dice']:.3f}" in figures
    browser.find("canvas").send_keys("x")  # from the automatic ones to the corrected ones
    assert share_in_colour(np.asarray(browser.canvas(canvas)), points, size, colour) == pytest.approx(only, abs=0.02)

    # In 3D: what was drawn, in the head, since this network tells no brain.
    browser.find("canvas").send_keys("v")
    whole = the_case(site)["regions"]["WT"]
    table = browser.text("dialog.look table")
    assert _ml(whole["corrected_ml"]) in table and "Head" in table
    browser.script("document.querySelector('input[name=look-source]').focus()")
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    table = browser.text("dialog.look table")
    assert _ml(whole["automatic_ml"]) in table and _ml(whole["corrected_ml"]) not in table


def test_filled_holes_are_asked_about(
    browser: Browser, site: Site, job: dict[str, Any], corrected: Correction, axe: str
) -> None:
    """A case of which only holes came back filled (its row says so here) is a question, answered by keyboard."""
    case = the_case(site)
    store = site.pair.node.configuration.state_folder
    row = (CASES.c.id == case["id"],)
    with database_in(store).begin() as connection:
        before = str(connection.execute(select(CASES.c.record).where(*row)).scalar_one())
        asked = CaseRecord.model_validate_json(before).model_copy(update={"kind": "holes_filled"})
        connection.execute(update(CASES).where(*row).values(record=asked.model_dump_json()))
    try:
        browser.open(f"{site.app}#/")
        assert browser.text("td[data-review=holes_filled]") == "only holes filled: meant?"
        browser.open(f"{site.app}#/feedback")
        assert "Only holes filled" in browser.text(".corrections tbody tr")
        browser.open(f"{site.app}#/studies/{job['study']}/{job['id']}")
        browser.button("It was the viewer")
        assert "Only holes of the automatic contours are filled" in browser.words()
        browser.script(axe)
        result = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
        assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical")] == []
        browser.button("It was meant").send_keys(Keys.ENTER)
        browser.until(lambda: the_case(site)["trusted"], what="the answer")
        assert the_case(site)["kind"] == "corrected"
    finally:
        with database_in(store).begin() as connection:
            connection.execute(update(CASES).where(*row).values(record=before))


def test_learning_trust_and_deletion(browser: Browser, site: Site, corrected: Correction) -> None:
    """What nobody approved is not learnt from, and the page says so; trust it; delete it after asking."""
    night = site.pair.post("/glioloop/finetune", {"quiet": True}).json()
    browser.open(f"{site.app}#/feedback")
    assert "waits for quiet hours, from " in browser.text(".learnt .progress-line", 60)
    assert f"asked for by {night['asked_by']}" in browser.text(".learnt .title-row")
    browser.button("Do not wait").click()
    browser.find(".learnt .error-box", 60)
    browser.button("Fine-tune now").click()
    browser.until(lambda: len(browser.all(".learnt .error-box")) == 2, what="the second refusal")
    reason = browser.text(".learnt .error-box")
    run, _ = site.pair.get("/glioloop/finetune")
    assert run["error"]["code"] == "NOTHING_TO_LEARN" and run["error"]["message"] in reason
    browser.button("Trust").click()
    browser.until(lambda: the_case(site)["trusted"], what="the trust")
    browser.until(lambda: "not trusted" not in browser.text(".corrections tbody tr"), what="the page to follow")
    browser.button("Delete…").click()
    assert site.pair.get("/glioloop/feedback")["total"] == 1
    browser.find("dialog[open] button.primary").click()
    browser.until(lambda: site.pair.get("/glioloop/feedback")["total"] == 0, what="the deletion")
    browser.until(lambda: not browser.all(".corrections tbody tr"), what="the page to follow")
    assert site.pair.get("/glioloop/feedback")["dropped"][0]["why"] == "deleted"


def stored_correction(site: Site) -> pydicom.Dataset:
    """The structure set that the newest case was made of."""
    uid = site.pair.get("/glioloop/feedback")["cases"][0]["source_sop_instance_uid"]
    with site.pair.node.client() as client:
        (found,) = client.post("/tools/lookup", content=uid).raise_for_status().json()
        return pydicom.dcmread(io.BytesIO(client.get(f"/instances/{found['ID']}/file").raise_for_status().content))


@pytest.fixture(scope="module")
def slices(site: Site, job: dict[str, Any]) -> list[pydicom.Dataset]:
    """Headers of the reference series."""
    return reference_slices(site, job)


@pytest.fixture(scope="module")
def painted(site: Site, job: dict[str, Any], slices: list[pydicom.Dataset]) -> Masks:
    """What the tests paint, from the contours on that the job drew: the archive may have others by now."""
    for case in site.pair.get("/glioloop/feedback")["cases"]:  # of the tests before, where they left one
        site.pair.post(f"/glioloop/feedback/{case['id']}/delete")
    own = site.pair.node.configuration.state_folder / "jobs" / job["id"] / "objects" / "rtstruct.dcm"
    return masks_of(pydicom.dcmread(own), slices)


def edit(browser: Browser, site: Site, job: dict[str, Any], slices: list[pydicom.Dataset], painted: Masks) -> Canvas:
    """Enter edit mode, on T1c alone."""
    browser.open(f"{site.app}#/studies/{job['study']}/{job['id']}")
    browser.find("canvas").send_keys("2")
    browser.button("Edit contours").send_keys(Keys.ENTER)
    canvas = Canvas(browser, slices, painted)
    assert browser.script("return document.activeElement === arguments[0]", canvas.element), "the keys' focus"
    return canvas


def holds(stored: pydicom.Dataset, slices: list[pydicom.Dataset], painted: Masks) -> bool:
    found = masks_of(stored, slices)
    return all((found[number] == mask).all() for number, mask in painted.items())


def test_painted_and_erased_is_the_correction_that_is_kept(
    browser: Browser, site: Site, job: dict[str, Any], slices: list[pydicom.Dataset], painted: Masks, axe: str
) -> None:
    """By keyboard and by mouse, with undo, and a question before anything is lost."""
    automatic = copy.deepcopy(painted)
    canvas = edit(browser, site, job, slices, painted)
    said = lambda: browser.text(".brush [role=status]")  # noqa: E731
    disabled = lambda label: browser.button(label).get_property("disabled")  # noqa: E731
    assert disabled("Save") and disabled("Undo")
    canvas.shifted(Keys.ARROW_LEFT, 2)
    canvas.keys(Keys.ARROW_UP, "1", "]", "]", "]", "]", " ")
    assert said().startswith("Painted: Whole tumour"), said()
    canvas.chord("z")
    assert said().startswith("Undone") and disabled("Save")
    canvas.chord("y")
    column, row = canvas.columns // 2 - 20, canvas.rows // 2 - 1
    canvas.paint(canvas.disc(column, row, 5), 1)
    start, end = (column + 3, row + 4), (column + 9, row + 4)
    canvas.keys("2", "[", "[", "[", "[")
    canvas.drag(start, end)
    for number in range(start[0], end[0] + 1):
        canvas.paint(canvas.disc(number, start[1], 3), 1, 2)
    assert said() == "Painted: Tumour core", said()
    canvas.keys("e", "1", *[Keys.ARROW_RIGHT] * 2, Keys.ENTER)
    canvas.erase(canvas.disc(end[0] + 2, end[1], 3), 1, 2, 3)

    browser.script("location.hash = '#/'")
    browser.button("Go on editing").send_keys(Keys.ENTER)
    canvas.keys(Keys.ESCAPE)
    browser.button("Go on editing").send_keys(Keys.ENTER)
    browser.until(lambda: not browser.all("dialog"), what="the questions to go")
    browser.script(axe)
    result = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
    assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical")] == []

    browser.button("Save").send_keys(Keys.ENTER)
    browser.until(lambda: "corrected" in browser.text("[aria-labelledby=card-review]"), 120, "the correction")
    case = the_case(site)
    assert (case["kind"], case["approval"], case["job"]) == ("corrected", "UNAPPROVED", job["id"])
    stored = stored_correction(site)
    assert stored.OperatorsName == site.pair.node.configuration.user
    assert holds(stored, slices, painted) and not case["trusted"]
    for number, region in ((1, "WT"), (2, "TC"), (3, "ET")):
        added = (painted[number] & ~automatic[number]).sum() * canvas.voxel_ml
        assert case["regions"][region]["added_ml"] == pytest.approx(added, abs=2e-3), region
    assert case["regions"]["TC"]["added_ml"] > 0.01
    assert browser.errors() == []


def test_an_edit_goes_on_from_the_one_before_and_is_accepted(
    browser: Browser, site: Site, job: dict[str, Any], slices: list[pydicom.Dataset], painted: Masks
) -> None:
    """What is malformed or comes too late is refused."""
    path, one = f"/glioloop/jobs/{job['id']}/edits", [{"slice": 0, "runs": [0, 1, 1]}]
    (newest,) = [one["id"] for one in site.pair.get("/glioloop/feedback")["cases"]] or [None]
    for body, status, code in (
        ({}, 400, "REQUEST_INVALID"),
        ({"slices": [{"slice": len(slices), "runs": [0, 1, 1]}], "after": newest}, 400, "REQUEST_INVALID"),
        ({"slices": one, "after": f"{0:016x}-v1"}, 409, "RESULT_SUPERSEDED"),
        ({"slices": one * 20_000}, 400, "REQUEST_INVALID"),
    ):
        answer = site.pair.post(path, body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    with site.pair.node.client() as client:
        assert client.get(f"{path}/edit-{0:016x}").status_code == 404
    canvas = edit(browser, site, job, slices, painted)
    assert not browser.button("Save and accept").get_property("disabled"), "it may be accepted as it is"
    canvas.keys("3", " ")
    canvas.paint(canvas.disc(canvas.columns // 2, canvas.rows // 2, 3), 1, 2, 3)
    browser.button("Save and accept").send_keys(Keys.ENTER)
    wait_for(lambda: site.pair.get("/glioloop/feedback")["total"] == 2, 120, "the next version")
    browser.until(lambda: "unapproved" not in browser.text("[aria-labelledby=card-review]"), 30, "the approval")
    assert site.pair.get("/glioloop/feedback")["cases"][0]["trusted"]
    made = stored_correction(site)
    assert (made.ApprovalStatus, made.ReviewerName) == ("APPROVED", site.pair.node.configuration.user)
    assert holds(made, slices, painted)
    assert browser.errors() == []


def second_reader(store: CorrectionStore, folder: Path) -> CaseRecord:
    """Keep the latest correction once more as another reader's, who agrees little, and return it as it was."""
    (first, *_) = store.cases()
    for path in store.check(first).iterdir():
        shutil.copy(path, folder / path.name.removeprefix(f"{first.id}_"))
    little = ReaderDifference(dice=0.612, hd95_mm=7.5, own_ml=3.0, other_ml=2.0)
    beside = ReaderAgreement(other=first.id, regions={"WT": little})
    another = {"reader": "another", "fingerprint": "another", "received": datetime.now(UTC).isoformat()}
    store.keep(first.model_copy(update=another | {"agreement": (beside,)}), folder)
    return first


def test_a_second_reader_and_the_consensus(
    browser: Browser, site: Site, job: dict[str, Any], corrected: Correction, axe: str, tmp_path: Path
) -> None:
    """The page shows who drew what, how they agree, and makes their consensus, by keyboard; later that is stale."""
    state = site.pair.node.configuration.state_folder
    first = second_reader(CorrectionStore(state / "feedback", database_in(state)), tmp_path)
    card = lambda: browser.text("[aria-labelledby=card-readers]")  # noqa: E731
    browser.open(f"{site.app}#/studies/{job['study']}/{job['id']}")
    browser.until(lambda: "Dice 0.612 low" in card(), what="the agreement")
    assert "Low agreement\nWhole tumour of 1 and 2" in card() and "No consensus yet" in card()
    assert _ml(first.regions["WT"].corrected_ml) in card() and "not drawn by both" in card()
    browser.button("Consensus of 2 readers").send_keys(Keys.ENTER)
    browser.until(lambda: "Current" in card(), 120, "the consensus")
    assert "not trusted: look at it, then accept it" in card() and "2 readers" in card()
    assert "consensus of 2 readers" in browser.text("[aria-labelledby=card-review]")
    browser.script(axe)
    result = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
    assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical")] == []
    browser.button("Accept the consensus")
    made = CaseRecord.model_validate(site.pair.get("/glioloop/feedback")["cases"][0] | {"fingerprint": "made"})
    with database_in(state).begin() as connection:  # as if a reader had drawn since
        former = made.model_copy(update={"consensus_of": (made.consensus_of[0], f"{0:016x}-v1")})
        connection.execute(update(CASES).where(CASES.c.id == made.id).values(record=former.model_dump_json()))
    browser.until(lambda: "Stale" in card(), 120, "that the consensus is stale")
    browser.open(f"{site.app}#/feedback")
    browser.until(lambda: "stale consensus of 2 readers" in browser.words(), what="the same in the list")
    assert browser.errors() == []


def test_contours_are_sent_back_and_accepted(browser: Browser, site: Site, job: dict[str, Any], axe: str) -> None:
    """With a reason, by keyboard; then one click writes an approved structure set, once; what is past is refused."""
    page, command = f"{site.app}#/studies/{job['study']}/{job['id']}", f"/glioloop/jobs/{job['id']}"

    def refused(name: str, body: dict[str, str] | None = None, of: str = command) -> tuple[int, str]:
        answer = site.pair.post(f"{of}/{name}", body or {})
        return answer.status_code, answer.json()["error"]["code"]

    for case in site.pair.get("/glioloop/feedback")["cases"]:  # of the tests before, where they left one
        site.pair.post(f"/glioloop/feedback/{case['id']}/delete")
    assert refused("send-back") == (400, "REQUEST_INVALID") == refused("send-back", {"reason": " "})
    assert refused("accept", of=f"/glioloop/jobs/{0:032x}") == (404, "JOB_UNKNOWN")
    browser.open(page)
    browser.button("Send back…").send_keys(Keys.ENTER)
    browser.find("dialog[open] textarea").send_keys("The oedema <i>is</i> lacking")
    browser.script(axe)
    result = browser.driver.execute_async_script("axe.run(document).then(arguments[0])")
    assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical")] == []
    browser.button("Send back").send_keys(Keys.ENTER)
    browser.until(lambda: not browser.all("dialog"), 30, "the dialog to go")
    browser.until(lambda: "The oedema <i>is</i> lacking" in browser.text("[aria-labelledby=card-review]"), 30, "why")
    mark = site.pair.get(command)["review"]
    assert (mark["state"], mark["decision"]["by"]) == ("sent_back", site.pair.node.configuration.user)
    assert [one["id"] for one in site.pair.get("/glioloop/jobs?review=sent_back")] == [job["id"]]
    assert site.pair.get("/glioloop/feedback")["total"] == 0

    browser.button("Accept").send_keys(Keys.ENTER)
    browser.until(lambda: "accepted" in browser.text("[aria-labelledby=card-review]"), 30, "the state")
    wait_for(lambda: site.pair.get("/glioloop/feedback")["total"] == 1, 120, "the approved structure set")
    case = the_case(site)
    assert (case["kind"], case["trusted"], case["approval"], case["job"]) == ("accepted", True, "APPROVED", job["id"])
    assert site.pair.post(f"{command}/accept").status_code == 202  # the same again
    assert refused("send-back", {"reason": "late"}) == (409, "REVIEW_ENDED")
    with site.pair.node.client() as client:
        query = {"Level": "Series", "Query": {"Modality": "RTSTRUCT", "SeriesDescription": "*(approved)"}}
        (series,) = client.post("/tools/find", json=query | {"Expand": True}).raise_for_status().json()
        (instance,) = series["Instances"]
        made = pydicom.dcmread(io.BytesIO(client.get(f"/instances/{instance}/file").raise_for_status().content))
    assert (made.ApprovalStatus, made.ReviewerName) == ("APPROVED", site.pair.node.configuration.user)
    assert (
        made.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID
        == job["result"]["rtstruct"]["sop_instance_uid"]
    )
    browser.until(lambda: "Dice 1.000" in browser.text("[aria-labelledby=card-review]"), 30, "the case")

    # As if worker after worker had died of it: the page does not say that it is accepted, and has it done again.
    site.pair.post(f"/glioloop/feedback/{case['id']}/delete")
    with sqlite3.connect(site.pair.node.configuration.state_folder / "queue.sqlite") as database:
        died = "UPDATE workflow_status SET status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED' WHERE workflow_uuid = ?"
        assert database.execute(died, (f"accept-{job['id']}",)).rowcount == 1
    browser.until(lambda: "TASK_DIED" in browser.text("[aria-labelledby=card-review]"), 30, "that it failed")
    assert [one["id"] for one in site.pair.get("/glioloop/jobs?review=accept_failed")] == [job["id"]]
    assert site.pair.get(f"/glioloop/studies/{job['study']}")["review"]["state"] == "accept_failed"
    browser.button("Accept").send_keys(Keys.ENTER)
    browser.until(lambda: "TASK_DIED" not in browser.text("[aria-labelledby=card-review]"), 30, "the other state")
    assert site.pair.get(command)["review"]["state"] == "accepted"

    answer = site.pair.post(f"/glioloop/studies/{job['study']}/process", {"force": True})
    later = f"/glioloop/jobs/{answer.json()['id']}"
    wait_for(lambda: site.pair.get(later)["state"] == "done", 240, "the later job")
    assert site.pair.get(later)["review"]["state"] in ("automatic", "sent")
    assert refused("accept") == (409, "RESULT_SUPERSEDED") == refused("send-back", {"reason": "late"})
