"""The simulation behind the sizing table, against what is known of the queue that it simulates."""

import random
from statistics import fmean

import pytest

from benchmarks.sizing import times_in_system


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_worker_waits_as_long_as_pollaczek_and_khinchine_say(load: float) -> None:
    seconds = 12.0
    times = times_in_system(3600 * load / seconds, 1, seconds, 200_000, random.Random(1))
    assert fmean(times) - seconds == pytest.approx(load * seconds / (2 * (1 - load)), rel=0.06)


def test_an_idle_site_does_not_wait() -> None:
    assert max(times_in_system(0.01, 1, 12.0, 100, random.Random(1))) == 12.0
