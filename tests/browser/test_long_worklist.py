"""Two thousand jobs: the worklist shows a page of them at once; how fast is benchmarks/worklist.py's to say."""

from collections.abc import Iterator

import pytest

from benchmarks.worklist import PAINT, node_with_jobs
from pipeline.node import OrthancProcess
from tests.browser.conftest import Browser

JOBS = 2000


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
