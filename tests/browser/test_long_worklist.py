"""Two thousand jobs: the worklist is there at once, and Orthanc goes on answering."""

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.jobs import JobQueue, JobRequest
from pipeline.node import OrthancProcess, free_port, write_configuration
from tests.browser.conftest import Browser
from tests.orthanc.conftest import wait_for

JOBS = 2000
FIRST_PAINT_MS = 1000
ANSWER_P95_MS = 100

#: By the browser's own clock: milliseconds to the first paint and to the first list of jobs; rows that are there.
PAINT = """
const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;
const jobs = performance.getEntriesByType('resource').find((one) => one.name.includes('/glioloop/jobs?'));
return [paint, jobs?.responseEnd ?? null, document.querySelectorAll('.worklist tbody tr').length];
"""


@pytest.fixture(scope="module")
def busy_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancProcess]:
    """A node with many waiting jobs and no worker that would take them up."""
    state = tmp_path_factory.mktemp("long") / "node"
    first = write_configuration(state, http_port=free_port(), dicom_port=free_port(), settings={"Automatic": False})
    with OrthancProcess(first) as orthanc, orthanc.client() as client:
        # The worker makes the queue's tables.
        wait_for(lambda: client.get("/glioloop/health").status_code == 200, 60, "the worker")
    settings = {"Automatic": False, "Workers": 0}
    configuration = write_configuration(
        state, http_port=first.http_port, dicom_port=first.dicom_port, settings=settings
    )
    _enqueue(state)
    with OrthancProcess(configuration) as orthanc:
        yield orthanc


def _enqueue(state: Path) -> None:
    queue = JobQueue(f"sqlite:///{state / 'queue.sqlite'}")
    for number in range(JOBS):
        study = f"{number:08x}-" + "-".join(["0" * 8] * 4)
        request = JobRequest(
            study=study,
            study_instance_uid=f"2.25.{number}",
            decision={"chosen": {}, "missing": [], "series": []},
            instances={},
            model="net@1",
            destinations=None,
            origin="rest",
        )
        queue.enqueue_job(f"{number:032x}", request)
    queue.close()


def test_first_paint_and_answers(chromium: Browser, busy_node: OrthancProcess) -> None:
    chromium.login(busy_node)
    with busy_node.client() as client:
        # The first question connects to the queue; a node in use has done so.
        assert client.get("/glioloop/health").json()["waiting"] == JOBS
    chromium.size(1360, 850)
    chromium.open(f"{busy_node.url}/glioloop/app/")
    # Chromium notes the paint a moment after the rows are there.
    chromium.until(lambda: chromium.script(PAINT)[2] == 50 and chromium.script(PAINT)[0], 10, "the first page of rows")
    paint_ms, jobs_ms, _ = chromium.script(PAINT)

    answers = []
    with busy_node.client() as client:
        for _ in range(200):
            asked = time.perf_counter()
            client.get("/system").raise_for_status()
            answers.append((time.perf_counter() - asked) * 1000)
            time.sleep(0.02)
    p95 = statistics.quantiles(answers, n=20)[-1]
    print(f"first paint {paint_ms:.0f} ms, jobs {jobs_ms:.0f} ms, GET /system p95 {p95:.1f} ms")
    assert paint_ms < FIRST_PAINT_MS
    assert jobs_ms < FIRST_PAINT_MS
    assert p95 < ANSWER_P95_MS

    chromium.button("Older →").click()
    chromium.until(lambda: "51–100" in chromium.words(), 10, "the second page")
