"""A patient's course on real Orthancs: studies of other dates, one corrected, one deleted."""

import contextlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from pipeline.archive.client import HttpArchive
from pipeline.course import rows
from pipeline.course.candidate import Candidate
from pipeline.course.follow import Course
from pipeline.database.engine import database_of
from pipeline.jobs.queue import JobQueue
from pipeline.settings import load_settings
from tests.orthanc.conftest import Pair, copy_study, make_pair, send
from tests.orthanc.corrections import fetch, grow, send_back
from tests.patience import wait_for
from tests.unit.corrections.phantom import write_threshold_model

SEQUENCES = ("t1", "t1c", "t2", "flair")
OLD, NEW = "1.0.0", "2.0.0"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Pair]:
    """A node with a network made for the test, and a workstation that gets objects alone."""
    for version in (OLD, NEW):
        write_threshold_model(tmp_path / "models", whole_tumour=2.0, core=2.0, brain=False, version=version)
    pair = make_pair(tmp_path, ModelsFolder=str(tmp_path / "models"))
    with pair.workstation, pair.node:
        pair.wait_ready()
        yield pair


def scanned(source: Path, target: Path, date: str) -> Path:
    """The study as it is scanned on another day, in another frame of reference."""
    copy_study(source, target, *SEQUENCES)
    frame = generate_uid()
    for path in target.glob("*/*"):
        dataset = pydicom.dcmread(path)
        dataset.StudyDate = dataset.SeriesDate = date
        dataset.FrameOfReferenceUID = frame
        dataset.save_as(path, enforce_file_format=True)
    return target


def course(pair: Pair) -> dict[str, Any]:
    (patient,) = pair.get("/patients")
    found: dict[str, Any] = pair.get(f"/glioloop/patients/{patient}/course")
    return found


def wait_course(pair: Pair, which: Any, what: str) -> list[dict[str, Any]]:
    wait_for(lambda: which(course(pair)["studies"]), 120, lambda: f"{what}; {course(pair)}")
    return list(course(pair)["studies"])


def sources(pair: Pair, modality: str) -> list[Dataset]:
    with pair.workstation.client() as client:
        query = {"Level": "Instance", "Query": {"Modality": modality}}
        found = client.post("/tools/find", json=query).raise_for_status().json()
        return [pydicom.dcmread(BytesIO(client.get(f"/instances/{one}/file").content)) for one in found]


def test_the_course_of_a_patient(node: Pair, small_study: Path, tmp_path: Path) -> None:
    assert node.post(f"/glioloop/models/threshold/{OLD}/promote").is_success
    first = send(node, scanned(small_study, tmp_path / "first", "20260105"))
    node.wait_job("done", study=first)
    assert course(node)["studies"] == []
    assert node.post(f"/glioloop/models/threshold/{NEW}/promote").is_success
    second = send(node, scanned(small_study, tmp_path / "second", "20260406"))
    node.wait_job("done", study=second)

    # What another network had drawn is drawn again, and sent to nobody.
    def by_one_network(studies: list[dict[str, Any]]) -> bool:
        return [study["model"] for study in studies] == [f"threshold@{NEW}"] * 2

    one, other = wait_course(node, by_one_network, "two studies by the present network")
    assert len(node.workstation_structure_sets()) == 2
    assert [one["study_instance_uid"], other["study_instance_uid"]] == [first, second]
    assert [one["at"][:10], other["at"][:10]] == ["2026-01-05", "2026-04-06"]
    assert (one["aligned"], other["aligned"]) == (None, True)
    assert one["regions"]["WT"]["volume_changes"] == []
    assert [change["against"] for change in other["regions"]["WT"]["volume_changes"]] == ["previous", "nadir", "first"]
    assert all(change["repeats"] for change in other["regions"]["WT"]["volume_changes"])
    uids = [{lesion["tracking_uid"] for lesion in study["lesions"]} for study in (one, other)]
    assert uids[0]
    assert uids[0] == uids[1]
    assert other["events"] == other["flags"] == []
    check_objects(node, second)
    check_pictures(node)

    told_again_after_a_death(node)

    # A correction makes it anew, with the tracking UIDs that were given.
    structure_set = next(
        found
        for found in (fetch(node, one) for one in node.workstation_structure_sets())
        if second == found.StudyInstanceUID
    )
    grow(structure_set, "GTV_WT", 2.0)
    structure_set.ApprovalStatus = "APPROVED"
    structure_set.ReviewDate, structure_set.ReviewTime, structure_set.ReviewerName = "20260407", "101112", "Roe^Ann"
    structure_set.SOPInstanceUID = structure_set.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    structure_set.SeriesInstanceUID = generate_uid()
    send_back(node, structure_set)
    _, grown = wait_course(node, lambda studies: studies[-1]["source"] == "corrected", "the correction in the course")
    assert grown["regions"]["WT"]["volume_changes"][0]["difference"] > 0.5
    kept = {lesion["tracking_uid"] for lesion in grown["lesions"] if lesion["region"] == "WT"}
    assert kept & uids[1]

    # What is deleted is in no course.
    with node.node.client() as client:
        (found,) = [one for one in client.post("/tools/lookup", content=first).json() if one["Type"] == "Study"]
        client.delete(f"/studies/{found['ID']}").raise_for_status()
    (left,) = course(node)["studies"]
    assert left["regions"]["WT"]["volume_changes"] == []


