"""Corrections as workstations of all kinds send them, all at once: each learnt as drawn, or refused with its reason."""

import copy
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from tests.orthanc.conftest import Pair, make_pair, send
from tests.orthanc.corrections import coarse_scan, from_workstation, grow, send_back
from tests.patience import wait_for, wait_while_moving
from tests.unit.corrections.phantom import write_threshold_model


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A node with a network made for the test, and a workstation."""
    write_threshold_model(tmp_path / "models", whole_tumour=2.0, core=2.0, brain=False)
    both = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"))
    with both.workstation, both.node:
        both.wait_ready()
        yield both


def test_corrections_of_all_kinds(pair: Pair, sample_study: Path, tmp_path: Path) -> None:
    scan = coarse_scan(sample_study, tmp_path / "patient", 1, "LOOP-1")
    study = send(pair, scan)
    job = pair.wait_job("done", "failed", "refused")
    assert job["state"] == "done", job["error"]
    _, ours = from_workstation(pair)
    automatic = {name.removeprefix("GTV_"): _roi(ours, name) for name in ("GTV_WT", "GTV_TC", "GTV_ET")}
    assert all(automatic[name].get("ContourSequence") for name in automatic), "the network found all three"

    objects = _corrections(ours)
    sent = {kind: send_back(pair, dataset) for kind, dataset in objects.items()}
    strange = _saved_anew(ours)
    strange.PatientID = "SOMEONE-ELSE"
    send_back(pair, strange)
    verdicts = _verdicts(pair, set(sent.values()))
    found = {kind: verdicts[instance] for kind, instance in sent.items()}
    _check_learnt(pair, found)
    _check_refused(found)
    _check_two_patients(pair, study, str(job["study"]))
    _check_transports(pair, objects["copy"], found["copy"]["case"])
    _check_images_that_come_back(pair, ours, scan)


def _check_transports(pair: Pair, dataset: Dataset, case: str) -> None:
    """Sent again over HTTP in another transfer syntax: the file is another one, the correction the same."""
    again = _read_again(dataset)
    again.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    content = BytesIO()
    again.save_as(content, enforce_file_format=True)
    with pair.node.client() as client:
        sent = client.post("/instances", content=content.getvalue())
        sent.raise_for_status()
    instance = sent.json()["ID"]
    _wait_verdict(pair, instance, "known", case)


def _check_images_that_come_back(pair: Pair, ours: Dataset, scan: Path) -> None:
    """Of images that were deleted: nothing is learnt, nothing lost; it is learnt when they are back."""
    with pair.node.client() as client:
        series = [one["ID"] for one in pair.get("/series?expand") if one["MainDicomTags"]["Modality"] == "MR"]
        client.delete(f"/series/{series[0]}").raise_for_status()
    late = _saved_anew(ours)
    grow(late, "GTV_WT", 3.0)
    instance = send_back(pair, late)
    _wait_verdict(pair, instance, "images_lacking", None)
    send(pair, scan)
    _wait_verdict(pair, instance, "corrected")


def _wait_verdict(pair: Pair, instance: str, verdict: str, case: str | None = "") -> None:
    def there() -> bool:
        found = [one for one in pair.get("/glioloop/feedback")["looked_at"] if one["instance"] == instance]
        return any(one["verdict"] == verdict and case in ("", one["case"]) for one in found)

    wait_for(there, 120, f"the verdict {verdict}")


def _check_learnt(pair: Pair, found: dict[str, dict[str, Any]]) -> None:
    regions = {}
    for kind in ("copy", "colours", "ET deleted", "WT deleted", "all deleted", "two lesions", "damaged TC"):
        assert found[kind]["verdict"] == "corrected", (kind, found[kind])
        regions[kind] = pair.get(f"/glioloop/feedback/{found[kind]['case']}")["regions"]
    assert "WT is GTV_WT_JS, not GTV_WT" in found["copy"]["detail"]
    for kind in ("copy", "colours", "damaged TC"):
        assert regions[kind]["WT"]["added_ml"] > 0.3, (kind, regions[kind])
    whole = regions["copy"]["WT"]["automatic_ml"]
    assert regions["copy"]["WT"]["corrected_ml"] == pytest.approx(regions["colours"]["WT"]["corrected_ml"], abs=0.01)
    assert [regions["ET deleted"][name]["corrected_ml"] for name in ("WT", "ET")] == pytest.approx([whole, 0], abs=0.01)
    for kind in ("WT deleted", "all deleted"):
        assert [one["corrected_ml"] for one in regions[kind].values()] == [0, 0, 0], kind
        assert "WT deleted: no whole tumour" in found[kind]["detail"]
    assert "as the network had drawn it, follows" in found["WT deleted"]["detail"]
    assert "GTV_ET_1 and GTV_ET_2 together" in found["two lesions"]["detail"]
    assert regions["two lesions"]["ET"]["corrected_ml"] > 0
    assert [name for name, one in regions["two lesions"].items() if one["drawn"]] == ["ET"]
    assert "TC left out" in found["damaged TC"]["detail"]
    assert "ContourData (3006,0050)" in found["damaged TC"]["detail"]
    assert not regions["damaged TC"]["TC"]["drawn"]


def _check_refused(found: dict[str, dict[str, Any]]) -> None:
    for kind, verdict, word in (
        ("no ROINumber", "unreadable", "ROINumber (3006,0022)"),
        ("no ReferencedROINumber", "unreadable", "ReferencedROINumber (3006,0084)"),
        ("a broken sequence", "unreadable", "ROIContourSequence (3006,0039)"),
        ("other names", "no_region", "Lesion"),
        ("two versions", "ambiguous", "GTV_WT_A and GTV_WT_B"),
    ):
        assert found[kind]["verdict"] == verdict, (kind, found[kind])
        assert word in found[kind]["detail"], (kind, found[kind])
        assert found[kind]["case"] is None


def _check_two_patients(pair: Pair, uid: str, orthanc_id: str) -> None:
    """Another patient's structure set under the same StudyInstanceUID is another study: the UID alone names neither."""
    with pair.node.client() as client:
        for path in (f"/glioloop/studies/{uid}", f"/glioloop/jobs?study={uid}", f"/glioloop/feedback?study={uid}"):
            answer = client.get(path)
            assert answer.status_code == httpx.codes.CONFLICT, path
            error = answer.json()["error"]
            assert error["code"] == "STUDY_AMBIGUOUS"
            assert orthanc_id in error["data"]["studies"]
        for path in (f"/glioloop/studies/{uid}/process", f"/glioloop/studies/{uid}/feedback"):
            assert client.post(path, json={}).status_code == httpx.codes.CONFLICT, path
    (other,) = set(error["data"]["studies"]) - {orthanc_id}
    assert pair.get(f"/glioloop/feedback?study={other}")["cases"] == []
    assert pair.get(f"/glioloop/feedback?study={orthanc_id}")["total"] > 0
    assert pair.get(f"/glioloop/jobs?study={orthanc_id}")[-1]["review"]["state"] == "corrected"


