"""What DBOS recorded comes back typed, also where an earlier version of the product wrote it."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dbos import DBOS, SetWorkflowID

from pipeline.case.outcomes import Identified, JobOutput, Loaded, SegmentationResult, Written, told
from pipeline.corrections.record import CaseRecord
from pipeline.errors import Flag, GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.identify import identify, study_from_files
from pipeline.jobs.notifications import Telling
from pipeline.jobs.request import DeliveryTry, JobRequest, Undecided
from pipeline.jobs.serializer import JsonSerializer
from pipeline.jobs.workflows.steps import step
from pipeline.names import JobState, MRSequence, Region
from pipeline.records import StoredRecord

#: As the version before typed outcomes recorded its steps and the end of a job.
_FLAG = {"code": "LARGE_MOTION", "message": "words of then", "detail": "t2: 12 mm", "hint": "a hint of then"}
_IDENTIFIED = {"created": "2026-05-04T10:11:12.123456+00:00", "flags": [_FLAG], "seconds": 0.012}
_WRITTEN = {
    "objects": {"rtstruct": {"sop_instance_uid": "1.2.3", "series_instance_uid": "1.2"}},
    "sizes": {
        "WT": {
            "volume_ml": 52.61,
            "diameter_mm": 61.2,
            "long_axis_mm": 58.0,
            "short_axis_mm": 40.1,
            "slice_index": 11,
        }
    },
    "rois": [{"name": "GTV_WT", "contours": 17}],
    "seconds": 6.0,
}
_RESULT = {
    "model": "gliounet@0.3.0",
    "reference": "t1c",
    "flags": [_FLAG],
    "created": _IDENTIFIED["created"],
    "volumes": {"t1c": {"size": [256, 256, 24], "spacing_mm": [0.9, 0.9, 6.0]}},
    "alignment": {"t2": {"rotation_deg": 1.5, "displacement_mm": 2.0, "metric": 0.4, "overlap": 1.0}},
    "brain_ml": 1300.1,
    "uncertainty": 0.05,
    "provider": "CPUExecutionProvider",
    "volumes_ml": {"WT": 52.6, "TC": 33.6, "ET": 15.9},
    "objects": _WRITTEN["objects"],
    "sizes": _WRITTEN["sizes"],
    "rois": _WRITTEN["rois"],
    "stored": {"rtstruct": "abc"},
    "rtstruct": {"sop_instance_uid": "1.2.3", "series_instance_uid": "1.2", "rois": _WRITTEN["rois"]},
    "tumour_found": True,
    "of_another_version": {"kept": True},
}


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (Identified, _IDENTIFIED),
        (Written, _WRITTEN),
        (SegmentationResult, _RESULT),
        (JobOutput, {"state": "done", "result": _RESULT, "timings_s": {"identify": 0.01}}),
        (JobOutput, {"state": "refused", "error": GlioLoopError("NO_MR").as_json(), "timings_s": {}}),
        (JobOutput, {"result": {}}),
    ],
)
def test_rows_of_earlier_versions_are_read_and_shown_as_they_were(
    record: type[SegmentationResult | JobOutput], row: dict[str, object]
) -> None:
    serializer = JsonSerializer()
    found = record.model_validate(serializer.deserialize(json.dumps(row)))
    assert found.as_json() == row
    assert json.loads(serializer.serialize(found)) == row


def test_what_the_rows_say() -> None:
    output = JobOutput.model_validate({"state": "done", "result": _RESULT})
    assert output.state is JobState.DONE and output.result is not None
    assert output.result.volumes_ml[Region.WT] == 52.6
    assert output.result.reference is MRSequence.T1C
    assert output.result.created == datetime(2026, 5, 4, 10, 11, 12, 123456, tzinfo=UTC)


def test_an_identification_travels_with_outcome_and_request(sample_study: Path) -> None:
    decision = identify(study_from_files(sorted(sample_study.rglob("*.dcm"))).headers)
    serializer = JsonSerializer()
    loaded = Loaded.model_validate(serializer.deserialize(serializer.serialize(Loaded(identification=decision))))
    assert loaded.identification == decision
    facts = {"study": "s", "study_instance_uid": "1.2", "instances": {}, "model": "m@1", "destinations": None}
    request = JobRequest.model_validate({**facts, "origin": "rest", "decision": decision.as_json()})
    assert request.identification == decision
    assert JobRequest.model_validate(request.model_dump(mode="json")) == request
    refused = JobRequest.model_validate(
        {**facts, "origin": "rest", "decision": {"error": GlioLoopError("NO_MR", "x").as_json()}}
    )
    assert isinstance(refused.decision, Undecided)
    with pytest.raises(GlioLoopError, match="NO_MR"):
        _ = refused.identification


_REQUEST: dict[str, object] = {"study": "s", "study_instance_uid": "1.2", "instances": {}, "model": "m@1"}
_REFUSED = {"destinations": None, "origin": "rest", "decision": {"error": GlioLoopError("NO_MR").as_json()}}
_DIFFERENCE = {"dice": 0.9, "hd95_mm": 2.0, "own_ml": 3.0, "other_ml": 4.0, "of_a_later_version": 1}
_CHANGE = {"added_ml": 1, "removed_ml": 0, "automatic_ml": 5, "corrected_ml": 6, "drawn": True}
_CASE: dict[str, object] = {
    **dict.fromkeys(("id", "patient", "study", "received", "model", "job", "source_hash", "fingerprint"), "x"),
    "kind": "corrected",
    "trusted": True,
    "agreement": [{"other": "y", "regions": {"WT": _DIFFERENCE}, "of_a_later_version": 1}],
    "source_kind": "seg",
    "source_sop_instance_uid": "1.2",
    "regions": {"WT": {"dice": 0.9, "hd95_mm": None, **_CHANGE, "of_a_later_version": 1}},
    "spacing_mm": [1, 1, 1],
}
_TELLING = {"channel": "c", "notice": {"event": "failed", "key": "k", "at": "2026-01-02T00:00:00"}}


@pytest.mark.parametrize(
    ("record", "row"),
    [
        (CaseRecord, _CASE),
        (JobRequest, _REQUEST | _REFUSED),
        (DeliveryTry, {"job": "j", "destination": "d", "resources": ["a"]}),
        (Telling, _TELLING),
    ],
)
def test_rows_of_a_later_version_are_read_and_lose_nothing(record: type[StoredRecord], row: dict[str, object]) -> None:
    """Hosts are upgraded one after the other: what an upgraded one keeps, the others list and keep, too."""
    later = row | {"of_a_later_version": {"kept": [1, 2]}}
    found = record.model_validate_json(record.model_validate(later).model_dump_json())
    assert found.as_json()["of_a_later_version"] == {"kept": [1, 2]}
    assert found.model_dump_json().count("of_a_later_version") == json.dumps(later).count("of_a_later_version")


def test_errors_of_another_version_keep_their_words() -> None:
    stored = ErrorRecord.model_validate({"code": "NOT_KNOWN_HERE", "message": "of then", "detail": "d", "hint": "h"})
    assert stored.as_json()["message"] == "of then"
    assert stored.error.code == "INTERNAL"


@dataclass(frozen=True)
class _Pair:
    one: MRSequence
    two: tuple[int, ...]


_BEGUN: list[str] = []


@step("of-a-record")
def _record() -> Identified:
    _BEGUN.append("record")
    return Identified(created=datetime(2026, 1, 2, tzinfo=UTC), flags=told([Flag("LARGE_MOTION", "t2")]))


@step("of-a-dataclass")
def _dataclass() -> _Pair:
    return _Pair(MRSequence.T2, (1, 2))


@DBOS.workflow()
def _both() -> JobOutput:
    first, second = _record(), _dataclass()
    assert isinstance(first, Identified) and isinstance(second, _Pair)
    return JobOutput(timings_s={"a": float(len(first.flags)), "b": float(second.two[1])})


def test_a_workflow_that_is_recovered_gets_what_its_steps_return(tmp_path: Path) -> None:
    """The second run finds both rows, and calls no step again."""
    DBOS(
        config={
            "name": "test",
            "system_database_url": f"sqlite:///{tmp_path / 'q.sqlite'}",
            "serializer": JsonSerializer(),
            "run_admin_server": False,
        }
    )
    DBOS.launch()
    try:
        with SetWorkflowID("one"):
            first = DBOS.start_workflow(_both).get_result()
        forked = DBOS.fork_workflow("one", 3)
        again = forked.get_result()
    finally:
        DBOS.destroy()
    assert JobOutput.model_validate(again) == JobOutput.model_validate(first)
    assert _BEGUN == ["record"]
