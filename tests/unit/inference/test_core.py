"""The core is trusted further where hardly any of it enhances, and only where the card says so."""

import numpy as np
import pytest

from pipeline.inference.core import trust_unenhanced_core
from pipeline.names import Region
from pipeline.registry import ModelCard, UnenhancedCore
from tests.unit.inference.test_channels import card

RULE = UnenhancedCore(share=0.2, log_odds=np.log(4))


def regions(enhancing: float) -> dict[Region, np.ndarray]:
    """A core of ten voxels that is sure and ten more at 0.25, and so much of the sure ones that enhances."""
    core = np.zeros((1, 1, 40), np.float32)
    core[..., :10], core[..., 10:20] = 0.9, 0.25
    lit = np.zeros_like(core)
    lit[..., : round(10 * enhancing)] = 0.9
    return {Region.WT: np.ones_like(core), Region.TC: core, Region.ET: lit}


def size(found: dict[Region, np.ndarray], region: Region, of: ModelCard) -> int:
    return int((found[region] >= of.threshold(region)).sum())


@pytest.mark.parametrize(("enhancing", "voxels"), [(0.0, 20), (0.1, 20), (0.2, 10), (0.9, 10)])
def test_what_hardly_enhances_has_a_larger_core(enhancing: float, voxels: int) -> None:
    told = card(unenhanced_core=RULE)
    before = regions(enhancing)
    found = trust_unenhanced_core(before, told)
    assert size(found, Region.TC, told) == voxels
    assert size(before, Region.TC, told) == 10
    for region in (Region.WT, Region.ET):
        assert np.array_equal(found[region], before[region])
    assert found[Region.TC].dtype == np.float32


def test_a_card_without_the_rule_changes_nothing() -> None:
    before = regions(0)
    assert np.array_equal(trust_unenhanced_core(before, card())[Region.TC], before[Region.TC])


def test_no_tumour_stays_no_tumour() -> None:
    nothing = {region: np.zeros((1, 2, 3), np.float32) for region in (Region.WT, Region.TC, Region.ET)}
    assert not trust_unenhanced_core(nothing, card(unenhanced_core=RULE))[Region.TC].any()
