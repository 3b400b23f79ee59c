"""Parts that lie in the brain's fluid are left out where the card says so; tumours beside it and of it are not."""

import numpy as np
import pytest

from pipeline.inference.fluid import leave_out_fluid
from pipeline.inference.grids import Sampled
from pipeline.names import MRSequence, Region
from pipeline.registry import InFluid, InputGrid, ModelCard, Postprocessing
from tests.unit.inference.test_channels import card
from tests.unit.inference.test_suspicion import BRAIN, ball, grid

ORDER = (MRSequence.T1, MRSequence.T1C, MRSequence.T2, MRSequence.FLAIR)
RULE = InFluid(surroundings=0.25, mirrored=0.3)
VENTRICLES = ball((-13, 0, 5), 12) | ball((13, 0, 5), 12)
PLEXUS = ball((13, 0, 5), 7)
BESIDE = ball((33, 0, 5), 10)


def told(rule: InFluid | None = RULE) -> ModelCard:
    return card(
        grid=InputGrid(order=ORDER, spacing_mm=(2, 2, 2), window=(16, 16, 16)).model_dump(),
        postprocessing=Postprocessing(in_fluid=rule),
    )


def sampled(tumour: np.ndarray) -> Sampled:
    """A brain with two ventricles, dark on T1 and bright on T2, and what was found in it, grey on both."""
    fluid = VENTRICLES & ~tumour
    rng = np.random.default_rng(0)
    t1, t2 = (np.where(BRAIN, np.where(fluid, level, 100), 0) for level in (20, 220))
    images = np.stack([t1, t1, t2, t1]).astype(np.float32)
    images += rng.normal(0, 3, images.shape).astype(np.float32) * BRAIN
    return Sampled(images, np.ones(images.shape, dtype=bool), np.zeros((4, 1, 1, 1), np.float32))


def regions(*tumours: np.ndarray) -> dict[Region, np.ndarray]:
    found = np.any(tumours, axis=0)
    whole = np.where(found, 0.95, 0.1).astype(np.float32) * BRAIN
    return {Region.BRAIN: BRAIN * np.float32(0.99), Region.WT: whole, Region.TC: whole, Region.ET: whole * 0}


def test_a_part_in_a_ventricle_is_left_out_and_told() -> None:
    tumour = ball((-30, 20, -20), 10)
    found, gone = leave_out_fluid(regions(PLEXUS, tumour), sampled(PLEXUS | tumour), grid(), told())
    (part,) = gone
    assert part.volume_ml == pytest.approx(PLEXUS.sum() * 0.008)
    assert np.linalg.norm(np.subtract(part.centre, (13, 0, 5))) < 2
    for region in (Region.WT, Region.TC):
        assert not found[region][PLEXUS].any()
        assert (found[region][tumour] >= 0.95).all()
    assert (found[Region.BRAIN] == BRAIN * np.float32(0.99)).all()


def test_a_tumour_beside_a_ventricle_stays() -> None:
    before = regions(BESIDE)
    found, gone = leave_out_fluid(before, sampled(BESIDE), grid(), told())
    assert not gone
    assert all((found[region] == before[region]).all() for region in before)


@pytest.mark.parametrize("side", [13, -13])
def test_fluid_around_alone_or_at_the_mirrored_place_alone_is_not_enough(side: int) -> None:
    seen, solid = sampled(PLEXUS), ball((side, 0, 5), 13)
    seen.images[:, solid] = 100
    assert not leave_out_fluid(regions(PLEXUS), seen, grid(), told())[1]


def test_a_card_without_the_rule_changes_nothing() -> None:
    before = regions(PLEXUS)
    found, gone = leave_out_fluid(before, sampled(PLEXUS), grid(), told(None))
    assert not gone and all((found[region] == before[region]).all() for region in before)


def test_without_t1_or_a_brain_nothing_is_left_out() -> None:
    seen = sampled(PLEXUS)
    assert leave_out_fluid(regions(PLEXUS), seen, grid(), told())[1]
    assert not leave_out_fluid(regions(PLEXUS), seen.without({MRSequence.T1}, ORDER), grid(), told())[1]
    headless = {region: one for region, one in regions(PLEXUS).items() if region is not Region.BRAIN}
    assert not leave_out_fluid(headless, seen, grid(), told())[1]
