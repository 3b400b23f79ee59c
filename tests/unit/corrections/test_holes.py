"""Holes that come back filled: asked about where nothing else was changed, left open where something was."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from pipeline.corrections.holes import filled_holes
from pipeline.corrections.importing import Outcome
from pipeline.corrections.regions import RegionNames
from pipeline.corrections.review import agreement
from pipeline.corrections.verdicts import Verdict
from pipeline.finetune.schedule import usable
from pipeline.names import ROI_NAMES, Region
from pipeline.objects.rtstruct.edited import edited
from pipeline.objects.source import reference_series
from pipeline.settings.corrections import CorrectionPolicy
from pipeline.settings.finetune import FinetunePolicy
from tests.unit.corrections.test_importing import Desk, Mask, ball, saved_anew

LEFT, RIGHT = (2.5, 0.0, 0.0), (-2.5, 0.0, 0.0)


class HollowDesk(Desk):
    """A study whose enhancing tumour has two holes."""

    def regions(self) -> dict[Region, Mask]:
        """The regions as the network drew them."""
        found = super().regions()
        return found | {Region.ET: found[Region.ET] & ~self.hole(LEFT) & ~self.hole(RIGHT)}

    def hole(self, off: tuple[float, float, float]) -> Mask:
        """One of the holes."""
        return ball(self.volume, 1.5, off)

    def filled(self, *offs: tuple[float, float, float]) -> Mask:
        """The enhancing tumour with some holes filled."""
        return np.logical_or.reduce([self.automatic[Region.ET], *(self.hole(off) for off in offs)])

    def redrawn(self, regions: dict[Region, Mask], approval: str = "APPROVED") -> Dataset:
        """What a viewer stores of an edited copy."""
        dataset = saved_anew(self.edited(regions))
        dataset.ApprovalStatus = approval
        return dataset

    def kept(self, outcome: Outcome) -> dict[Region, float]:
        """Dice of each region to the automatic one."""
        assert outcome.case is not None, (outcome.verdict, outcome.detail)
        return {Region(name): one.dice for name, one in outcome.case.regions.items()}


@pytest.fixture
def hollow(tmp_path: Path) -> HollowDesk:
    return HollowDesk(tmp_path)


def test_a_copy_that_keeps_its_holes_is_no_change(hollow: HollowDesk) -> None:
    """The holes come through our own contours and reader."""
    outcome = hollow.hand_in(hollow.redrawn({Region.ET: hollow.automatic[Region.ET]}, "UNAPPROVED"))
    assert outcome.verdict is Verdict.UNCHANGED, outcome.detail


@pytest.mark.parametrize("approval", ["APPROVED", "UNAPPROVED"])
@pytest.mark.parametrize("offs", [(LEFT, RIGHT), (LEFT,)], ids=["both", "one of two"])
def test_where_only_holes_are_filled_somebody_is_asked(
    hollow: HollowDesk, offs: tuple[tuple[float, float, float], ...], approval: str
) -> None:
    outcome = hollow.hand_in(hollow.redrawn({Region.ET: hollow.filled(*offs)}, approval))
    assert outcome.verdict is Verdict.HOLES_FILLED and "only holes of ET are filled" in outcome.detail
    case = outcome.case
    assert case is not None and not case.trusted, "approval says nothing of what the viewer did"
    everything = FinetunePolicy(learn_from="all")
    assert not usable(everything, hollow.store) and not agreement(hollow.store.cases()).points

    meant = hollow.store.trust(case.id)
    assert (meant.kind, meant.trusted) == ("corrected", True)
    assert [one.id for one in usable(FinetunePolicy(), hollow.store)] == [case.id]


def test_a_segmentation_without_its_holes_is_asked_about_too(hollow: HollowDesk) -> None:
    made = hollow.objects(hollow.automatic | {Region.ET: hollow.filled(LEFT, RIGHT)})["seg"]
    assert hollow.hand_in(saved_anew(made)).verdict is Verdict.HOLES_FILLED


def test_who_draws_within_a_hole_meant_it(hollow: HollowDesk) -> None:
    part = hollow.hole(LEFT) & (np.arange(48) <= 26)
    assert 0.5 < part.sum() / hollow.hole(LEFT).sum() < 0.9
    outcome = hollow.hand_in(hollow.redrawn({Region.ET: hollow.automatic[Region.ET] | part}))
    assert outcome.verdict is Verdict.CORRECTED and outcome.case is not None
    assert outcome.case.regions["ET"].added_ml == pytest.approx(hollow.ml(part))


def test_beside_an_edit_of_another_region_holes_stay_open(hollow: HollowDesk) -> None:
    grown = ball(hollow.volume, 11.0)
    outcome = hollow.hand_in(hollow.redrawn({Region.WT: grown, Region.ET: hollow.filled(LEFT, RIGHT)}))
    assert outcome.verdict is Verdict.CORRECTED and "stay open" in outcome.detail
    assert outcome.case is not None and outcome.case.trusted
    assert outcome.case.regions["WT"].corrected_ml == pytest.approx(hollow.ml(grown))
    assert hollow.kept(outcome)[Region.ET] == 1


def test_beside_an_edit_of_the_same_region_holes_stay_open(hollow: HollowDesk) -> None:
    more = ball(hollow.volume, 2.0, (0, 6, 0)) & ~hollow.automatic[Region.ET]
    outcome = hollow.hand_in(hollow.redrawn({Region.ET: hollow.filled(LEFT) | more}))
    assert outcome.verdict is Verdict.CORRECTED and outcome.case is not None
    assert outcome.case.regions["ET"].added_ml == pytest.approx(hollow.ml(more))
    assert outcome.case.regions["ET"].removed_ml == 0


def test_a_site_may_take_holes_as_they_are_drawn(hollow: HollowDesk) -> None:
    hollow.names = RegionNames(ROI_NAMES, CorrectionPolicy(filled_holes="drawn"))
    outcome = hollow.hand_in(hollow.redrawn({Region.ET: hollow.filled(LEFT, RIGHT)}))
    assert outcome.verdict is Verdict.CORRECTED and outcome.case is not None and outcome.case.trusted
    holes = hollow.hole(LEFT) | hollow.hole(RIGHT)
    assert outcome.case.regions["ET"].added_ml == pytest.approx(hollow.ml(holes))


def test_who_paints_in_the_dashboard_meant_it(hollow: HollowDesk) -> None:
    """The dashboard fills no hole by itself."""
    (number,) = [one.ROINumber for one in hollow.structure_set.StructureSetROISequence if one.ROIName == "GTV_ET"]
    before, after = {number: hollow.automatic[Region.ET]}, {number: hollow.filled(LEFT)}
    series = reference_series(hollow.headers, hollow.volume)
    painted = edited(hollow.structure_set, series, before, after, "j.doe", datetime(2026, 1, 2, tzinfo=UTC), "1")
    outcome = hollow.hand_in(painted)
    assert outcome.verdict is Verdict.CORRECTED and outcome.case is not None
    assert outcome.case.regions["ET"].added_ml == pytest.approx(hollow.ml(hollow.hole(LEFT)))


def test_a_hole_is_what_a_slice_encloses() -> None:
    """A bay is none, nor is the background; a hole that touches a filled one by a corner is another one."""
    automatic: NDArray[np.bool_] = np.zeros((2, 9, 9), bool)
    automatic[0, 1:8, 1:8] = True
    automatic[0, 2:4, 2:4] = automatic[0, 4:6, 4:6] = False  # two holes that meet at a corner
    automatic[1] = automatic[0]
    automatic[1, 3, :2] = False  # the first hole is open on this slice
    mask = automatic.copy()
    mask[:, 2:4, 2:4] = True
    found = filled_holes({Region.ET: mask}, {Region.ET: automatic})[Region.ET]
    assert found.sum() == 4 and found[0, 2:4, 2:4].all()
