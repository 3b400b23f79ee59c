"""Results that are accepted or sent back without drawing."""

from pathlib import Path

import pytest

from pipeline.corrections.decisions import Decisions
from pipeline.database.engine import database_in
from pipeline.errors import GlioLoopError


def test_decisions_are_kept_and_an_acceptance_stands(tmp_path: Path) -> None:
    decisions = Decisions(database_in(tmp_path))
    assert decisions.of(["a", "b"]) == {}
    decisions.send_back("a", "ann", "too large")
    decisions.send_back("a", "bob", "the cavity is lacking")
    sent_back = decisions.of(["a", "b"])["a"]
    assert (sent_back.verdict, sent_back.by, sent_back.reason) == ("sent_back", "bob", "the cavity is lacking")
    accepted = decisions.accept("a", "ann")
    assert (accepted.verdict, accepted.reason) == ("accepted", "")
    assert decisions.accept("a", "bob") == accepted == decisions.of(["a"])["a"], "twice is once"
    with pytest.raises(GlioLoopError) as refused:
        decisions.send_back("a", "bob", "late")
    assert refused.value.code == "REVIEW_ENDED"
    assert decisions.of(["a"])["a"] == accepted
