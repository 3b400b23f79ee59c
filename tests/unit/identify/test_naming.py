"""Which image of a series with several at each position: by kind, by a person's naming, else by the images."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.errors import GlioLoopError
from pipeline.identify import Decision, SeriesHeader, SeriesPart, identify
from pipeline.names import MRSequence
from tests.unit.identify.headers import header_of

STUDY = {"Manufacturer": "SIEMENS", "slices": 30, "SliceThickness": 5.0, "ScanningSequence": "SE"}
T1 = {"SeriesDescription": "T1 SE", "RepetitionTime": 500.0, "EchoTime": 12.0, "FlipAngle": 90.0}
T2 = {"SeriesDescription": "T2 TSE", "RepetitionTime": 5000.0, "EchoTime": 95.0}
FLAIR = {"SeriesDescription": "FLAIR", "RepetitionTime": 9000.0, "EchoTime": 110.0, "InversionTime": 2500.0}
FLAIR |= {"ScanningSequence": "IR"}


def headers(*parts: dict[str, Any], base: dict[str, Any] = T1, others: tuple[dict[str, Any], ...] = ()) -> list[Any]:
    """One series (number 1) of these parts, each with what sets it apart, beside T2, FLAIR and others."""
    found = []
    for part in parts:
        header = header_of(STUDY, base | part, 1)
        words = {key: "\\".join(one) if isinstance(one, list) else one for key, one in part.items()}
        found.append(replace(header, part=SeriesPart((("description", str(words)),)), slices=30))
    rows = (T2, FLAIR, *others)
    return found + [header_of(STUDY, row, number) for number, row in enumerate(rows, start=2)]


def taken(decision: Decision, sequence: MRSequence) -> str:
    return str(decision.parts[sequence])


def named(study: list[SeriesHeader], *sequences: MRSequence, uid: str = "1.2.1") -> Decision:
    return identify(study, override=dict.fromkeys(sequences, uid))


@pytest.mark.parametrize("order", [(MRSequence.T1, MRSequence.T1C), (MRSequence.T1C, MRSequence.T1)])
@pytest.mark.parametrize("turned", [False, True])
def test_one_series_is_named_for_before_and_after_contrast(order: tuple[MRSequence, ...], turned: bool) -> None:
    moments = [{"AcquisitionTime": "0902"}, {"AcquisitionTime": "0930"}]
    study = headers(*(reversed(moments) if turned else moments), others=(T1 | {"SeriesDescription": "T1 later"},))
    decision = named(study, *order)
    assert "0902" in taken(decision, MRSequence.T1)
    assert "0930" in taken(decision, MRSequence.T1C)
    (pair,) = decision.open  # the person named the series, and not its images: these tell
    assert not pair.stated
    assert not decision.named


def test_named_parts_that_words_tell_apart() -> None:
    study = headers({"SeriesDescription": "T1 SE +C"}, {"SeriesDescription": "T1 SE native"})
    decision = named(study, MRSequence.T1, MRSequence.T1C)
    assert "native" in taken(decision, MRSequence.T1)
    assert "+C" in taken(decision, MRSequence.T1C)
    assert [pair.stated for pair in decision.open] == [True]


def test_a_proton_density_is_asked_about_where_it_is_named_for_flair() -> None:
    study = headers({"EchoTime": 14.0}, {"EchoTime": 95.0}, base=T2)
    decision = named(study, MRSequence.T2, MRSequence.FLAIR)
    assert "95" in taken(decision, MRSequence.T2)
    assert [pair.stated for pair in decision.open] == [False]


@pytest.mark.parametrize(
    ("parts", "sequences", "why"),
    [
        ([{}], (MRSequence.T1, MRSequence.T1C), "one image at each position"),
        ([{"EchoTime": 14.0}, {"EchoTime": 95.0}], (MRSequence.T1, MRSequence.T2), "which of its images is which"),
    ],
)
def test_a_series_that_cannot_stand_for_both(parts: list[Any], sequences: tuple[MRSequence, ...], why: str) -> None:
    with pytest.raises(GlioLoopError, match=why) as caught:
        named(headers(*parts, base=T2), *sequences)
    assert caught.value.code == "SERIES_UNKNOWN"


def test_no_moment_of_a_dynamic_series_is_taken_because_it_is_named() -> None:
    study = headers({})
    study[0] = replace(study[0], part=None, volumes=40)
    with pytest.raises(GlioLoopError, match="40 images at each position"):
        named(study, MRSequence.T1C)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "PRE"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "M", "POST"]}),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "A"]}, {"ImageType": ["ORIGINAL", "PRIMARY", "KM"]}),
        ({"ScanOptions": "A"}, {"ScanOptions": "B"}),
    ],
)
def test_what_unknown_words_tell_apart_is_left_to_the_images(one: dict[str, Any], other: dict[str, Any]) -> None:
    decision = identify(headers(one, other))
    assert [pair.sequences for pair in decision.open] == [(MRSequence.T1, MRSequence.T1C)]
    beside = identify(headers(one, other, base=T1 | {"SeriesDescription": "T1 +C"}, others=(T1,)))
    assert [rivals.sequence for rivals in beside.rivals] == [MRSequence.T1C]


def test_two_moments_beside_a_third_t1_and_no_mark_at_all() -> None:
    study = headers({"AcquisitionTime": "0902"}, {"AcquisitionTime": "0930"}, others=(T1,))
    decision = identify(study)
    assert "0902" in taken(decision, MRSequence.T1)
    assert "0930" in taken(decision, MRSequence.T1C)
    assert not decision.open[0].stated


@pytest.mark.parametrize(
    ("best", "worse", "base", "sequence"),
    [
        ({"FlipAngle": 90.0}, {"FlipAngle": 5.0}, T1, MRSequence.T1),
        ({"InversionTime": 2500.0}, {"InversionTime": 1300.0}, FLAIR, MRSequence.FLAIR),
        ({"ImageType": ["ORIGINAL", "NORM"]}, {"ImageType": ["ORIGINAL", "ND"]}, T2, MRSequence.T2),
        ({"EchoTime": 90.0}, {"EchoTime": 180.0}, T2, MRSequence.T2),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_kind_that_suits_best(
    best: dict[str, Any], worse: dict[str, Any], base: dict[str, Any], sequence: MRSequence, turned: bool
) -> None:
    parts = [worse, best] if turned else [best, worse]
    study = [one for one in headers(*parts, base=base, others=(T1,)) if one.part or sequence.value not in str(one)]
    decision = identify(study, override={sequence: "1.2.1"})
    word = str(best.get("ImageType", [next(iter(best.values()))])[-1])
    assert word in taken(decision, sequence)
    assert not decision.rivals


def test_an_enhanced_object_says_of_each_frame_whether_contrast_was_given() -> None:
    parts = [{"ContrastBolusAgent": "Gadovist", "ContrastBolusAgentAdministered": said} for said in ("NO", "YES")]
    decision = identify(headers(*parts))
    assert "NO" in taken(decision, MRSequence.T1)
    assert "YES" in taken(decision, MRSequence.T1C)


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize(
    "dates",
    [
        {"StudyDate": "20240301"},
        {},
        {"StudyDate": "20240301", "SeriesDate": "20240301"},
        {"StudyDate": "20240301", "SeriesDate": "20240301", "SeriesTime": "233000"},
        {"StudyDate": "20240301", "StudyTime": "232500", "AcquisitionDate": "20240301"},
        {"StudyDate": "20240301", "AcquisitionDate": "20240301", "FrameOfReferenceUID": "1.2.9"},
        {"AcquisitionDate": "20240301", "FrameOfReferenceUID": "1.2.9"},
    ],
)
def test_a_study_goes_on_after_midnight(dates: dict[str, str], prior: bool) -> None:
    """What was taken at five past midnight was not taken 24 hours earlier, whatever carries the study's first day."""
    clocks = ["233000", "235500", "000500", "002000"]
    rows = [row | {"AcquisitionTime": clock} for row, clock in zip((T1, T2, FLAIR, T1), clocks, strict=True)]
    study = [header_of(STUDY, row | dates, number) for number, row in enumerate(rows, start=1)]
    if prior and dates:
        old = dates | {"AcquisitionDate": "20230301", "AcquisitionTime": "100000", "FrameOfReferenceUID": "1.2.8"}
        study += [header_of(STUDY, row | old, number) for number, row in enumerate((T1, T2, FLAIR, T1), start=11)]
    decision = identify(study)
    assert not decision.missing
    assert (decision.chosen[MRSequence.T1], decision.chosen[MRSequence.T1C]) == ("1.2.1", "1.2.4")


@pytest.mark.parametrize(
    "dated",
    [
        {"AcquisitionDate": "20240301"},
        {"StudyDate": "20240301", "StudyTime": "000500", "AcquisitionDate": "20240301"},
        {"StudyDate": "20240301", "SeriesDate": "20240301"},
    ],
)
def test_two_examinations_of_one_day_stay_two(dated: dict[str, str]) -> None:
    which = "Series" if "SeriesDate" in dated else "Acquisition"
    early = dated | {f"{which}Time": "001000", "FrameOfReferenceUID": "1.2.8"}
    late = dated | {f"{which}Time": "234000", "FrameOfReferenceUID": "1.2.9"}
    rows = [*(row | early for row in (T1, T2, FLAIR)), *(row | late for row in (T1, T2, FLAIR))]
    decision = identify([header_of(STUDY, row, number) for number, row in enumerate(rows, start=1)])
    assert {flag.code for flag in decision.flags} == {"OTHER_SESSION_LEFT_OUT"}
