"""Every fault at every stage: one result or one stated reason, nothing twice, and Orthanc answers."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.campaign import DONE, FAULTS, FINETUNE, INTAKE, PROMOTE, STAGES, Fault, NotApplicable
from tests.faults.site import ENDED, Layout, Site
from tests.faults.strikes import nothing
from tests.orthanc.conftest import copy_study
from tests.patience import PATIENCE

#: A job that has not ended by then waits for the fault to pass.
_PATIENCE_SECONDS = 45.0
_LONGEST_SECONDS = 240.0
_KINDS = list(dict.fromkeys(fault.site_kind for fault in FAULTS))
_CELLS = [
    pytest.param(fault, stage, id=f"{fault.name}-{stage}")
    for fault in sorted(FAULTS, key=lambda one: _KINDS.index(one.site_kind))
    for stage in STAGES
    if stage not in (FINETUNE, PROMOTE) and not isinstance(fault.ends[stage], NotApplicable)
]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory, small_study: Path) -> Iterator[Callable[[Fault], Site]]:
    """Return a site for a fault; cells in a row that need the same kind share one, as long as they pass."""
    stack, current = contextlib.ExitStack(), [(None, None)]

    def of(fault: Fault) -> Site:
        kind, site = current[0]
        if site is None or kind != fault.site_kind or site.tired:
            stack.close()
            layout = Layout(tmp_path_factory.mktemp("site"))
            stack.enter_context(fault.surroundings(layout))
            environment = fault.environment(layout)
            site = Site(layout, small_study, fault.settings, environment, fault.separate_worker)
            stack.enter_context(site)
        current[0] = (None, None)  # until the cell has passed
        return site

    def passed(fault: Fault, site: Site) -> None:
        current[0] = (fault.site_kind, site)

    of.passed = passed  # type: ignore[attr-defined]
    yield of
    stack.close()


@pytest.mark.parametrize(("fault", "stage"), _CELLS)
def test_cell(sites: Any, fault: Fault, stage: str, record_cell: Callable[..., None]) -> None:
    with record_cell(fault.name, stage) as outcome:
        site = sites(fault)
        start = _asked if stage != INTAKE else _arrived
        for moment in fault.moments:
            site.gates.shut(stage, moment)
        find_job = start(site)
        mends = []
        for moment in fault.moments:
            site.wait_at(stage, moment)
            mends.append(fault.strike(site, lambda moment=moment: site.gates.open(stage, moment)))
            site.gates.open(stage, moment)
        job = _end(site, find_job, _PATIENCE_SECONDS)
        for mend in mends:
            mend()
        waited = job is None and any(mend is not nothing for mend in mends)
        job = job or _end(site, find_job, _LONGEST_SECONDS)
        assert job is not None, "no end, although the fault is mended"
        end = _words(job)
        assert end in fault.ends[stage], job["error"]
        if job["state"] == "failed":
            site.retry(job["id"])
            job = site.wait_end(job["id"])
            assert job["state"] == DONE, job["error"]
            end += "; mended and retried: done"
        outcome("waited; " * waited + end)
        site.check(job, fault.node_loses_result)
        sites.passed(fault, site)


def _words(job: dict[str, Any]) -> str:
    return str(job["state"]) if job["state"] == DONE else f"{job['state']}: {job['error']['code']}"


def _asked(site: Site) -> Callable[[], dict[str, Any] | None]:
    identity = site.process()
    return lambda: site.job(identity)


def _arrived(site: Site) -> Callable[[], dict[str, Any] | None]:
    """A study that was not there before, looked at as its stable event makes it."""
    folder = site.layout.root / f"study-{time.time_ns()}"
    site.study_files = copy_study(site.study_files, folder, "t1", "t1c", "t2", "flair")
    site.send_study()
    queue = site.queue()
    queue.enqueue_intake(site.study, f"stable-{time.time_ns()}", "stable")
    queue.close()

    def only() -> dict[str, Any] | None:
        jobs = site.ask(f"/glioloop/jobs?study={site.study}")
        # New content is a job of its own, but only that.
        assert len(jobs) <= 1 or site.settings.get("Automatic"), "one study, several jobs"
        return dict(jobs[-1]) if jobs else None

    return only


def _end(site: Site, find_job: Callable[[], dict[str, Any] | None], seconds: float) -> dict[str, Any] | None:
    """The job as it ended; None where it has not in time."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        job = find_job()
        if job is not None and job["state"] in ENDED:
            return job
        time.sleep(0.3)
    return None
