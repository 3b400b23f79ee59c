"""What was decided about a study's images stands until a person asks: nothing is segmented or forwarded unasked."""

from io import BytesIO
from pathlib import Path

import httpx
import pydicom
from pydicom.uid import generate_uid

from tests.faults import network
from tests.faults.site import Layout, Site
from tests.orthanc.conftest import Pair
from tests.orthanc.corrections import from_workstation, send_back
from tests.patience import wait_for

OTHER = f"{network.NAME}@0.9.0"


def _looks(site: Site) -> int:
    """How many looks have ended."""
    queue = site.queue()
    try:
        return len(queue.client.list_workflows(name="intake", status="SUCCESS"))
    finally:
        queue.close()


def _send_correction(site: Site) -> None:
    """Save the structure set anew and send it back; wait until the node has looked at the study again."""
    before = _looks(site)
    with site.pair.workstation.client() as client:
        query = {"Level": "Instance", "Query": {"Modality": "RTSTRUCT"}}
        first = client.post("/tools/find", json=query).json()[0]
        structure_set = pydicom.dcmread(BytesIO(client.get(f"/instances/{first}/file").content))
    structure_set.SOPInstanceUID = structure_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    structure_set.SeriesInstanceUID = generate_uid()
    send_back(site.pair, structure_set)
    wait_for(lambda: _looks(site) > before, 60, "another look at the study")


def test_a_promotion_segments_nothing_by_itself(tmp_path: Path, small_study: Path) -> None:
    settings = {"Automatic": True, "Model": "", "ForcedSeconds": 8, "Workers": 1}
    with Site(Layout(tmp_path), small_study, settings) as site:
        pair: Pair = site.pair
        job = pair.wait_job("done", "failed", "refused")
        assert job["state"] == "done", job["error"]
        from_workstation(pair)
        wait_for(lambda: _looks(site) >= 2, 60, "the look at the node's own results, and the forced one")
        wait_for(lambda: (pair.cursor() or 0) > 0, 30, "the cursor, moved by a look")
        network.install(site.layout.models, "0.9.0", network.small())
        assert pair.post("/glioloop/models/bright/0.9.0/promote").json() == {"current": OTHER}

        _send_correction(site)
        assert [one["id"] for one in pair.get("/glioloop/jobs")] == [job["id"]]
        # A correction that comes while the node is down is looked at after its start, and nothing more.
        before = _looks(site)
        site.prober.stop()
        pair.node.stop()
        pair.node.start(60)
        pair.wait_ready(120)
        _send_correction(site)
        assert _looks(site) > before
        assert [one["id"] for one in pair.get("/glioloop/jobs")] == [job["id"]]
        assert len(pair.get("/glioloop/jobs")[0]["deliveries"]) == 1

        answer = pair.post(f"/glioloop/studies/{site.study}/process")
        assert answer.status_code == httpx.codes.ACCEPTED
        asked = pair.wait_job("done", "failed", "refused")
        assert (asked["model"], asked["state"]) == (OTHER, "done"), asked["error"]
        assert asked["id"] != job["id"]
