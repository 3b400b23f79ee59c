"""What a sequence does not show of brain and tumour: flagged, left out, or refused."""

import numpy as np
import pytest

from pipeline.errors import GlioLoopError
from pipeline.inference.coverage import Gap, flags, gaps, to_leave_out
from pipeline.inference.grids import Sampled
from pipeline.names import MRSequence

ORDER = tuple(MRSequence)
FLAIR = ORDER.index(MRSequence.FLAIR)


def seen(missing: float, lacking: bool = False) -> Sampled:
    """Four sequences over 100 slices; the FLAIR lacks this part of them."""
    valid = np.ones((4, 100, 4, 4), dtype=bool)
    valid[FLAIR, : round(missing * 100)] = False
    if lacking:
        valid[FLAIR] = False
    return Sampled(np.ones(valid.shape, np.float32), valid, np.zeros((4, 1, 1, 1), np.float32))


BRAIN = np.ones((100, 4, 4), dtype=bool)


@pytest.mark.parametrize("missing", [0.0, 0.01])
def test_a_percent_is_no_gap(missing: float) -> None:
    assert gaps(seen(missing), ORDER, BRAIN, "brain") == []


@pytest.mark.parametrize("missing", [0.02, 0.1])
def test_a_gap_is_flagged_with_its_share(missing: float) -> None:
    found = gaps(seen(missing), ORDER, BRAIN, "brain")
    assert found == [Gap(MRSequence.FLAIR, "brain", pytest.approx(missing))]
    assert to_leave_out(found, ()) == set()
    (flag,) = flags(found, ())
    assert flag.code == "SEQUENCE_INCOMPLETE_COVERAGE"
    assert f"flair does not show {missing:.0%} of the brain" in flag.detail


def test_a_large_gap_refuses_or_leaves_the_sequence_out() -> None:
    found = gaps(seen(0.3), ORDER, BRAIN, "tumour")
    with pytest.raises(GlioLoopError, match="30% of the tumour") as refused:
        to_leave_out(found, (MRSequence.T1,))
    assert refused.value.code == "COVERAGE_INCOMPLETE"
    assert to_leave_out(found, (MRSequence.FLAIR,)) == {MRSequence.FLAIR}
    assert "left out" in flags(found, {MRSequence.FLAIR})[0].detail


def test_two_sequences_are_not_left_out_together() -> None:
    found = [Gap(MRSequence.FLAIR, "brain", 0.2), Gap(MRSequence.T1, "brain", 0.2)]
    with pytest.raises(GlioLoopError):
        to_leave_out(found, (MRSequence.FLAIR, MRSequence.T1))


def test_what_no_sequence_shows_and_what_is_not_there_at_all_is_no_gap() -> None:
    assert gaps(seen(0.0, lacking=True), ORDER, BRAIN, "brain") == []
    everywhere = seen(0.0)
    everywhere.valid[:, :40] = False
    assert gaps(everywhere, ORDER, BRAIN, "brain") == []


def test_specks_have_no_gap() -> None:
    speck = np.zeros_like(BRAIN)
    speck[0, 0, :3] = True
    assert gaps(seen(0.1), ORDER, speck, "tumour", least_voxels=3) == []


def test_a_sequence_left_out_is_as_if_it_were_not_there() -> None:
    left = seen(0.3).without({MRSequence.FLAIR}, ORDER)
    assert not left.images[FLAIR].any() and not left.valid[FLAIR].any()
    assert left.valid[:FLAIR].all()
