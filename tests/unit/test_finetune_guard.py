"""The guard's decision and the versions it is about; the queue's view of fine-tunings."""

import pytest

from pipeline.feedback.policy import FinetunePolicy
from pipeline.finetune.guard import decide, paired_change, scored
from pipeline.finetune.plan import next_version

POLICY = FinetunePolicy()
DRAWN = {f"c{number}": frozenset({"WT"}) for number in range(5)}


def _scores(values: list[float], other: float = 0.5) -> dict[str, dict[str, float]]:
    return {f"c{number}": {"WT": value, "TC": other} for number, value in enumerate(values)}


BEFORE = _scores([0.70, 0.72, 0.68, 0.74, 0.71])
BETTER = _scores([0.78, 0.80, 0.77, 0.79, 0.78])
SAME = (_scores([0.8] * 5), _scores([0.795] * 5))


def test_better_and_nothing_forgotten_passes() -> None:
    decision = decide(POLICY, (BEFORE, BETTER), DRAWN, SAME)
    assert decision.passed
    assert decision.corrections is not None
    assert decision.corrections.change == pytest.approx(0.074, abs=1e-3)
    assert decision.corrections.ci95[0] > 0


@pytest.mark.parametrize(
    ("after", "reference", "word"),
    [
        (_scores([0.60, 0.99, 0.55, 0.99, 0.52]), SAME, "Not better"),
        (BEFORE, SAME, "Not better"),
        (BETTER, (_scores([0.8] * 5), _scores([0.78] * 5)), "Worse on the reference set"),
        (BETTER, (_scores([0.8] * 5), _scores([0.8] * 5, other=0.4)), "TC -0.100"),
        (BETTER, ({}, {}), "no reference set"),
    ],
)
def test_what_does_not_pass(after: object, reference: object, word: str) -> None:
    decision = decide(POLICY, (BEFORE, after), DRAWN, reference)  # type: ignore[arg-type]
    assert not decision.passed
    assert word in decision.reason


def test_too_few_held_back_do_not_pass() -> None:
    few = {name: BEFORE[name] for name in ("c0", "c1")}, {name: BETTER[name] for name in ("c0", "c1")}
    assert "Only 2" in decide(POLICY, few, DRAWN, SAME).reason
    assert "Only 0" in decide(POLICY, ({}, {}), DRAWN, SAME).reason


def test_a_candidate_that_refuses_a_case_scores_nothing_there() -> None:
    refusing = BETTER | {"c0": {}}
    decision = decide(POLICY, (BEFORE, refusing), DRAWN, SAME)
    assert decision.corrections is not None
    assert decision.corrections.after == pytest.approx((0.80 + 0.77 + 0.79 + 0.78) / 5, abs=1e-3)
    assert not decision.passed
    assert not decide(POLICY, (BEFORE, BETTER), DRAWN, (SAME[0], SAME[1] | {"c0": {}})).passed
    helped = decide(POLICY, (BEFORE | {"c0": {}}, BETTER), DRAWN, SAME)
    assert helped.passed, "the network in use refused it, the candidate does not"
    assert scored((BEFORE | {"c0": {}}, BETTER | {"c0": {}})).keys() == DRAWN.keys() - {"c0"}


def test_regions_nobody_drew_do_not_count() -> None:
    worse_elsewhere = {name: {"WT": scores["WT"], "TC": 0.0} for name, scores in BETTER.items()}
    assert decide(POLICY, (BEFORE, worse_elsewhere), DRAWN, SAME).passed


def test_nothing_to_compare() -> None:
    assert paired_change([], []) is None


def test_versions_of_descendants() -> None:
    assert next_version("0.1.0", ["0.1.0"]) == "0.1.0-ft.1"
    assert next_version("0.1.0-ft.1", ["0.1.0", "0.1.0-ft.1", "0.1.0-ft.7", "0.2.0-ft.9"]) == "0.1.0-ft.8"
