"""The worked example of docs/routing.md, run: two scanners, a PACS, a radiotherapy system, a research archive."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from pipeline.node import LOOPBACK
from pipeline.node.demo.sender import send_study, study_in_folder
from pipeline.settings import OBJECT_KINDS, ROOT
from tests.faults.receivers import Scp, Web
from tests.faults.site import Layout, Site
from tests.orthanc.conftest import copy_study
from tests.patience import wait_for

SERIES = ("t1", "t1c", "t2", "flair")


def _example() -> dict[str, Any]:
    page = (ROOT / "docs" / "routing.md").read_text()
    found = re.search(r"<!-- example -->\n```json\n(.*?)```", page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


@dataclass
class Hospital:
    """The example's node, and who receives."""

    site: Site
    pacs: Scp
    radiotherapy: Scp
    research: Web

    def send_from(self, scanner: str, files: Path) -> str:
        """Send a study as a scanner; return Orthanc's id of it."""
        node, study = self.site.pair.node.configuration, study_in_folder(files)
        send_study(study, LOOPBACK, node.dicom_port, calling_aet=scanner, called_aet=node.aet)
        with self.site.pair.node.client() as client:
            return str(client.post("/tools/lookup", content=study[0].study_instance_uid).json()[0]["ID"])

    def done(self, study: str) -> dict[str, Any]:
        """Process a study; return its job once all is delivered."""
        self.site.study = study
        return self.site.wait_end(self.site.process())

    def explain(self, study: str) -> dict[str, Any]:
        """The dry run."""
        answer = self.site.pair.post(f"/glioloop/studies/{study}/explain")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def hospital(tmp_path: Path, small_study: Path) -> Iterator[Hospital]:
    example = _example()
    # Of all that can be made each destination gets what it is to have.
    section = {**example["GlioLoop"], "Objects": [*OBJECT_KINDS]}
    with ExitStack() as stack:
        site = stack.enter_context(Site(Layout(tmp_path), small_study, section))
        node = site.pair.node.configuration
        made = Hospital(
            site, Scp("pacs", "accepts", node), Scp("radiotherapy", "accepts", node), Web("research", "accepts")
        )
        for one in (made.pacs, made.radiotherapy, made.research):
            stack.enter_context(one.running())
        with site.pair.node.client() as client:
            for name, modality in example["DicomModalities"].items():
                client.put(f"/modalities/{name}", json={**modality, "Host": LOOPBACK}).raise_for_status()
            for scp in (made.pacs, made.radiotherapy):
                client.put(f"/modalities/{scp.name}", json=scp.modality).raise_for_status()
            client.put("/dicom-web/servers/research", json={"Url": made.research.url}).raise_for_status()
        yield made


def _kinds(hospital: Hospital, job: dict[str, Any], receiver: Scp | Web) -> set[str]:
    """Kinds of a job's objects that a receiver has."""
    return {
        kind for kind, one in job["result"]["objects"].items() if one["sop_instance_uid"] in receiver.received.accepted
    }


def _approve(hospital: Hospital, job: dict[str, Any]) -> str:
    """Have the structure set come back approved, as a workstation saves it; return its SOP Instance UID."""
    with hospital.site.pair.node.client() as client:
        content = client.get(f"/instances/{job['result']['stored']['rtstruct']}/file").raise_for_status().content
        approved = pydicom.dcmread(BytesIO(content))
        approved.ApprovalStatus, approved.ReviewerName = "APPROVED", "A^Radiologist"
        approved.ReviewDate, approved.ReviewTime = "20260101", "120000"
        changed = BytesIO()
        approved.save_as(changed, enforce_file_format=True)
        client.post("/instances", content=changed.getvalue()).raise_for_status()
        client.post(f"/glioloop/studies/{job['study']}/feedback", json={}).raise_for_status()
    return str(approved.SOPInstanceUID)


def test_the_worked_example(hospital: Hospital, small_study: Path, tmp_path: Path) -> None:
    clinical = hospital.send_from("MR1", copy_study(small_study, tmp_path / "one", *SERIES))
    research = hospital.send_from("MR2", copy_study(small_study, tmp_path / "two", *SERIES))

    before = hospital.explain(research)
    assert before["job"] is None
    assert before["facts"]["sender"] == ["MR2"]
    # What the rule asks of the result is not known yet; the rest holds.
    held = {one["condition"]: one["holds"] for one in _rule(before, "study-of-adults")["conditions"]}
    assert held == {"Sender": True, "LeastAge": True, "NoFlags": False}

    first, second = hospital.done(clinical), hospital.done(research)
    assert (first["state"], second["state"]) == ("done", "done"), (first, second)
    assert set(first["deliveries"]) == {"pacs"}
    assert (
        _kinds(hospital, first, hospital.pacs)
        == _kinds(hospital, second, hospital.pacs)
        == {"preview", "overlay", "sr"}
    )
    made = first["result"]["objects"]
    assert set(made) == set(OBJECT_KINDS)
    assert set(first["result"]["stored"]) == set(OBJECT_KINDS) - {"overlay"}
    # Orthanc itself shows them.
    with hospital.site.pair.node.client() as client:
        (slice_,) = client.post("/tools/lookup", content=made["overlay"]["sop_instance_uid"]).json()
        assert client.get(f"/instances/{slice_['ID']}/preview").content.startswith(b"\x89PNG")
        assert client.get(f"/instances/{first['result']['stored']['pdf']}/pdf").content.startswith(b"%PDF")
    # An overlay is a series: it has got there whole.
    slices = first["result"]["volumes"]["t1c"]["size"][2]
    assert len(hospital.pacs.received.accepted) == 2 * (2 + slices)
    assert not _kinds(hospital, first, hospital.research)
    flags = {one["code"] for one in second["result"]["flags"]}
    goes_to_research = "MODEL_UNCERTAIN" not in flags
    assert _kinds(hospital, second, hospital.research) == ({"seg"} if goes_to_research else set()), flags
    assert not hospital.radiotherapy.received.accepted

    after = hospital.explain(research)
    assert after["job"] == second["id"]
    assert {one["destination"]: one["because"] for one in after["destinations"]} == {
        "pacs": [],
        **({"research": ["study-of-adults"]} if goes_to_research else {}),
    }
    assert not _rule(hospital.explain(clinical), "study-of-adults")["matches"]
    assert after["approved"][0] == {
        "destination": "radiotherapy",
        "send": ["rtstruct"],
        "because": ["approved-contours"],
    }

    uid = _approve(hospital, first)
    wait_for(lambda: bool(hospital.radiotherapy.received.accepted), 120, "the approved contours")
    assert dict(hospital.radiotherapy.received.accepted) == {uid: 1}
    assert hospital.site.wait_end(first["id"])["state"] == "done"

    # Accepted in the dashboard: a structure set that nobody had before goes the same way.
    assert hospital.site.pair.post(f"/glioloop/jobs/{second['id']}/accept", {}).status_code == 202
    wait_for(lambda: len(hospital.radiotherapy.received.accepted) == 2, 120, "what was accepted")
    own = {one["sop_instance_uid"] for one in second["result"]["objects"].values()}
    assert not own & hospital.radiotherapy.received.accepted.keys()
    assert hospital.site.wait_end(second["id"])["review"]["state"] == "accepted"
    assert max(hospital.pacs.received.accepted.values()) == 1


def _rule(explanation: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in explanation["rules"] if one["name"] == name]
    return dict(found)
