"""Time until the worklist of two thousand jobs is on the screen, and Orthanc's answers beside it.

python -m benchmarks.worklist --jobs 2000 --rounds 5

By the browser's own clock: milliseconds to the first paint and to the answer with the first page of jobs, medians of
several loads; by ours: the 95th percentile of ``GET /system``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.environment import skip
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import JobRequest
from pipeline.node import OrthancProcess, free_port, write_configuration
from tests.patience import wait_for

#: Milliseconds to the first paint and to the first list of jobs; rows that are there.
PAINT = """
const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null;
const jobs = performance.getEntriesByType('resource').find((one) => one.name.includes('/glioloop/jobs?'));
return [paint, jobs?.responseEnd ?? null, document.querySelectorAll('.worklist tbody tr').length];
"""


@contextmanager
def node_with_jobs(state: Path, count: int) -> Iterator[OrthancProcess]:
    """A node with many waiting jobs and no worker that would take them up."""
    first = write_configuration(state, http_port=free_port(), dicom_port=free_port(), settings={"Automatic": False})
    with OrthancProcess(first) as orthanc, orthanc.client() as client:
        # The worker makes the queue's tables.
        wait_for(lambda: client.get("/glioloop/health").status_code == 200, 60, "the worker")
    settings = {"Automatic": False, "Workers": 0}
    configuration = write_configuration(
        state, http_port=first.http_port, dicom_port=first.dicom_port, settings=settings
    )
    _enqueue(state, count)
    with OrthancProcess(configuration) as orthanc:
        yield orthanc


def _enqueue(state: Path, count: int) -> None:
    queue = JobQueue(f"sqlite:///{state / 'queue.sqlite'}")
    for number in range(count):
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


def _answers(node: OrthancProcess) -> list[float]:
    """Milliseconds of GET /system, two hundred times."""
    found = []
    with node.client() as client:
        for _ in range(200):
            asked = time.perf_counter()
            client.get("/system").raise_for_status()
            found.append((time.perf_counter() - asked) * 1000)
            time.sleep(0.02)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5, help="loads of the page")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    try:
        from tests.browser.conftest import open_chromium  # noqa: PLC0415 - selenium is for tests
    except ImportError:
        skip("selenium is not installed: ./glioloop setup dev")
    paints, lists = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        node_with_jobs(Path(folder) / "node", arguments.jobs) as node,
        open_chromium() as browser,
    ):
        browser.login(node)
        browser.size(1360, 850)
        for _ in range(arguments.rounds):
            browser.open(f"{node.url}/glioloop/app/")
            browser.until(lambda: browser.script(PAINT)[2] and browser.script(PAINT)[0], 60, "the first page of rows")
            paint, listed, _ = browser.script(PAINT)
            paints.append(paint)
            lists.append(listed)
        answers = _answers(node)
    found = {
        "jobs": arguments.jobs,
        "first_paint_ms": round(statistics.median(paints)),
        "first_list_ms": round(statistics.median(lists)),
        "answer_p95_ms": round(statistics.quantiles(answers, n=20)[-1], 1),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