def told_again_after_a_death(pair: Pair) -> None:
    """What a worker stored, and died before it told of it, is what the next one sends."""
    state = pair.node.configuration.state_folder
    user, password = pair.node.configuration.user, pair.node.configuration.password
    server = {"OrthancUrl": pair.node.url, "OrthancUser": user, "OrthancPassword": password}
    settings = load_settings({"StateFolder": str(state), **server})
    (patient,) = pair.get("/patients")
    with contextlib.closing(JobQueue(settings.queue_database_url)) as queue:
        engine = database_of(settings)
        candidates = []
        for study in {job.study for job in queue.jobs()}:
            requests = {job.id: request for job in queue.jobs(study) if (request := queue.request(job.id))}
            candidates.append(Candidate(study, queue.jobs(study), requests))
        row = rows.points_of(engine, patient)[-1]
        assert row.unsent == ()
        (person,) = {one.person for one in rows.rows_of(engine, patient)}
        points = rows.points_of(engine, patient)
        rows.write(engine, patient, person, [*points[:-1], row.model_copy(update={"objects": {}})])
        made = [Course(HttpArchive(settings), settings, engine, patient).follow(row.study, candidates) for _ in "12"]
        assert made[0].stored.keys() == {row.study}
        assert made[0].stored == made[1].stored
        rows.sent(engine, row.study, made[0].stored[row.study])
        assert not Course(HttpArchive(settings), settings, engine, patient).follow(row.study, candidates).stored


def check_pictures(pair: Pair) -> None:
    """The dashboard shows both on the slices of the newer one."""
    one, other = course(pair)["studies"]
    content = pair.get(f"/glioloop/studies/{other['study']}/beside")
    assert content["own"]["before"].keys() == content["own"]["now"].keys() != set()
    with pair.node.client() as client:
        for name in ("before", "now"):
            answer = client.get(f"/glioloop/studies/{other['study']}/beside/{name}.jpg").raise_for_status()
            assert answer.headers["content-type"] == "image/jpeg"
        assert client.get(f"/glioloop/studies/{one['study']}/beside").status_code == 404


def check_objects(pair: Pair, study: str) -> None:
    """Report and registration of the second study reached the workstation, and say whose lesions are whose."""
    wait_for(lambda: bool(sources(pair, "REG")), 60, "the registration at the workstation")
    (registration, *_) = sources(pair, "REG")
    (page, *_) = sources(pair, "DOC")
    assert page.StudyInstanceUID == study
    assert page.EncapsulatedDocument.startswith(b"%PDF")
    assert registration.StudyInstanceUID == study
    (report, *_) = [one for one in sources(pair, "SR") if "course" in one.SeriesDescription]
    content = highdicom.sr.ComprehensiveSR.from_dataset(report).content
    assert isinstance(content, highdicom.sr.MeasurementReport)
    for lesion in course(pair)["studies"][-1]["lesions"][:2]:
        (group,) = content.get_volumetric_roi_measurement_groups(tracking_uid=lesion["tracking_uid"])
        volume = next(one for one in group.get_measurements() if one.name.meaning == "Volume")
        assert volume.value == pytest.approx(lesion["volume_ml"])
