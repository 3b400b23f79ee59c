"""A small, seeded part of the fuzzing; ``python -m tests.fuzz.run`` does it at length."""

import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import Outcome, fuzz_images, fuzz_structure_sets, structure_set_bytes

pytestmark = pytest.mark.filterwarnings("ignore")


def check(outcome: Outcome, number: int) -> None:
    assert outcome.crashes == []
    assert sum(outcome.counts.values()) == number
    assert outcome.slowest_s < 20
    assert outcome.grown_mib < 500
    assert len(outcome.counts) > 1  # some are still read, some refused: the damage is neither nothing nor everything


def test_damaged_structure_sets() -> None:
    check(fuzz_structure_sets(range(300)), 300)


def test_damaged_images() -> None:
    check(fuzz_images(range(60)), 60)


def test_damage_can_be_repeated() -> None:
    data, _ = structure_set_bytes()
    assert all(mutated(data, seed) == mutated(data, seed) for seed in range(20))
    assert sum(mutated(data, seed) != data for seed in range(100)) > 80
