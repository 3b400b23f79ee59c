"""What may lack: only what the site allows and the network was measured without."""

from pathlib import Path

import pytest

from pipeline.case.identity import content_of
from pipeline.case.optional import optional_sequences
from pipeline.case.segment import segment_folder
from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError
from pipeline.jobs.request import JobRequest
from pipeline.jobs.workflows.segment import _reference
from pipeline.names import MRSequence
from pipeline.registry import Registry
from pipeline.settings import ROOT, Settings


def test_site_and_card_must_both_allow_it(tmp_path: Path) -> None:
    card = Registry(ROOT / "models", tmp_path, database_in(tmp_path)).get("gliounet").card
    assert optional_sequences(Settings(), card) == ()
    every = (MRSequence.T1, MRSequence.T2, MRSequence.FLAIR)
    assert optional_sequences(Settings(may_lack=every), card) == (MRSequence.T1, MRSequence.FLAIR)
    assert optional_sequences(Settings(may_lack=every), card.model_copy(update={"may_lack": ()})) == ()


def _request(**facts: object) -> JobRequest:
    needed = {"study": "s", "study_instance_uid": "1.2", "decision": {}, "instances": {"1.2.1": ["b"], "1.2.2": ["a"]}}
    return JobRequest.model_validate({**needed, "model": "net@1", "destinations": None, "origin": "stable", **facts})


def test_the_question_is_the_images_whichever_network_answers() -> None:
    earlier = _request()  # of a version that noted no content
    later = _request(model="net@2", origin="rescan", content=content_of(["a", "b"]))
    assert earlier.question == later.question
    others = {content_of(["a"]), content_of(["a", "b", "c"]), content_of(["a", "b"], "incomplete")}
    assert later.question not in others and len(others) == 3


def test_a_job_keeps_the_reference_it_was_asked_for_with() -> None:
    assert _reference(_request(reference="flair")) is MRSequence.FLAIR
    assert _reference(_request()) is Settings().reference


def test_the_limit_of_a_series_is_the_configured_one(
    sample_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIOLOOP_MOST_SERIES_MEGABYTES", "1")
    with pytest.raises(GlioLoopError, match=r"INPUT_TOO_LARGE.*at most 1"):
        segment_folder(sample_study, tmp_path, None, lambda _stage, _fraction: None)
