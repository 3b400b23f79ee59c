"""ROI names, completion and nesting of partial corrections, and trust."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from pipeline.feedback.masks import complete
from pipeline.feedback.policy import FeedbackPolicy
from pipeline.feedback.recognise import trust_of
from pipeline.feedback.regions import NamedRoi, RegionNames
from pipeline.names import ROI_NAMES, TUMOUR_REGIONS, Region

NAMES = RegionNames(ROI_NAMES, FeedbackPolicy(roi_map={Region.TC: ("solid part",)}))


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("GTV_WT", Region.WT),
        ("gtv_wt", Region.WT),
        ("GTV_WT_edited", Region.WT),
        ("GTV_TC v2", Region.TC),
        ("Whole tumor", Region.WT),
        ("whole tumour corrected", Region.WT),
        ("Tumour core", Region.TC),
        ("solid part", Region.TC),
        ("Enhancing tumour", Region.ET),
        ("ET", Region.ET),
        ("Brainstem", None),
        ("GTV", None),
        ("PET", None),
        ("", None),
    ],
)
def test_names(name: str, region: Region | None) -> None:
    assert NAMES.region(name) is region


def test_the_one_drawn_by_a_person_wins() -> None:
    rois = [
        NamedRoi(9, "GTV_WT", automatic=True),
        NamedRoi(2, "GTV_WT_edited", automatic=False),
        NamedRoi(3, "Eye", automatic=False),
    ]
    chosen, unknown = NAMES.assign(rois)
    assert chosen[Region.WT].number == 2
    assert unknown == ("Eye",)


masks = st.lists(st.booleans(), min_size=12, max_size=12).map(lambda bits: np.array(bits).reshape(2, 2, 3))


@given(st.dictionaries(st.sampled_from(TUMOUR_REGIONS), masks), masks, masks, masks)
def test_completed_regions_are_nested_and_keep_what_was_drawn(drawn, first, second, third) -> None:  # type: ignore[no-untyped-def]
    automatic = {Region.WT: first, Region.TC: first & second, Region.ET: first & second & third}
    regions = complete(drawn, automatic)
    assert not (regions[Region.ET] & ~regions[Region.TC]).any()
    assert not (regions[Region.TC] & ~regions[Region.WT]).any()
    for region, mask in drawn.items():
        assert (regions[region] & mask == mask).all()
    if not drawn:
        assert all((regions[region] == automatic[region]).all() for region in TUMOUR_REGIONS)


def test_a_shrunken_whole_tumour_cuts_the_automatic_core() -> None:
    full = np.ones((1, 1, 4), bool)
    smaller = np.array([[[True, True, False, False]]])
    regions = complete({Region.WT: smaller}, dict.fromkeys(TUMOUR_REGIONS, full))
    assert all((regions[region] == smaller).all() for region in TUMOUR_REGIONS)


@pytest.mark.parametrize(
    ("approval", "reviewer", "trusted"),
    [
        ("APPROVED", "", True),
        ("UNAPPROVED", "Roe^Ann", True),
        ("UNAPPROVED", "Doe^Jo", False),
        ("REJECTED", "Roe^Ann", False),
        ("", "", False),
    ],
)
def test_trust(approval: str, reviewer: str, trusted: bool) -> None:
    dataset = Dataset()
    dataset.ApprovalStatus, dataset.ReviewerName = approval, reviewer
    assert trust_of(dataset, FeedbackPolicy(trusted_reviewers=("roe.*",))).trusted is trusted
