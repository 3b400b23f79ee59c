"""The loop on real Orthancs: contours out, corrections back, kept once, learnt from behind clinical jobs."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid
from scipy.spatial import ConvexHull

from pipeline.audit import AuditTrail
from tests.orthanc.conftest import STABLE_AGE, Pair, make_pair, send, wait_for
from tests.unit.feedback_phantom import write_threshold_model

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


def _from_workstation(pair: Pair) -> tuple[str, Dataset]:
    """The structure set that arrived at the workstation: Orthanc's id there, and the dataset."""
    wait_for(lambda: bool(pair.workstation_structure_sets()), 60, "the structure set at the workstation")
    (identity,) = pair.workstation_structure_sets()
    with pair.workstation.client() as client:
        content = client.get(f"/instances/{identity}/file").raise_for_status().content
    return identity, pydicom.dcmread(BytesIO(content))


def _send_back(pair: Pair, dataset: Dataset) -> str:
    """Store a dataset at the workstation, as its user saves it, and send it to the node by C-STORE."""
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    with pair.workstation.client() as client:
        stored = client.post("/instances", content=content.getvalue()).raise_for_status().json()["ID"]
        client.post("/modalities/node/store", content=str(stored)).raise_for_status()
    return str(stored)


def grow(structure_set: Dataset, name: str, mm: float) -> None:
    """Move every contour of an ROI outwards, as a radiologist's margin does."""
    (number,) = [roi.ROINumber for roi in structure_set.StructureSetROISequence if roi.ROIName == name]
    for item in structure_set.ROIContourSequence:
        if item.ReferencedROINumber != number:
            continue
        for contour in item.ContourSequence:
            points = np.array([float(value) for value in contour.ContourData]).reshape(-1, 3)
            if not _round(points):
                continue
            centre = points.mean(axis=0)
            away = points - centre
            distance = np.linalg.norm(away, axis=1, keepdims=True)
            points = centre + away * (1 + mm / np.maximum(distance, mm))
            contour.ContourData = [f"{value:.3f}" for value in points.ravel()]


def _round(points: NDArray[np.float64]) -> bool:
    """Whether a contour is nearly convex: only then does moving it away from its middle grow it."""
    flat = points[:, :2]
    if len(flat) < 8:
        return False
    x, y = flat.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return bool(area > 0.9 * ConvexHull(flat).volume)


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


def test_corrections_come_back(loop: Pair, sample_study: Path, tmp_path: Path) -> None:
    """Echoed, edited in place, saved anew, sent twice, of another patient: each is taken for what it is."""
    study = send(loop, sample_study)
    job = loop.wait_job("done", "failed", "refused")
    assert job["state"] == "done", job["error"]
    stored, structure_set = _from_workstation(loop)
    assert loop.get(f"/glioloop/studies/{study}")["review"]["state"] == "sent"

    # Our own copy, echoed back.
    with loop.workstation.client() as client:
        client.post("/modalities/node/store", content=stored).raise_for_status()
    time.sleep(STABLE_AGE + 3)
    assert _feedback(loop)["total"] == 0

    # Edited in place: the same SOP Instance UID.
    grow(structure_set, "GTV_WT", GROWTH_MM)
    structure_set.ApprovalStatus = "APPROVED"
    structure_set.ReviewDate, structure_set.ReviewTime, structure_set.ReviewerName = "20260102", "101112", "Roe^Ann"
    with loop.workstation.client() as client:
        client.delete(f"/instances/{stored}").raise_for_status()
    _send_back(loop, structure_set)
    (case,) = _wait_cases(loop, 1)
    assert case["source_sop_instance_uid"] == job["result"]["rtstruct"]["sop_instance_uid"]
    assert (case["kind"], case["trusted"], case["model"]) == ("corrected", True, job["model"])
    trail = AuditTrail(loop.node.configuration.state_folder)
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
    assert case["regions"]["ET"]["added_ml"] == case["regions"]["ET"]["removed_ml"] == 0
    text = str(_feedback(loop))
    assert "Roe" not in text
    review = loop.get(f"/glioloop/studies/{study}")["review"]
    assert review["state"] == "corrected"

    # The same once more, by a restudy of the sender: kept once.
    _send_back(loop, structure_set)
    _wait_looked_at(loop, "known")
    assert _feedback(loop)["total"] == 1

    _check_partial(loop, structure_set, str(case["id"]))
    _check_foreign(loop, structure_set)

    points = loop.get("/glioloop/feedback/agreement")["points"]
    assert [one["region"] for one in points].count("WT") == 2
    with loop.node.client() as client:
        assert "glioloop_feedback_cases" in client.get("/glioloop/metrics").text
    deleted = loop.post(f"/glioloop/feedback/{case['id']}/delete", {"patient": True}).json()
    assert len(deleted["deleted"]) == 2
    assert _feedback(loop)["total"] == 0


def _check_partial(loop: Pair, structure_set: Dataset, case: str) -> None:
    """Saved anew with one ROI, by another name: a partial correction, the next version."""
    structure_set.SOPInstanceUID = structure_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    structure_set.SeriesInstanceUID = generate_uid()
    first = structure_set.StructureSetROISequence[0]
    first.ROIName = "Whole tumour edited"
    for keyword in ("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"):
        setattr(structure_set, keyword, getattr(structure_set, keyword)[:1])
    _send_back(loop, structure_set)
    newest = _wait_cases(loop, 2)[0]
    assert newest["id"] == case.replace("-v1", "-v2")
    assert [name for name, region in newest["regions"].items() if region["drawn"]] == ["WT"]


def _check_foreign(loop: Pair, structure_set: Dataset) -> None:
    """Of other images, though filed in this study; and of another patient."""
    foreign = _foreign(structure_set)
    _send_back(loop, foreign)
    _wait_looked_at(loop, "foreign")
    foreign.PatientID = "SOMEONE-ELSE"
    foreign.SOPInstanceUID = foreign.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    _send_back(loop, foreign)
    time.sleep(STABLE_AGE + 3)
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
