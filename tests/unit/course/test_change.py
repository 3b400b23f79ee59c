"""Changes against the previous study, the nadir and the first, and what became of each lesion."""

from datetime import datetime

from pipeline.course.change import SMALLEST_CHANGE, WITH_OTHER_SLICES, course_of
from pipeline.course.records import LeftOut, Lesion, Link, Side, TimePoint
from pipeline.names import Region


def lesion(uid: str, ml: float, long_mm: float = 20.0, short_mm: float = 15.0) -> Lesion:
    return Lesion(
        tracking_uid=uid, region=Region.ET, side=Side.LEFT, volume_ml=ml, long_axis_mm=long_mm, short_axis_mm=short_mm,
        slices=5, measurable=True, inside=(0.0, 0.0, 0.0),
    )  # fmt: skip


def point(month: int, ml: float, *lesions: Lesion, **options: object) -> TimePoint:
    found = TimePoint(
        study=f"study-{month}", study_instance_uid=f"1.2.{month}", at=datetime(2026, month, 1), model="a@1",
        source="automatic", made_from="x", volumes_ml={Region.ET: ml}, lesions=lesions,
        before=f"study-{month - 1}", aligned=True,
    )  # fmt: skip
    return found.model_copy(update=options)


def test_changes_are_against_previous_nadir_and_first() -> None:
    course = course_of("p", [point(3, 8.0), point(1, 10.0, before="", aligned=None), point(2, 4.0)])
    assert [one.study for one in course.studies] == ["study-1", "study-2", "study-3"]
    changes = {one.against: one for one in course.studies[2].regions[Region.ET].volume_changes}
    assert (changes["previous"].study, changes["previous"].difference, changes["previous"].percent) == (
        "study-2",
        4,
        100,
    )
    assert changes["nadir"].study == "study-2"
    assert (changes["first"].difference, changes["first"].percent) == (-2.0, -20.0)
    assert course.studies[0].regions[Region.ET].volume_changes == ()


def test_a_change_from_nothing_has_no_percent_and_a_small_one_repeats() -> None:
    smallest = SMALLEST_CHANGE[Region.ET]
    _, grown = course_of("p", [point(1, 0.0), point(2, 10 * smallest.ml)]).studies
    (previous, *_) = grown.regions[Region.ET].volume_changes
    assert previous.percent is None
    assert previous.repeats is False
    _, same = course_of("p", [point(1, 100.0), point(2, 100.0 + smallest.ml / 2)]).studies
    assert same.regions[Region.ET].volume_changes[0].repeats is True
    _, part = course_of("p", [point(1, 100.0), point(2, 100 + 0.9 * smallest.percent)]).studies
    assert part.regions[Region.ET].volume_changes[0].repeats is True


def test_studies_with_other_slices_repeat_less_and_lesions_and_products_have_limits_of_their_own() -> None:
    one, other = SMALLEST_CHANGE[Region.ET], WITH_OTHER_SLICES[Region.ET]
    before = point(1, 10.0, lesion("a", 2.0, 20.0, 20.0), slice_mm=1.0)
    alike = point(2, 2.0 + one.ml * 1.2, lesion("a", 2.0 + one.ml * 1.2, 20.0, 21.0), slice_mm=1.1)
    _, now = course_of("p", [before.model_copy(update={"volumes_ml": {Region.ET: 2.0}}), alike]).studies
    assert now.regions[Region.ET].volume_changes[0].repeats is False
    assert now.lesions[0].change is not None
    assert now.lesions[0].change.repeats is (one.ml * 1.2 <= one.lesion_ml)
    assert now.regions[Region.ET].product_changes[0].repeats is True
    thick = alike.model_copy(update={"slice_mm": 5.0, "lesions": (lesion("a", 2.0, 20.0, 40.0),)})
    _, now = course_of("p", [before.model_copy(update={"volumes_ml": {Region.ET: 2.0}}), thick]).studies
    assert now.regions[Region.ET].volume_changes[0].repeats is True
    assert now.regions[Region.ET].product_changes[0].repeats is (other.product_percent >= 50)
    _, now = course_of("p", [before, alike.model_copy(update={"lesions": (lesion("a", 2.0, 20.0, 40.0),)})]).studies
    assert now.regions[Region.ET].product_changes[0].repeats is False


def test_events_and_sums_of_products() -> None:
    first = point(1, 5.0, lesion("a", 3.0), lesion("b", 1.0), lesion("c", 1.0), lesion("u", 1.0))
    second = point(
        2, 9.0, lesion("a", 7.0, 30, 20), lesion("n", 2.0),
        links=(Link(before="a", after="a"), Link(before="b", after="a")), unseen=("u",),
    )  # fmt: skip
    third = point(
        3, 9.0, lesion("a", 5.0), lesion("s", 1.0), links=(Link(before="a", after="a"), Link(before="a", after="s"))
    )
    _, one, other = course_of("p", [first, second, third]).studies
    assert [(event.kind, event.before, event.after) for event in one.events] == [
        ("vanished", ("c",), ()), ("not shown", ("u",), ()), ("merged", ("a", "b"), ("a",)), ("new", (), ("n",)),
    ]  # fmt: skip
    assert [(event.kind, event.before, event.after) for event in other.events] == [
        ("split", ("a",), ("a", "s")), ("vanished", ("n",), ()),
    ]  # fmt: skip
    assert one.regions[Region.ET].product_mm2 == 600 + 300
    assert one.regions[Region.ET].product_changes[0].difference == 900 - 4 * 300
    grown = one.lesions[0].change
    assert grown is not None
    assert grown.difference == 4.0
    assert one.lesions[1].change is None


def test_without_the_study_in_between_changes_are_against_the_one_that_is_there() -> None:
    first, third = point(1, 10.0, lesion("a", 9.0)), point(3, 6.0, lesion("a", 6.0))
    _, now = course_of("p", [first, third]).studies
    assert now.regions[Region.ET].volume_changes[0].difference == -4.0
    assert now.lesions[0].change is not None
    assert now.events == ()  # its lesions were matched with a study that is gone


def test_what_is_not_comparable_is_told() -> None:
    points = [
        point(1, 10.0, model="a@1"),
        point(2, 9.0, model="b@1", source="corrected"),
        point(3, 8.0, model="b@1", aligned=False, left_out=(LeftOut(study="study-0", why="another birth date"),)),
    ]
    _, second, third = course_of("p", points).studies
    assert [flag.code for flag in second.flags] == []
    assert {flag.code: flag.detail for flag in third.flags} == {
        "PRIOR_NOT_ALIGNED": "",
        "PRIOR_BY_OTHER_MODEL": "a@1",
        "PRIOR_LEFT_OUT": "study-0: another birth date",
    }
    assert third.events == ()
