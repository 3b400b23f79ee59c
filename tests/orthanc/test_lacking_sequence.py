"""A study without its T1 where that may lack: done and flagged, corrected, and taken up anew when the T1 arrives."""

from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom

from pipeline.archive.client import HttpArchive
from pipeline.archive.study import find_study
from pipeline.database.engine import database_in
from pipeline.errors import REASONS
from pipeline.evaluation.cases import find_cases
from pipeline.jobs.preparation import prepare
from pipeline.jobs.request import ProcessOptions
from pipeline.names import MRSequence
from pipeline.registry import Registry
from pipeline.settings import Settings
from tests.orthanc.conftest import Pair, copy_study, make_pair, send
from tests.orthanc.corrections import from_workstation, grow, send_back
from tests.patience import wait_for

MESSAGE = REASONS["SEQUENCE_LACKING"].message


def test_done_without_t1_and_anew_with_it(small_study: Path, tmp_path: Path) -> None:
    study = copy_study(small_study, tmp_path / "study", "t1", "t1c", "t2", "flair")
    (study / "t1").rename(tmp_path / "later")
    pair = make_pair(tmp_path / "pair", MayLack=["t1"])
    with pair.workstation, pair.node:
        pair.wait_ready()
        uid = send(pair, study)
        # On a slow machine T2 may come after the grace time, too: refused first, done then.
        job = pair.wait_job("done", "failed", study=uid)
        assert job["state"] == "done", job["error"]
        assert (job["origin"], job["sequences"]) == ("grace", ["flair", "t1c", "t2"])
        (flag,) = [one for one in job["result"]["flags"] if one["code"] == "SEQUENCE_LACKING"]
        assert flag["detail"] == "Missing: t1."
        assert job["result"]["volumes_ml"]["WT"] > 1
        _check_objects(pair, job["result"]["objects"])
        _check_dashboard(pair, job["id"])
        _check_identity(pair, uid, job["id"])
        _correct(pair)
        # The T1 arrives: all four are taken, as of any study that changed.
        send(pair, tmp_path / "later")
        wait_for(lambda: len(_latest(pair, uid)["sequences"]) == len(MRSequence), 60, "a job for the whole study")


def _latest(pair: Pair, study: str) -> dict[str, Any]:
    latest: dict[str, Any] = pair.get(f"/glioloop/jobs?study={study}")[0]
    return latest


def _check_objects(pair: Pair, objects: dict[str, dict[str, str]]) -> None:
    """Structure set and report say it in the radiologist's words."""
    _, structure_set = from_workstation(pair)
    assert MESSAGE in structure_set.StructureSetDescription
    with pair.node.client() as client:
        (found,) = client.post("/tools/lookup", content=objects["sr"]["sop_instance_uid"]).json()
        report = pydicom.dcmread(BytesIO(client.get(f"/instances/{found['ID']}/file").raise_for_status().content))
    assert f"{MESSAGE} Missing: t1." in {one.value for one in report.iterall() if one.keyword == "TextValue"}


def _check_dashboard(pair: Pair, job: str) -> None:
    assert pair.get(f"/glioloop/jobs/{job}/contours")["sequences"] == ["t1c", "t2", "flair"]
    with pair.node.client() as client:
        assert client.get(f"/glioloop/jobs/{job}/slices/t2.jpg").status_code == 200
        assert client.get(f"/glioloop/jobs/{job}/slices/t1.jpg").status_code == 404


def _check_identity(pair: Pair, study: str, job: str) -> None:
    """The same three series are one job where T1 may lack, and another where they are refused for want of it."""
    node = pair.node.configuration
    found = {}
    for may_lack in ((), (MRSequence.T1,)):
        settings = Settings(
            orthanc_url=node.url, orthanc_user=node.user, orthanc_password=node.password, may_lack=may_lack
        )
        archive = HttpArchive(settings)
        card = Registry(settings.models_folder, node.state_folder, database_in(node.state_folder)).get(None).card
        prepared = prepare(archive, settings, find_study(archive, study), ProcessOptions(), card, "stable")
        found[prepared.identity] = may_lack
    assert found[job] == (MRSequence.T1,)
    assert len(found) == 2


def _correct(pair: Pair) -> None:
    """A correction becomes a case of the three sequences."""
    stored, structure_set = from_workstation(pair)
    grow(structure_set, "GTV_WT", 2.0)
    with pair.workstation.client() as client:
        client.delete(f"/instances/{stored}").raise_for_status()
    send_back(pair, structure_set)
    wait_for(lambda: pair.get("/glioloop/feedback")["total"] == 1, 60, "the correction")
    (case,) = find_cases(pair.node.configuration.state_folder / "feedback" / "cases")
    assert set(case.files) == {MRSequence.T1C, MRSequence.T2, MRSequence.FLAIR}
