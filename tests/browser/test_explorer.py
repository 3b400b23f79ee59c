"""Orthanc Explorer and the dashboard from the click to the result, on real Orthancs."""

from pathlib import Path

from tests.browser.conftest import Browser, Site
from tests.orthanc.conftest import copy_study, send


def test_button_on_the_study_page_starts_a_job(browser: Browser, site: Site, study: str) -> None:
    """Click in Orthanc Explorer; the dashboard shows progress and end, then Explorer shows the result."""
    browser.open(site.explorer(study))
    browser.until(lambda: "Not processed" in browser.text("#glioloop-state"), what="the state of a new study")
    browser.find("#glioloop-segment").click()
    browser.until(lambda: site.pair.get(f"/glioloop/jobs?study={study}"), what="a job")

    browser.open(f"{site.app}#/")
    seen: set[str] = set()

    def ended() -> bool:
        line = browser.text(".worklist tbody tr .state").splitlines()
        seen.add(line[0])
        seen.update(line[1:])
        return line[0] in ("Done", "Failed", "Refused")

    browser.until(ended, 240, "the end of the job")
    (job,) = site.pair.get(f"/glioloop/jobs?study={study}")
    assert job["state"] == "done", job["error"]
    assert "Running" in seen and any(word.startswith(("Align", "Delineate", "Load", "Write")) for word in seen)
    row = browser.text(".worklist tbody tr")
    assert f"{job['result']['volumes_ml']['WT']:.1f} ml" in row
    assert browser.errors() == []

    browser.open(site.explorer(study))
    browser.until(lambda: "Done" in browser.text("#glioloop-state"), what="the result in Orthanc Explorer")
    assert f"WT {job['result']['volumes_ml']['WT']:.1f} ml" in browser.text("#glioloop-state")
    preview = browser.find("#glioloop-preview")
    browser.until(lambda: browser.script("return arguments[0].naturalWidth", preview) > 100, what="the preview")


def test_reprocess_with_a_chosen_network(browser: Browser, site: Site, job: dict[str, object]) -> None:
    """ "Reprocess…" offers the installed networks and queues a job with the one chosen."""
    browser.open(site.explorer(str(job["study"])))
    browser.find("#glioloop-reprocess").click()
    names = [option.text for option in browser.find("#glioloop-model").find_elements("tag name", "option")]
    assert len(names) == 2 and any("in use" in name for name in names)
    other = next(name for name in names if "in use" not in name)
    browser.script("document.getElementById('glioloop-model').value = arguments[0]", other)
    browser.find("#glioloop-start").click()
    path = f"/glioloop/jobs?study={job['study']}"
    browser.until(lambda: site.pair.get(path)[0]["id"] != job["id"], what="the new job")
    newest = site.pair.get(path)[0]
    assert newest["model"] == other
    site.pair.post(f"/glioloop/jobs/{newest['id']}/cancel")


def test_incomplete_study_says_why(browser: Browser, site: Site, sample_study: Path, tmp_path: Path) -> None:
    """A study that lacks sequences gets no job, and the page says which ones."""
    incomplete = copy_study(sample_study, tmp_path / "study", "t1", "t1c")
    identity = site.orthanc_id(send(site.pair, incomplete))
    browser.open(site.explorer(identity))
    browser.find("#glioloop-segment").click()
    browser.until(lambda: "sequence is missing" in browser.text("#glioloop-state"), what="the reason")
    assert "flair" in browser.text("#glioloop-detail").lower()
    assert site.pair.get(f"/glioloop/jobs?study={identity}") == []

    browser.open(f"{site.app}#/studies/{identity}")
    browser.find(".series tbody tr")
    assert "T1c" in browser.words()
