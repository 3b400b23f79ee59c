"""The loop on real Orthancs: contours out, corrections back, kept once, learnt from behind clinical jobs."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from pipeline.audit import AuditTrail
from pipeline.corrections.store import CorrectionStore
from pipeline.database.engine import database_in
from pipeline.finetune.schedule import usable
from pipeline.settings.finetune import FinetunePolicy
from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import from_workstation, grow, send_back
from tests.patience import wait_for
from tests.unit.corrections.phantom import write_threshold_model

GROWTH_MM = 2.0


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Pair]:
    """A node with a network made for the test, and a workstation."""
    write_threshold_model(tmp_path / "models", whole_tumour=2.0, core=2.0, brain=False)
    # The node gets corrections from the workstation, which Orthanc must know by name to let it store.
    pair = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"), Finetune={"Steps": 500})
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield pair


def _feedback(pair: Pair) -> dict[str, Any]:
    found: dict[str, Any] = pair.get("/glioloop/feedback")
    return found


def _wait_cases(pair: Pair, count: int) -> list[dict[str, Any]]:
    wait_for(lambda: _feedback(pair)["total"] >= count, 60, f"{count} corrections; {_feedback(pair)}")
    return list(_feedback(pair)["cases"])


def _wait_looked_at(pair: Pair, verdict: str, count: int = 1) -> None:
    def there() -> bool:
        return sum(one["verdict"] == verdict for one in _feedback(pair)["looked_at"]) >= count

    wait_for(there, 60, f"verdict {verdict}; {_feedback(pair)['looked_at']}")


def test_corrections_come_back(loop: Pair, small_study: Path, tmp_path: Path) -> None:
    """Echoed, edited in place, saved anew, sent twice, of another patient: each is taken for what it is."""
    study = send(loop, small_study)
    job = loop.wait_job("done", "failed", "refused")
    assert job["state"] == "done", job["error"]
    stored, structure_set = from_workstation(loop)
    assert loop.get(f"/glioloop/studies/{study}")["review"]["state"] == "sent"

    # Our own copy, echoed back.
    with loop.workstation.client() as client:
        client.post("/modalities/node/store", content=stored).raise_for_status()
    loop.settle()
    assert _feedback(loop)["total"] == 0

    # Edited in place: the same SOP Instance UID.
    grow(structure_set, "GTV_WT", GROWTH_MM)
    structure_set.ApprovalStatus = "APPROVED"
    structure_set.ReviewDate, structure_set.ReviewTime, structure_set.ReviewerName = "20260102", "101112", "Roe^Ann"
    with loop.workstation.client() as client:
        client.delete(f"/instances/{stored}").raise_for_status()
    send_back(loop, structure_set)
    (case,) = _wait_cases(loop, 1)
    assert case["source_sop_instance_uid"] == job["result"]["rtstruct"]["sop_instance_uid"]
    assert (case["kind"], case["trusted"], case["model"]) == ("corrected", True, job["model"])
    trail = AuditTrail(database_in(loop.node.configuration.state_folder))
    wait_for(lambda: any(one.event == "corrected" for one in trail.entries()), 10, "the correction on record")
    (corrected,) = [one for one in trail.entries() if one.event == "corrected"]
    assert (corrected.subject, corrected.data["case"]) == (job["study"], case["id"])
    whole = case["regions"]["WT"]
    assert whole["added_ml"] > 0.5
    assert whole["removed_ml"] < 0.2 * whole["added_ml"]
    assert whole["corrected_ml"] == pytest.approx(
        whole["automatic_ml"] + whole["added_ml"] - whole["removed_ml"], abs=0.01
    )
    assert 0.5 < whole["dice"] < 1
    assert case["regions"]["ET"]["added_ml"] == 0
    # Left alone, it says nothing against what was changed around it, and is cut to that.
    assert case["regions"]["ET"]["removed_ml"] <= whole["removed_ml"]
    text = str(_feedback(loop))
    assert "Roe" not in text
    review = loop.get(f"/glioloop/studies/{study}")["review"]
    assert review["state"] == "corrected"

    # The same once more, by a restudy of the sender: kept once.
    send_back(loop, structure_set)
    _wait_looked_at(loop, "known")
    assert _feedback(loop)["total"] == 1

    _check_partial(loop, structure_set, str(case["id"]))
    _check_foreign(loop, structure_set)
    _check_readers(loop, job, structure_set)

    points = loop.get("/glioloop/feedback/agreement")["points"]
    assert [one["region"] for one in points].count("WT") == 3, "each of the readers' corrections, and no consensus"
    with loop.node.client() as client:
        assert "glioloop_feedback_cases" in client.get("/glioloop/metrics").text
    deleted = loop.post(f"/glioloop/feedback/{case['id']}/delete", {"patient": True}).json()
    assert len(deleted["deleted"]) == 4
    assert _feedback(loop)["total"] == 0


def _check_partial(loop: Pair, structure_set: Dataset, case: str) -> None:
    """Saved anew with one ROI, by another name: a partial correction, the next version."""
    structure_set.SOPInstanceUID = structure_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    structure_set.SeriesInstanceUID = generate_uid()
    first = structure_set.StructureSetROISequence[0]
    first.ROIName = "Whole tumour edited"
    for keyword in ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"):
        setattr(structure_set, keyword, getattr(structure_set, keyword)[:1])
    send_back(loop, structure_set)
    newest = _wait_cases(loop, 2)[0]
    assert newest["id"] == case.replace("-v1", "-v2")
    assert [name for name, region in newest["regions"].items() if region["drawn"]] == ["WT"]


def _check_readers(loop: Pair, job: dict[str, Any], structure_set: Dataset) -> None:
    """A second reader: both are kept, compared, and put together; what comes of it is the correction that counts."""
    path, latest = f"/glioloop/jobs/{job['id']}/consensus", _feedback(loop)["cases"][0]["id"]
    alone = loop.post(path)
    assert (alone.status_code, alone.json()["error"]["code"]) == (409, "READERS_TOO_FEW")
    second = pydicom.dcmread(_as_file(structure_set))
    second.SOPInstanceUID = second.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    second.SeriesInstanceUID, second.ReviewerName = generate_uid(), "Doe^Jo"
    grow(second, "Whole tumour edited", GROWTH_MM)
    send_back(loop, second)
    newest = _wait_cases(loop, 3)[0]
    study = f"/glioloop/studies/{job['study']}"
    readers = loop.get(study)["review"]["readers"]
    assert [one["case"] for one in readers["readings"]] == [latest, newest["id"]]
    (pair,) = readers["pairs"]
    assert list(pair["regions"]) == ["WT"] and 0.5 < pair["regions"]["WT"]["dice"] < 1
    assert pair["regions"]["WT"]["difference_ml"] > 0.5, "the second one drew more"

    overtaken = loop.post(path, {"readings": [latest]})
    assert (overtaken.status_code, overtaken.json()["error"]["code"]) == (409, "RESULT_SUPERSEDED")
    asked = loop.post(path, {"readings": [newest["id"], latest], "accept": True})
    assert asked.status_code == 202, asked.text
    edit = f"/glioloop/jobs/{job['id']}/edits/{asked.json()['id']}"
    wait_for(lambda: loop.get(edit)["state"] not in ("waiting", "stored"), 60, f"the consensus; {loop.get(edit)}")
    made = loop.get(edit)
    assert made["state"] == "kept", made
    review = loop.get(study)["review"]
    assert (review["feedback"][0]["id"], review["trusted"]) == (made["case"], True)
    assert review["feedback"][0]["consensus_of"] == [latest, newest["id"]]
    assert (review["readers"]["consensus"]["case"], review["readers"]["consensus"]["stale"]) == (made["case"], False)
    state = loop.node.configuration.state_folder
    store = CorrectionStore(state / "feedback", database_in(state))
    assert [one.id for one in usable(FinetunePolicy(), store)] == [made["case"]], "the study is learnt from once"
    with loop.node.client() as client:
        found = pydicom.dcmread(BytesIO(client.get(f"/instances/{made['instance']}/file").content))
    assert "Consensus of 2 readers by STAPLE" in found.StructureSetDescription
    assert latest in found.StructureSetDescription


def _check_foreign(loop: Pair, structure_set: Dataset) -> None:
    """Of other images, though filed in this study; and of another patient."""
    foreign = _foreign(structure_set)
    send_back(loop, foreign)
    _wait_looked_at(loop, "foreign")
    foreign.PatientID = "SOMEONE-ELSE"
    foreign.SOPInstanceUID = foreign.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    send_back(loop, foreign)
    loop.settle()
    assert _feedback(loop)["total"] == 2


def _foreign(structure_set: Dataset) -> Dataset:
    copy = pydicom.dcmread(_as_file(structure_set))
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    copy.SeriesInstanceUID = generate_uid()
    for frame in copy.ReferencedFrameOfReferenceSequence:
        frame.FrameOfReferenceUID = generate_uid()
        for study in frame.RTReferencedStudySequence:
            for series in study.RTReferencedSeriesSequence:
                series.SeriesInstanceUID = generate_uid()
                for image in series.ContourImageSequence:
                    image.ReferencedSOPInstanceUID = generate_uid()
    for roi in copy.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = copy.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID
    for item in copy.ROIContourSequence:
        for contour in item.get("ContourSequence", []):
            for image in contour.ContourImageSequence:
                image.ReferencedSOPInstanceUID = generate_uid()
    return copy


def _as_file(dataset: Dataset) -> BytesIO:
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    content.seek(0)
    return content
