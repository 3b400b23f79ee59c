"""The guard's decision and the versions it is about; the queue's view of fine-tunings."""

from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pipeline.finetune.guard import LEAST_CASES, SIGNIFICANT, chance_of, decide, paired_change, scored
from pipeline.finetune.plan import next_version, reserve_version
from pipeline.names import MRSequence, Region
from pipeline.registry import InputGrid, ModelCard, NetworkFile, Output
from pipeline.settings.finetune import FinetunePolicy

POLICY = FinetunePolicy()
DRAWN = {f"c{number}": frozenset({"WT"}) for number in range(6)}


def _scores(values: list[float], other: float = 0.5) -> dict[str, dict[str, float]]:
    return {f"c{number}": {"WT": value, "TC": other} for number, value in enumerate(values)}


BEFORE = _scores([0.70, 0.72, 0.68, 0.74, 0.71, 0.73])
BETTER = _scores([0.78, 0.80, 0.77, 0.79, 0.78, 0.81])
SAME = (_scores([0.8] * 6), _scores([0.795] * 6))


def test_better_and_nothing_forgotten_passes() -> None:
    decision = decide(POLICY, (BEFORE, BETTER), DRAWN, SAME)
    assert decision.passed
    assert decision.corrections is not None
    assert decision.corrections.change == pytest.approx(0.075, abs=1e-3)
    assert decision.corrections.p == pytest.approx(2**-6, abs=1e-4)
    assert "p = 0.016" in decision.reason


@pytest.mark.parametrize(
    ("after", "reference", "word"),
    [
        (_scores([0.60, 0.99, 0.55, 0.99, 0.52, 0.98]), SAME, "Not better"),
        (_scores([0.78, 0.80, 0.77, 0.79, 0.78, 0.72]), SAME, "p = 0.031"),
        (BEFORE, SAME, "Not better"),
        (BETTER, (_scores([0.8] * 6), _scores([0.78] * 6)), "Worse on the reference set"),
        (BETTER, (_scores([0.8] * 6), _scores([0.8] * 6, other=0.4)), "TC -0.100"),
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
    five = {name: BEFORE[name] for name in list(BEFORE)[:5]}, {name: BETTER[name] for name in list(BETTER)[:5]}
    assert "Only 5" in decide(FinetunePolicy(least_held_back=1), five, DRAWN, SAME).reason


@pytest.mark.parametrize("cases", [LEAST_CASES, 8])
@pytest.mark.parametrize("kind", ["even", "one large", "ties and zeros"])
def test_a_candidate_that_gains_nothing_passes_by_chance_only(cases: int, kind: str) -> None:
    """Three held-back cases and an interval of the mean let one in nine pass; now at most one in forty does.

    Where nothing is gained, each difference could as well have the other sign: all choices of signs are tried.
    """
    sizes = {
        "even": np.linspace(0.01, 0.03, cases),
        "one large": np.array([0.5] + [0.01] * (cases - 1)),
        "ties and zeros": np.array([0.0] + [0.02] * (cases - 1)),
    }[kind]
    signs = list(product((-1, 1), repeat=cases))
    passed = sum(chance_of(sizes * np.array(one)) <= SIGNIFICANT for one in signs)
    assert passed / len(signs) <= SIGNIFICANT


def test_one_gain_among_cases_that_stay_as_they_are_is_no_proof() -> None:
    assert chance_of(np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.3])) == pytest.approx(0.5)
    assert chance_of(np.zeros(6)) == 1


def test_a_candidate_that_refuses_a_case_scores_nothing_there() -> None:
    refusing = BETTER | {"c0": {}}
    decision = decide(POLICY, (BEFORE, refusing), DRAWN, SAME)
    assert decision.corrections is not None
    assert decision.corrections.after == pytest.approx((0.80 + 0.77 + 0.79 + 0.78 + 0.81) / 6, abs=1e-3)
    assert not decision.passed
    assert not decide(POLICY, (BEFORE, BETTER), DRAWN, (SAME[0], SAME[1] | {"c0": {}})).passed
    helped = decide(POLICY, (BEFORE | {"c0": {}}, BETTER), DRAWN, SAME)
    assert helped.passed, "the network in use refused it, the candidate does not"
    assert scored((BEFORE | {"c0": {}}, BETTER | {"c0": {}})).keys() == DRAWN.keys() - {"c0"}


def test_regions_nobody_drew_do_not_count() -> None:
    worse_elsewhere = {name: {"WT": scores["WT"], "TC": 0.0} for name, scores in BETTER.items()}
    assert decide(POLICY, (BEFORE, worse_elsewhere), DRAWN, SAME).passed


@pytest.mark.parametrize(("gain", "p"), [(0.2, 0.5), (0.0, 1.0), (-0.2, 1.0)])
def test_one_case_proves_nothing(gain: float, p: float) -> None:
    change = paired_change([0.5], [0.5 + gain])
    assert change is not None
    assert (change.n, change.p) == (1, p)


def test_nothing_to_compare() -> None:
    assert paired_change([], []) is None


def test_versions_of_descendants() -> None:
    assert next_version("0.1.0", ["0.1.0"]) == "0.1.0-ft.1"
    assert next_version("0.1.0-ft.1", ["0.1.0", "0.1.0-ft.1", "0.1.0-ft.7", "0.2.0-ft.9"]) == "0.1.0-ft.8"


def _card() -> ModelCard:
    outputs = tuple(Output(region=region, channels=(k,)) for k, region in enumerate((Region.WT, Region.TC, Region.ET)))
    grid = InputGrid(order=tuple(MRSequence), spacing_mm=(1, 1, 1), window=(16, 16, 16))
    file = NetworkFile(name="m.onnx", sha256="0" * 64)
    return ModelCard(
        name="m", version="1.0.0", created=date(2026, 1, 2), description="", architecture="", licence="", opset=17,
        file=file, grid=grid, outputs=outputs,
    )  # fmt: skip


def test_two_fine_tunings_side_by_side_make_two_versions(tmp_path: Path) -> None:
    first = reserve_version(tmp_path, "finetune-a", _card(), ["1.0.0"])
    second = reserve_version(tmp_path, "finetune-b", _card(), ["1.0.0"])
    assert (first, second) == ("1.0.0-ft.1", "1.0.0-ft.2")
    assert reserve_version(tmp_path, "finetune-a", _card(), ["1.0.0"]) == first, "planned again after a restart"
    assert reserve_version(tmp_path, "finetune-c", _card(), ["1.0.0", first]) == "1.0.0-ft.3"
