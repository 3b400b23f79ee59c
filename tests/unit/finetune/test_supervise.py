"""A phase of a fine-tuning makes room for what comes first, tells for what, and goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import GlioLoopError
from pipeline.finetune import supervise
from pipeline.finetune.phases import Phase
from pipeline.finetune.work import Worked
from pipeline.names import Wait


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each child that was started came to the phase's end: it does unless it is asked to make room."""
    started: list[bool] = []

    def run_once(_folder: Path, _phase: Phase, wanted: Callable[[], bool], *_: Any) -> Worked:
        started.append(not wanted())
        return Worked(started[-1], 1.0, 100.0)

    monkeypatch.setattr(supervise, "_run_once", run_once)
    monkeypatch.setattr(supervise, "_LOOK_SECONDS", 0.0)
    return started


def test_it_goes_on_in_the_next_quiet_hours(children: list[bool], tmp_path: Path) -> None:
    # At the start, in the first child, in the pause (three looks), before and in the second child.
    looks = iter([None, Wait.QUIET_HOURS, Wait.QUIET_HOURS, Wait.QUIET_HOURS, Wait.JOBS, None, None])
    told: list[dict[str, Any]] = []
    outcome = supervise.run_phase(
        tmp_path,
        Phase.LEARN,
        waits_for=lambda: next(looks),
        cancelled=lambda: False,
        report=lambda **values: told.append(values),
    )
    assert children == [False, True]
    assert (outcome.pauses, outcome.processor_seconds) == (1, 2.0)
    assert told == [{"waits_for": "quiet_hours"}, {"waits_for": "jobs"}, {"waits_for": None}, {"progress": 1.0}]


def test_one_that_waits_can_be_cancelled(children: list[bool], tmp_path: Path) -> None:
    with pytest.raises(GlioLoopError, match="JOB_STATE"):
        supervise.run_phase(
            tmp_path,
            Phase.LEARN,
            waits_for=lambda: Wait.QUIET_HOURS,
            cancelled=iter([False, True, True, True]).__next__,
            report=lambda **_: None,
        )
    assert children == [False]
