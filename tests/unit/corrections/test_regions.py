"""ROI names, completion and nesting of partial corrections, and trust."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from pipeline.corrections.meaning import complete
from pipeline.corrections.recognise import trust_of
from pipeline.corrections.regions import RegionNames
from pipeline.names import ROI_NAMES, TUMOUR_REGIONS, Region
from pipeline.settings.corrections import CorrectionPolicy

NAMES = RegionNames(ROI_NAMES, CorrectionPolicy(roi_map={Region.TC: ("solid part",)}))


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


@pytest.mark.parametrize("name", ["GTV_WT", "gtv wt"])
@pytest.mark.parametrize(
    "after",
    ["_JS", " (edited)", "~1", " copy", "_corrected", "v2", "_final", "_Korrektur", "_corrigé", "_испр", "修正", "(2)",
     "_Mueller", "-rev. 3", "_approved_20260102", "_modificado", " - Kopie"],
)  # fmt: skip
def test_what_stands_behind_a_name_of_ours_makes_it_a_copy(name: str, after: str) -> None:
    assert NAMES.region(name + after) is Region.WT


@pytest.mark.parametrize(
    ("name", "region"),
    [
        ("Copy of GTV_WT", Region.WT),
        ("Kopie von GTV_ET", Region.ET),
        ("JS_GTV_TC", Region.TC),
        ("GTVp_ET", Region.ET),
        ("WholeTumorEdited", Region.WT),
        ("ET lesion 2", Region.ET),
        ("enhancing lesion 1/2", Region.ET),
        ("Enhancement", Region.ET),
        ("GTV_WT+5mm", None),
        ("GTV_WT_5mm", None),
        ("GTV_WT_margin", None),
        ("GTV_WT-GTV_TC", None),
        ("GTV_WT minus ET", None),
        ("CTV_WT", None),
        ("GTV_WT_prior", None),
        ("Non-enhancing tumour", None),
        ("not GTV_WT", None),
        ("Core biopsy", None),
    ],
)
def test_names_of_copies_lesions_and_other_structures(name: str, region: Region | None) -> None:
    assert NAMES.region(name) is region


@given(st.text(max_size=3000))
@settings(deadline=500, max_examples=300)
def test_any_name_is_read_at_once(name: str) -> None:
    NAMES.region(name)


@pytest.mark.parametrize("unit", ["1", "GTV_WT", "_", "v1", "enhanc", "corr1", "(", "\ufdfa", "aA", " "])
def test_long_names_cost_no_more_than_their_length(unit: str) -> None:
    """36 digits once held a worker for 24 s."""
    begin = time.perf_counter()
    for ending in ("", "x", "!", "ä"):
        NAMES.region("GTV_WT" + unit * 40 + ending)
        NAMES.region(unit * 100_000 + ending)
    assert time.perf_counter() - begin < 1


@pytest.mark.parametrize("pattern", ["(a+)+", "(\\d*x?)*", "(?:[ab]*c)+", "((a|b)*)*"])
def test_patterns_that_explode_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="repeats what repeats"):
        CorrectionPolicy(roi_map={Region.WT: (pattern,)})
    with pytest.raises(ValueError, match="repeats what repeats"):
        CorrectionPolicy(trusted_reviewers=(pattern,))


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
    assert trust_of(dataset, CorrectionPolicy(trusted_reviewers=("roe.*",))).trusted is trusted


@pytest.mark.parametrize(
    ("name", "cavity"),
    [
        ("Cavity_Resection", True),
        ("cavity resection~1", True),
        ("Cavity_Resection_Mueller", True),
        ("Copy of Cavity_Resection", True),
        ("CavityResection", True),
        ("Cavity_Resection+5mm", False),
        ("Cavity_Resection_prior", False),
        ("GTV_WT minus Cavity_Resection", False),
        ("GTV_WT_cavity", False),
        ("Cavity", False),
        ("Cavity_Oral", False),
    ],
)
def test_the_cavity_that_this_node_names_is_no_region_of_the_tumour(name: str, cavity: bool) -> None:
    assert (NAMES.region(name), NAMES.is_cavity(name)) == (None, cavity)


def test_a_site_names_the_cavity_as_it_likes() -> None:
    names = RegionNames({**ROI_NAMES, Region.WT: "GTV", Region.CAVITY: "GTV_RC"}, CorrectionPolicy())
    assert (names.region("GTV_RC"), names.is_cavity("GTV_RC")) == (None, True)
    assert (names.region("GTV_JS"), names.is_cavity("GTV_JS")) == (Region.WT, False)