def _verdicts(pair: Pair, instances: set[str]) -> dict[str, dict[str, Any]]:
    """What was decided about each of some objects, once it was."""
    seen: dict[str, dict[str, Any]] = {}

    def look() -> bool:
        seen.update({one["instance"]: one for one in pair.get("/glioloop/feedback")["looked_at"]})
        return instances <= seen.keys()

    wait_while_moving(look, lambda: len(seen), 120, f"a verdict on each of {len(instances)} objects")
    return seen


def _corrections(ours: Dataset) -> dict[str, Dataset]:
    """A radiologist's work at many workstations, every object with UIDs of its own."""
    made = {
        kind: _saved_anew(ours)
        for kind in (
            "copy", "colours", "ET deleted", "WT deleted", "all deleted", "damaged TC", "no ROINumber",
            "no ReferencedROINumber", "a broken sequence", "other names", "two lesions", "two versions",
        )
    }  # fmt: skip
    _grown_copy(made["copy"])
    grow(made["colours"], "GTV_WT", 2.0)
    for item, value in zip(made["colours"].ROIContourSequence, ("red", "255\\0", "1.5\\2\\3"), strict=True):
        _put(item, "ROIDisplayColor", "LO", value)
    _delete(made["ET deleted"], "GTV_ET")
    del _roi(made["WT deleted"], "GTV_WT").ContourSequence
    for dataset in (made["WT deleted"], made["all deleted"]):
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = ours.SOPClassUID, ours.SOPInstanceUID
        dataset.PredecessorStructureSetSequence = [item]
    _delete(made["all deleted"], "GTV_WT", "GTV_TC", "GTV_ET")
    grow(made["damaged TC"], "GTV_WT", 2.0)
    _put(_roi(made["damaged TC"], "GTV_TC").ContourSequence[0], "ContourData", "LO", "1\\two\\3")
    for roi in made["no ROINumber"].StructureSetROISequence:
        del roi.ROINumber
    for item in made["no ReferencedROINumber"].ROIContourSequence:
        del item.ReferencedROINumber
    _put(made["a broken sequence"], "ROIContourSequence", "LO", "lost")
    for number, roi in enumerate(made["other names"].StructureSetROISequence):
        roi.ROIName = f"Lesion {number}"
    _put_circles(made["two lesions"], ("GTV_ET_1", (-12, 4)), ("GTV_ET_2", (12, 4)))
    _put_circles(made["two versions"], ("GTV_WT_A", (0, 12)), ("GTV_WT_B", (0, 10)))
    return made


