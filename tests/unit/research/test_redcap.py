"""The table of a run and its data dictionary, by the rules that REDCap documents for both."""

import re
from datetime import date, timedelta

import pytest

from pipeline.archive.orthanc import StudyRecord
from pipeline.case.job import JobView
from pipeline.case.outcomes import SegmentationResult, SizeOutcome
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.errors import Flag, GlioLoopError
from pipeline.errors.records import ErrorRecord, FlagRecord
from pipeline.names import JobState, Region
from pipeline.research import redcap
from pipeline.research.archive_run import Asked
from pipeline.research.table import Column, columns, rows

PSEUDONYMS = Pseudonyms(b"secret")
#: By REDCap's help, each with the type of field it is for.
VALIDATIONS = {"": None, "date_ymd": re.compile(r"\d{4}-\d\d-\d\d"), "number": re.compile(r"-?\d+(\.\d+)?")}


def _study(identity: str, day: str = "20260131") -> StudyRecord:
    tags = {"StudyInstanceUID": f"1.2.{identity}", "StudyDate": day}
    person = {"PatientID": "4711", "PatientName": "Doe^Jane"}
    return StudyRecord.model_validate(
        {"ID": identity, "IsStable": True, "MainDicomTags": tags, "PatientMainDicomTags": person}
    )


def _asked() -> list[Asked]:
    result = SegmentationResult(
        model="gliounet@1",
        flags=(FlagRecord.of(Flag("LARGE_MOTION")), FlagRecord.of(Flag("TUMOUR_AT_EDGE"))),
        volumes_ml={Region.WT: 30.1234, Region.TC: 0.0},
        sizes={Region.WT: SizeOutcome(volume_ml=30.1234, diameter_mm=61.26)},
    )
    done = JobView(id="a" * 32, state=JobState.DONE, timings_s={"load": 1.5, "infer": 10.0}, result=result)
    refusal = ErrorRecord.of(GlioLoopError("SEQUENCE_MISSING", "t2"))
    gone = ErrorRecord.of(GlioLoopError("JOB_UNKNOWN"))
    return [
        Asked(_study("1"), job=done),
        Asked(_study("2", "20260301"), error=refusal),
        Asked(_study("3"), error=gone),
        Asked(_study("4", "")),
    ]


@pytest.fixture(params=[None, PSEUDONYMS], ids=["identifiers", "pseudonyms"])
def wanted(request: pytest.FixtureRequest) -> tuple[Column, ...]:
    return columns(request.param)


def test_the_dictionary_keeps_the_rules(wanted: tuple[Column, ...]) -> None:
    fields = [dict(zip(redcap.DICTIONARY_HEAD, one, strict=True)) for one in redcap.dictionary(wanted)]
    assert len(redcap.DICTIONARY_HEAD) == 18
    assert fields[0]["Variable / Field Name"] == "record_id" and fields[0]["Field Type"] == "text"
    names = [one["Variable / Field Name"] for one in fields]
    assert len(set(names)) == len(names)
    for one in fields:
        assert re.fullmatch(r"[a-z][a-z0-9_]{0,25}", one["Variable / Field Name"])
        assert "__" not in one["Variable / Field Name"] and not one["Variable / Field Name"].endswith("_")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", one["Form Name"])
        assert one["Field Label"] and one["Identifier?"] in ("", "y")
        assert one["Text Validation Type OR Show Slider Number"] in VALIDATIONS
        choices = one["Choices, Calculations, OR Slider Labels"]
        assert bool(choices) == (one["Field Type"] in ("dropdown", "checkbox"))
        for choice in choices.split(" | ") if choices else []:
            assert re.fullmatch(r"[a-z0-9_]+, .+", choice) and "|" not in choice


def test_the_table_fits_the_dictionary(wanted: tuple[Column, ...]) -> None:
    fields = [dict(zip(redcap.DICTIONARY_HEAD, one, strict=True)) for one in redcap.dictionary(wanted)]
    head = redcap.head(wanted)
    expected: dict[str, dict[str, str]] = {}
    for one in fields:
        name = one["Variable / Field Name"]
        codes = [part.partition(",")[0] for part in one["Choices, Calculations, OR Slider Labels"].split(" | ")]
        boxes = one["Field Type"] == "checkbox"
        expected |= {f"{name}___{code}": one for code in codes} if boxes else {name: one}
    assert head == list(expected)
    table = [dict(zip(head, redcap.row(one, wanted), strict=True)) for one in _asked()]
    assert len({one["record_id"] for one in table}) == len(table)
    for cells in table:
        for name, cell in cells.items():
            field = expected[name]
            pattern = VALIDATIONS[field["Text Validation Type OR Show Slider Number"]]
            if field["Field Type"] == "checkbox":
                assert cell in ("0", "1", "")
            elif field["Field Type"] == "dropdown" and cell:
                assert f"{cell}, " in field["Choices, Calculations, OR Slider Labels"]
            elif pattern and cell:
                assert pattern.fullmatch(cell)
    ticked = {name for name, cell in table[0].items() if "___" in name and cell == "1"}
    assert ticked == {"flags___large_motion", "flags___tumour_at_edge"}
    assert [one["state"] for one in table] == ["done", "refused", "forgotten", ""]
    assert table[1]["reason"] == "SEQUENCE_MISSING" and table[1]["flags___large_motion"] == ""


def test_a_row_tells_what_came_of_a_study() -> None:
    wanted = columns(PSEUDONYMS)
    done = dict(zip([one.name for one in wanted], rows(_asked(), wanted)[0], strict=True))
    assert (done["whole_tumour_ml"], done["tumour_core_ml"], done["enhancing_ml"]) == ("30.123", "0.000", "")
    assert (done["whole_tumour_diameter_mm"], done["seconds"]) == ("61.3", "11.5")
    assert done["flags"] == "LARGE_MOTION TUMOUR_AT_EDGE"


def test_pseudonyms_tell_nothing_and_keep_the_time_between_studies() -> None:
    wanted = columns(PSEUDONYMS)
    table = [dict(zip([one.name for one in wanted], cells, strict=True)) for cells in rows(_asked(), wanted)]
    text = str(table)
    assert not any(secret in text for secret in ("a" * 32, "4711", "Doe", "1.2.1", "2026-01-31", "2026-03-01"))
    first, second = (date.fromisoformat(one["study_date"]) for one in table[:2])
    assert second - first == timedelta(days=29) and first < date(2026, 1, 31)
    assert table[3]["study_date"] == ""
    assert {one["patient"] for one in table} == {PSEUDONYMS.patient("4711")}
    identified = columns(None)
    assert [one.identifier for one in identified[:7]] == [True] * 7
    assert "Doe^Jane" in rows(_asked(), identified)[0]
