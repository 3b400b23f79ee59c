"""Workers of a shared queue see who is there: by signs of life that change, never by a clock."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.database.engine import database_in
from pipeline.jobs.presence import Presence

SILENCE = 30.0


class _Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    yield database_in(tmp_path)


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def _arrived(engine: Engine, clock: _Clock, name: str) -> Presence:
    worker = Presence(engine, name, SILENCE, clock)
    worker.arrive()
    return worker


def test_one_that_is_silent_for_too_long_has_vanished_and_learns_it(engine: Engine, clock: _Clock) -> None:
    one, other = _arrived(engine, clock, "one"), _arrived(engine, clock, "other")
    for _ in range(10):
        clock.seconds += 10
        assert one.beat() and other.beat()
        assert one.vanished([]) == []
    for _ in range(3):
        clock.seconds += 10
        assert one.vanished(["other"]) == []
    clock.seconds += 1
    assert one.vanished(["other"]) == ["other"]
    one.forget("other")
    assert one.vanished([]) == []
    assert not other.beat()
    other.arrive()
    assert other.beat()


def test_one_that_left_is_not_waited_for_and_one_that_came_back_is_not_struck_out(
    engine: Engine, clock: _Clock
) -> None:
    one, other = _arrived(engine, clock, "one"), _arrived(engine, clock, "other")
    other.leave()
    assert one.vanished([]) == ["other"]
    other.arrive()
    one.forget("other")
    assert other.beat()
    assert one.vanished([]) == []


def test_jobs_of_one_without_a_row_are_found_too(engine: Engine, clock: _Clock) -> None:
    one = _arrived(engine, clock, "one")
    assert one.vanished(["one", "never-came"]) == []
    clock.seconds += SILENCE + 1
    assert one.vanished(["one", "never-came"]) == ["never-came"]


def test_after_an_outage_of_the_database_nobody_counts_as_vanished(engine: Engine, clock: _Clock) -> None:
    one, _other = _arrived(engine, clock, "one"), _arrived(engine, clock, "other")
    assert one.vanished([]) == []
    clock.seconds += 10 * SILENCE
    one.look_anew()
    assert one.vanished([]) == []
