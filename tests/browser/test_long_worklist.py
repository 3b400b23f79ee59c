"""Two thousand jobs: the worklist shows a page of them, and searches; how fast is benchmarks/worklist.py's to say."""

import csv
import io
import sqlite3
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from benchmarks.worklist import PAINT, node_with_jobs
from pipeline.node import OrthancProcess
from tests.browser.conftest import Browser

JOBS = 2000
_CHANGE = "UPDATE workflow_status SET status = ?, priority = ?, updated_at = updated_at + 1 WHERE workflow_uuid = ?"


@pytest.fixture(scope="module")
def busy_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    with node_with_jobs(tmp_path_factory.mktemp("long") / "node", JOBS) as orthanc:
        yield orthanc


def test_a_long_worklist_comes_by_pages(chromium: Browser, busy_node: OrthancProcess) -> None:
    chromium.login(busy_node)
    with busy_node.client() as client:
        assert client.get("/glioloop/health").json()["waiting"] == JOBS
    chromium.size(1360, 850)
    chromium.open(f"{busy_node.url}/glioloop/app/")
    chromium.until(lambda: chromium.script(PAINT)[2] == 50, 60, "the first page of rows")
    chromium.button("Older →").click()
    chromium.until(lambda: "51–100" in chromium.words(), 60, "the second page")


def _states(browser: Browser) -> set[str]:
    return {str(one.get_attribute("data-state")) for one in browser.all(".worklist tbody .pill")}


def test_jobs_are_found_by_keyboard_and_stay_where_they_are(
    chromium: Browser, busy_node: OrthancProcess, axe: str
) -> None:
    with sqlite3.connect(busy_node.configuration.state_folder / "queue.sqlite") as database:
        for number, status, priority in ((7, "ERROR", 100), (8, "ERROR", 100), (9, "ENQUEUED", 10)):
            database.execute(_CHANGE, (status, priority, f"{number:032x}"))
    chromium.login(busy_node)
    chromium.open(f"{busy_node.url}/glioloop/app/")
    first = ".worklist tbody tr:first-child"
    chromium.until(
        lambda: (
            "Urgent" in chromium.text(first)
            and f"#/jobs/{9:032x}" in str(chromium.find(f"{first} .state a").get_attribute("href"))
        ),
        60,
        "the urgent one first",
    )
    assert "of 2000" in chromium.text(".title-row")

    failed = chromium.find(".states [data-state=failed]")
    assert failed.text.split() == ["Failed", "2"]
    failed.send_keys(Keys.ENTER)
    chromium.until(lambda: _states(chromium) == {"failed"} and len(chromium.all(".worklist tbody tr")) == 2, 30, "them")
    assert "state=failed" in chromium.driver.current_url
    chromium.button("Save view…").send_keys(Keys.ENTER)
    chromium.find("dialog[open] input").send_keys("To look at", Keys.ENTER)
    chromium.until(lambda: not chromium.all("dialog"), 10, "the dialog to go")
    chromium.button("Clear").send_keys(Keys.ENTER)
    chromium.until(lambda: len(chromium.all(".worklist tbody tr")) == 50, 30, "all")
    view = next(one for one in chromium.all(".filters select") if "To look at" in one.text)
    Select(view).select_by_visible_text("To look at")
    chromium.until(lambda: len(chromium.all(".worklist tbody tr")) == 2, 30, "the view")

    # What is refreshed meanwhile moves nothing that a person is at.
    place = chromium.find(f"{first} .patient")
    chromium.script("arguments[0].focus()", place)
    asked = "return performance.getEntriesByType('resource').filter((one) => one.name.includes('/jobs/counts')).length"
    before = chromium.script(asked)
    with sqlite3.connect(busy_node.configuration.state_folder / "queue.sqlite") as database:
        database.execute(_CHANGE, ("ERROR", 100, f"{1500:032x}"))
    chromium.until(lambda: len(chromium.all(".worklist tbody tr")) == 3 and chromium.script(asked) > before, 30, "news")
    assert chromium.script("return document.activeElement === arguments[0]", place)

    chromium.script(axe)
    result = chromium.driver.execute_async_script("axe.run(document).then(arguments[0])")
    assert [one["id"] for one in result["violations"] if one["impact"] in ("serious", "critical")] == []
    with busy_node.client() as client:
        table = list(csv.DictReader(io.StringIO(client.get("/glioloop/jobs.csv?state=failed").raise_for_status().text)))
        assert [int(row["job"], 16) for row in table] == [1500, 8, 7] and table[0]["state"] == "failed"
        assert client.get("/glioloop/jobs?state=lost").status_code == 400
        assert client.get("/glioloop/jobs?patient=nobody").json() == []
        assert client.get("/glioloop/jobs?sort=patient&limit=3").status_code == 200
    chromium.button("Retry 3 failed…").send_keys(Keys.ENTER)
    chromium.find("dialog[open] .primary").send_keys(Keys.ENTER)
    chromium.until(lambda: "No job matches." in chromium.words(), 30, "none that failed")
