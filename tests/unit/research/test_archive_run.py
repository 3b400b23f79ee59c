"""A run over the archive: every study asked for once, few at a time, whatever becomes of each."""

from collections.abc import Mapping

import pytest

from pipeline.archive.orthanc import StudyRecord
from pipeline.case.job import JobView
from pipeline.errors import GlioLoopError
from pipeline.names import TEST_PATIENT_ID, JobState
from pipeline.research import archive_run
from pipeline.research.archive_run import ArchiveQuery, ArchiveRun, find_studies


class _Node:
    """Answers as the node's routes do: jobs end the second time they are looked at."""

    def __init__(self, *errors: GlioLoopError | None) -> None:
        self.errors = list(errors)
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self.looks: dict[str, int] = {}
        self.most_open = 0

    def studies(self, wanted: Mapping[str, str]) -> tuple[StudyRecord, ...]:
        assert wanted == {"ModalitiesInStudy": "MR"}
        found = [("b", "20260102", "P"), ("t", "20260101", TEST_PATIENT_ID), ("a", "20260101", "P")]
        return tuple(_study(*one) for one in found)

    def process(self, study: str, body: Mapping[str, object]) -> JobView:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.asked.append((study, body))
        self.looks[study] = 0
        self.most_open = max(self.most_open, sum(count < 2 for count in self.looks.values()))
        return JobView(id=study, state=JobState.QUEUED)

    def job(self, identity: str) -> JobView:
        self.looks[identity] += 1
        if identity == "gone":
            raise GlioLoopError("JOB_UNKNOWN")
        return JobView(id=identity, state=JobState.DONE if self.looks[identity] > 1 else JobState.RUNNING)


def _study(identity: str, day: str = "20260101", patient: str = "P") -> StudyRecord:
    tags, person = {"StudyDate": day}, {"PatientID": patient}
    return StudyRecord.model_validate(
        {"ID": identity, "IsStable": True, "MainDicomTags": tags, "PatientMainDicomTags": person}
    )


def _run(node: _Node, *studies: str) -> ArchiveRun:
    run = ArchiveRun.of(node, map(_study, studies))
    run.poll_seconds, run.ahead = 0.0, 2
    return run


def test_studies_are_found_oldest_first_and_without_the_nodes_own() -> None:
    assert [one.id for one in find_studies(_Node(), ArchiveQuery())] == ["a", "b"]


def test_every_study_is_asked_for_behind_all_others_and_few_are_open() -> None:
    node, told = _Node(), list[tuple[int, int]]()
    run = _run(node, *"abcde")
    run.run(lambda ended, done: told.append((ended, done)))
    assert [study for study, _ in node.asked] == list("abcde") and node.most_open == 2
    usual = {"background": True, "known": True, "quiet": True, "destinations": [], "priority": 5000}
    assert all(body == usual for _, body in node.asked)
    assert {one.state for one in run.asked} == {"done"} and told[-1] == (5, 5) and told == sorted(told)


def test_what_is_wrong_with_a_study_is_its_own_affair() -> None:
    node = _Node(GlioLoopError("SEQUENCE_MISSING"), GlioLoopError("IMAGE_WITHHELD"), GlioLoopError("STUDY_UNKNOWN"))
    run = _run(node, "a", "b", "c", "gone", "e")
    run.run(lambda ended, done: None)
    assert [one.state for one in run.asked] == ["refused", "failed", "refused", "forgotten", "done"]
    assert [one.reason for one in run.asked][:3] == ["SEQUENCE_MISSING", "IMAGE_WITHHELD", "STUDY_UNKNOWN"]


@pytest.mark.parametrize("code", ["MODEL_UNKNOWN", "ROLE_MISSING", "DESTINATION_UNKNOWN", "INTERNAL"])
def test_what_is_wrong_with_the_run_ends_it(code: str) -> None:
    run = _run(_Node(None, GlioLoopError(code)), "a", "b", "c")
    with pytest.raises(GlioLoopError, match=code):
        run.run(lambda ended, done: None)
    assert [one.state for one in run.asked] == ["queued", "", ""]


def test_a_node_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_run, "_AGAIN_SECONDS", 0.0)
    node = _Node(GlioLoopError("ORTHANC_UNREACHABLE"), GlioLoopError("NODE_STARTING"))
    run = _run(node, "a")
    run.run(lambda ended, done: None)
    assert [one.state for one in run.asked] == ["done"]
    monkeypatch.setattr(archive_run, "_AWAY_SECONDS", -1.0)
    with pytest.raises(GlioLoopError, match="NODE_STARTING"):
        _run(_Node(GlioLoopError("NODE_STARTING")), "a").run(lambda ended, done: None)
