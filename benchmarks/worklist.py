"""Time until the worklist of twenty thousand jobs is there, of searches in it, and of Orthanc's answers beside it.

python -m benchmarks.worklist --jobs 20000 --rounds 5

By the browser's own clock: milliseconds to the first paint and to the answer with the first page of jobs, medians of
several loads; by ours: each kind of search, and the 95th percentile of ``GET /system``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy

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


_SEARCHES = (
    "jobs?limit=50",
    "jobs?limit=50&sort=urgent",
    "jobs?limit=50&sort=ml&state=done",
    "jobs?limit=50&sort=patient",
    "jobs?limit=50&state=failed",
    "jobs?limit=50&flag=MODEL_UNCERTAIN&review=automatic&least_ml=50",
    "jobs?limit=50&patient=smith",
    "jobs?limit=50&offset=10000&sort=priority",
    "jobs/counts",
)


@contextmanager
def node_with_jobs(state: Path, count: int, ended: float = 0.0) -> Iterator[OrthancProcess]:
    """A node with many jobs, a share of them ended, and no worker that would take up the others."""
    first = write_configuration(state, http_port=free_port(), dicom_port=free_port(), settings={"Automatic": False})
    with OrthancProcess(first) as orthanc, orthanc.client() as client:
        # The worker makes the queue's tables.
        wait_for(lambda: client.get("/glioloop/health").status_code == 200, 60, "the worker")
    settings = {"Automatic": False, "Workers": 0}
    configuration = write_configuration(
        state, http_port=first.http_port, dicom_port=first.dicom_port, settings=settings
    )
    _enqueue(state, count, ended)
    with OrthancProcess(configuration) as orthanc:
        yield orthanc


def _enqueue(state: Path, count: int, ended: float) -> None:
    """Queue a job, and write the others beside it as copies of its row, a share of them with a result."""
    queue = JobQueue(f"sqlite:///{state / 'queue.sqlite'}")
    queue.enqueue_job(f"{0:032x}", _request(0))
    table = queue.client._sys_db.tables.workflow_status
    its_id = table.c.workflow_uuid
    with queue.engine.begin() as connection:
        first = dict(connection.execute(sqlalchemy.select(table).where(its_id == f"{0:032x}")).mappings().one())
        rows = [first | _copied(number, first, number < count * ended) for number in range(1, count)]
        if rows:
            connection.execute(sqlalchemy.insert(table), rows)
    queue.worklist.make_index()
    queue.worklist.follow()
    queue.close()


def _request(number: int) -> JobRequest:
    return JobRequest(
        study=f"{number:08x}-" + "-".join(["0" * 8] * 4),
        study_instance_uid=f"2.25.{number}",
        decision={"chosen": {}, "missing": [], "series": []},
        instances={},
        model="net@1",
        destinations=None,
        origin="rest",
    )


def _copied(number: int, first: Mapping[str, Any], ended: bool) -> dict[str, object]:
    when = first["created_at"] + number
    study = _request(number).study
    row: dict[str, object] = {
        "workflow_uuid": f"{number:032x}",
        "created_at": when,
        "updated_at": when,
        "attributes": first["attributes"] | {"study": study, "study_instance_uid": f"2.25.{number}"},
    }
    if not ended:
        return row
    flags = [{"code": "MODEL_UNCERTAIN", "message": "m", "hint": "h", "detail": ""}] if number % 5 == 0 else []
    result = {"volumes_ml": {"WT": number % 97}, "flags": flags, "objects": {"rtstruct": {"sop_instance_uid": "1.2"}}}
    if number % 20 == 0:
        return row | {"status": "ERROR"}
    return row | {"status": "SUCCESS", "output": json.dumps({"result": result})}


def _searches(node: OrthancProcess) -> dict[str, float]:
    """Milliseconds of each kind of search, medians of five."""
    found = {}
    with node.client() as client:
        for query in _SEARCHES:
            times = []
            for _ in range(5):
                asked = time.perf_counter()
                client.get(f"/glioloop/{query}").raise_for_status()
                times.append((time.perf_counter() - asked) * 1000)
            found[query] = round(statistics.median(times), 1)
    return found


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
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5, help="loads of the page")
    parser.add_argument("--json", action="store_true", help="the only form there is")
    arguments = parser.parse_args()
    try:
        from tests.browser.conftest import Browser, open_chromium  # noqa: PLC0415 - selenium is for tests
    except ImportError:
        skip("selenium is not installed: ./glioloop setup dev")
    paints, lists = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        node_with_jobs(Path(folder) / "node", arguments.jobs, 0.95) as node,
        open_chromium() as driver,
    ):
        browser = Browser(driver)
        browser.login(node)
        browser.size(1360, 850)
        for _ in range(arguments.rounds):
            browser.open(f"{node.url}/glioloop/app/")
            browser.until(lambda: browser.script(PAINT)[2] and browser.script(PAINT)[0], 60, "the first page of rows")
            paint, listed, _ = browser.script(PAINT)
            paints.append(paint)
            lists.append(listed)
        answers = _answers(node)
        searches = _searches(node)
    found = {
        "jobs": arguments.jobs,
        "first_paint_ms": round(statistics.median(paints)),
        "first_list_ms": round(statistics.median(lists)),
        "answer_p95_ms": round(statistics.quantiles(answers, n=20)[-1], 1),
        "search_ms": searches,
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
