"""docker-compose.yml, built and run: a study through it, a correction back, and every container restarted once.

`./glioloop test --containers`; without it these tests are skipped, since they take minutes and some gigabytes.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.uid import generate_uid

from tests.containers.engine import Containers, containers
from tests.orthanc.conftest import Pair, copy_study, send
from tests.orthanc.corrections import from_workstation, grow, send_back
from tests.patience import wait_for

pytestmark = pytest.mark.skipif(
    not os.environ.get("GLIOLOOP_CONTAINERS"), reason="takes minutes: ./glioloop test --containers"
)
SERVICES = ("postgres", "orthanc", "worker", "workstation")


@pytest.fixture(scope="module")
def site() -> Iterator[Containers]:
    from tests.browser.conftest import viewer_or_reason  # noqa: PLC0415 - wants the browser's driver

    viewer, _ = viewer_or_reason()
    with containers("glioloop-test", viewer) as made:
        yield made


def _wait_healthy(site: Containers) -> Pair:
    for service in SERVICES:
        wait_for(lambda one=service: site.healthy(one), 180, f"health of {service}")  # type: ignore[misc]
    pair = site.pair()

    def answers() -> bool:
        try:
            with pair.node.client() as client:
                return client.get("/glioloop/health").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    wait_for(answers, 180, "the node")
    return pair


def test_containers_have_no_rights_that_they_do_not_need(site: Containers) -> None:
    _wait_healthy(site)
    for service in SERVICES:
        found: dict[str, Any] = site.inspected(service)
        assert found["Config"]["User"] == "999:999", service
        assert found["HostConfig"]["ReadonlyRootfs"], service
        assert not found["EffectiveCaps"], service
        assert "no-new-privileges" in found["HostConfig"]["SecurityOpt"], service
        assert all(
            (site.folder / f"{name}_password").read_text() not in str(found["Config"])
            for name in ("glioloop", "workstation", "postgres")
        ), service


def test_a_study_goes_through_a_correction_comes_back_and_restarts_lose_nothing(
    site: Containers, sample_study: Path, small_study: Path, tmp_path: Path
) -> None:
    start = time.monotonic()
    pair = _wait_healthy(site)
    study = send(pair, sample_study)
    job = pair.wait_job("done", "refused", "failed", study=study, seconds=600)
    assert job["state"] == "done", job["error"]
    _, structure_set = from_workstation(pair)
    assert structure_set.SOPInstanceUID == job["result"]["rtstruct"]["sop_instance_uid"]
    print(f"sample study at the workstation after {time.monotonic() - start:.0f} s")

    grow(structure_set, "GTV_WT", 2.0)
    structure_set.SOPInstanceUID = structure_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    structure_set.ApprovalStatus = "APPROVED"
    structure_set.ReviewDate, structure_set.ReviewTime, structure_set.ReviewerName = "20260102", "101112", "Roe^Ann"
    send_back(pair, structure_set)
    wait_for(lambda: pair.get("/glioloop/feedback")["total"] == 1, 180, "the correction")

    for service in SERVICES:
        site.podman("restart", site.name(service))
        pair = _wait_healthy(site)
        assert [one["id"] for one in pair.get(f"/glioloop/jobs?study={study}")] == [job["id"]]
    assert pair.get("/glioloop/feedback")["total"] == 1
    before = len(pair.workstation_structure_sets())
    other = copy_study(small_study, tmp_path, "t1", "t1c", "t2", "flair")
    again = pair.wait_job("done", "refused", "failed", study=send(pair, other), seconds=600)
    assert again["state"] == "done", again["error"]
    wait_for(lambda: len(pair.workstation_structure_sets()) == before + 1, 120, "the second result, once")


def test_the_workstation_serves_the_viewer(site: Containers) -> None:
    if (Path(site.variables["VIEWER_FOLDER"]) / "viewer").exists():
        with site.pair().workstation.client() as client:
            assert "OHIF" in client.get("/ohif/viewer").raise_for_status().text
    else:
        pytest.skip("no viewer could be fetched")