def _read_again(dataset: Dataset) -> Dataset:
    """A copy read from bytes, which leaves a hundred thousand coordinates as they are."""
    content = BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    content.seek(0)
    return pydicom.dcmread(content)


def _saved_anew(dataset: Dataset) -> Dataset:
    """A copy with UIDs of its own."""
    anew = _read_again(dataset)
    anew.SOPInstanceUID = anew.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    anew.SeriesInstanceUID = generate_uid()
    anew.ApprovalStatus = "APPROVED"
    return anew


def _put(dataset: Dataset, keyword: str, vr: str, value: str) -> None:
    dataset[Tag(keyword)] = DataElement(Tag(keyword), vr, value)


def _roi(dataset: Dataset, name: str) -> Dataset:
    (number,) = [one.ROINumber for one in dataset.StructureSetROISequence if one.ROIName == name]
    contours: list[Dataset] = [one for one in dataset.ROIContourSequence if one.ReferencedROINumber == number]
    return contours[0]


def _delete(dataset: Dataset, *names: str) -> None:
    gone = {one.ROINumber for one in dataset.StructureSetROISequence if one.ROIName in names}
    dataset.StructureSetROISequence = [one for one in dataset.StructureSetROISequence if one.ROINumber not in gone]
    for keyword in ("ROIContourSequence", "RTROIObservationsSequence"):
        setattr(dataset, keyword, [one for one in dataset[keyword].value if one.ReferencedROINumber not in gone])


def _grown_copy(dataset: Dataset) -> None:
    """The untouched original, and beside it a copy that was grown."""
    original = _roi(dataset, "GTV_WT")
    untouched = Dataset()
    untouched.ContourSequence = _roi(_saved_anew(dataset), "GTV_WT").ContourSequence
    described = copy.deepcopy(dataset.StructureSetROISequence[0])
    grow(dataset, "GTV_WT", 2.0)
    original.ContourSequence, untouched.ContourSequence = untouched.ContourSequence, original.ContourSequence
    untouched.ReferencedROINumber = described.ROINumber = 9
    described.ROIName = "GTV_WT_JS"
    dataset.ROIContourSequence.append(untouched)
    dataset.StructureSetROISequence.append(described)


def _put_circles(dataset: Dataset, *rois: tuple[str, tuple[float, float]]) -> None:
    """A drawing that owes nothing to ours: discs, so many mm to the side of the tumour and so large."""
    contours = _roi(dataset, "GTV_WT").ContourSequence
    planes = {str(one.ContourImageSequence[0].ReferencedSOPInstanceUID): one for one in contours}
    middle = np.concatenate([np.array(one.ContourData, float).reshape(-1, 3) for one in contours]).mean(axis=0)
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    described, drawn = [], []
    for number, (name, (aside, radius)) in enumerate(rois, 1):
        roi = copy.deepcopy(dataset.StructureSetROISequence[0])
        roi.ROINumber, roi.ROIName, roi.ROIGenerationAlgorithm = number, name, "MANUAL"
        item = Dataset()
        item.ReferencedROINumber, item.ContourSequence = number, []
        for plane in planes.values():
            contour = Dataset()
            contour.ContourGeometricType, contour.ContourImageSequence = "CLOSED_PLANAR", plane.ContourImageSequence
            height = float(plane.ContourData[2])
            points = [
                (middle[0] + aside + radius * np.cos(turn), middle[1] + radius * np.sin(turn), height) for turn in turns
            ]
            contour.ContourData = [f"{value:.3f}" for point in points for value in point]
            contour.NumberOfContourPoints = len(points)
            item.ContourSequence.append(contour)
        described.append(roi)
        drawn.append(item)
    dataset.StructureSetROISequence, dataset.ROIContourSequence = described, drawn
    del dataset.RTROIObservationsSequence
    dataset.Manufacturer = "ACME"
    del dataset.ContributingEquipmentSequence
