"""Command ``follow``: the course that is kept, in words and as JSON."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.archive.study import orthanc_patient_id
from pipeline.cli.application import app
from pipeline.course.records import LeftOut, Lesion, Link, Side, TimePoint
from pipeline.course.rows import points_of, rows_of, write
from pipeline.database.engine import database_in
from pipeline.names import Region

LESION = Lesion(
    tracking_uid="2.25.98765", region=Region.ET, side=Side.LEFT, volume_ml=4.0, long_axis_mm=20.0, short_axis_mm=15.0,
    slices=6, measurable=True, inside=(0.0, 0.0, 0.0),
)  # fmt: skip
FIRST = TimePoint(
    study="a", study_instance_uid="1.2.1", at=datetime(2026, 1, 5), model="a@1", source="automatic", made_from="x",
    volumes_ml={Region.ET: 4.0}, lesions=(LESION,),
)  # fmt: skip
SECOND = FIRST.model_copy(
    update={
        "study": "b", "study_instance_uid": "1.2.2", "at": datetime(2026, 4, 6), "before": "a", "aligned": True,
        "volumes_ml": {Region.ET: 9.0}, "lesions": (LESION.model_copy(update={"volume_ml": 9.0}),),
        "links": (Link(before="2.25.98765", after="2.25.98765"),), "left_out": (LeftOut(study="c", why="no date"),),
    }
)  # fmt: skip


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GLIOLOOP_STATE_FOLDER", str(tmp_path))
    monkeypatch.delenv("GLIOLOOP_SECTION", raising=False)
    write(database_in(tmp_path), orthanc_patient_id("P 1"), "person", [FIRST, SECOND])
    return tmp_path


def test_the_course_by_the_number_of_the_patient(kept: Path) -> None:
    shown = CliRunner().invoke(app, ["follow", "P 1"])
    assert shown.exit_code == 0, shown.output
    assert "previous (2026-01-05) +5.00 ml (+125 %)" in shown.output
    assert "ET …98765 left: 9.00 ml, 20 × 15 mm, +5.00 ml (+125 %)" in shown.output
    assert "PRIOR_LEFT_OUT" in shown.output
    answered = json.loads(CliRunner().invoke(app, ["follow", orthanc_patient_id("P 1"), "--json"]).output)
    assert [study["study"] for study in answered["studies"]] == ["a", "b"]
    nobody = CliRunner().invoke(app, ["follow", "P 2"])
    assert "nothing is kept" in nobody.output


def test_two_people_of_one_number_and_studies_that_are_gone(kept: Path) -> None:
    database, patient = database_in(kept), orthanc_patient_id("P 1")
    other = FIRST.model_copy(update={"study": "z", "study_instance_uid": "1.2.9", "at": datetime(2026, 9, 1)})
    write(database, patient, "somebody else", [other])
    assert [point.study for point in points_of(database, patient)] == ["z"]
    assert [point.study for point in points_of(database, patient, "1.2.1")] == ["a", "b"]
    assert [point.study for point in points_of(database, patient, "b", {"b"})] == ["b"]
    assert points_of(database, patient, "unknown") == []
    write(database, patient, "person", [SECOND])
    assert [row.point.study for row in rows_of(database, patient)] == ["b", "z"]
