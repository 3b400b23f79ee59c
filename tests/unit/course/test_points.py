"""Points of a course: lesions keep their tracking UIDs, whatever comes late or is measured anew."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from benchmarks.displacements import displaced
from pipeline.course.change import course_of
from pipeline.course.lesions import lesions_of
from pipeline.course.matching import match_all
from pipeline.course.points import Comparison, Measured, Origin, compare, lost_only, measure, point_of
from pipeline.course.priors import StudyFacts
from pipeline.course.records import TimePoint
from pipeline.course.scans import Scan
from pipeline.names import Region
from pipeline.volume import read_volume
from pipeline.volume.records import SourceVolume
from tests.unit.course.shapes import PLANE, Ball, balls, grid


def measured(*found: Ball) -> Measured:
    image = grid()
    masks = {Region.ET: balls(image, *found)}
    return Measured(Scan(SourceVolume(image, (), "1", "2", "3"), (), masks, None), lesions_of(masks, image, PLANE))


def facts(month: int) -> StudyFacts:
    return StudyFacts(f"study-{month}", f"1.2.{month}", "P1", datetime(2026, month, 1), ("", "", ""))


def beside(point: TimePoint, other: Measured, now: Measured) -> Comparison:
    regions = other.with_lesions(point.lesions).regions
    return Comparison(point, {"known": True}, match_all(regions, now.regions, sitk.Transform()))


def uids(point: TimePoint) -> list[str]:
    return [one.tracking_uid for one in point.lesions]


ONE: Ball = ((30, 0, 0), 10)
OTHER: Ball = ((-30, 0, 0), 7)


def test_a_course_of_growth_a_new_lesion_and_an_end() -> None:
    scans = [measured(ONE), measured(((30, 1, 0), 12), OTHER), measured(((-30, 0, 0), 8))]
    points: list[TimePoint] = []
    for month, scan in enumerate(scans, start=1):
        before = beside(points[-1], scans[month - 2], scan) if points else None
        points.append(point_of(facts(month), Origin("a@1", "automatic", str(month)), scan, before))
    assert uids(points[0])[0] == uids(points[1])[0]
    assert uids(points[1])[1] == uids(points[2])[0]
    course = course_of("p", points)
    assert [[event.kind for event in study.events] for study in course.studies] == [[], ["new"], ["vanished"]]
    grown = course.studies[1].regions[Region.ET].volume_changes[0]
    assert grown.difference == pytest.approx(4 / 3 * np.pi * (1.2**3 + 0.7**3 - 1), rel=0.05)
    assert TimePoint.model_validate_json(points[1].model_dump_json()) == points[1]


def test_a_lesion_that_vanished_and_is_back_has_the_identity_that_it_had() -> None:
    """What grows where the other lesion was, which is still there, is none that is back."""
    scans = [measured(ONE, OTHER), measured(ONE), measured(ONE, ((-30, 2, 0), 6), ((0, 40, 0), 6))]
    points: list[TimePoint] = []
    for month, scan in enumerate(scans, start=1):
        before = beside(points[-1], scans[month - 2], scan) if points else None
        lost = [lost_only(beside(points[0], scans[0], scan), points[1])] if month == 3 else []
        points.append(
            point_of(facts(month), Origin("a@1", "automatic", str(month)), scan, before, lost=lambda found=lost: found)
        )
    assert uids(points[2])[:2] == uids(points[0])
    assert uids(points[2])[2] not in uids(points[0])
    (course,) = course_of("p", points).studies[2:]
    assert [(event.kind, event.after[0]) for event in course.events] == [
        ("returned", uids(points[0])[1]),
        ("new", uids(points[2])[2]),
    ]


def followed(*scans: Measured) -> list[TimePoint]:
    """Points of scans a month apart."""
    points: list[TimePoint] = []
    for month, scan in enumerate(scans, start=1):
        before = beside(points[-1], scans[month - 2], scan) if points else None
        there = uids(points[-1]) if points else []
        earlier = [
            beside(point, scans[place], scan)
            for place, point in reversed(list(enumerate(points[:-1])))
            if set(uids(point)) - set(there)
        ]
        origin = Origin("a@1", "automatic", str(month))
        points.append(point_of(facts(month), origin, scan, before, lost=lambda found=earlier: found))  # type: ignore[misc]
    return points


def test_what_merged_and_parts_again_has_the_names_that_it_had() -> None:
    """Also where the part that is now larger was the smaller one when both merged."""
    one, other, third = (30, -16, 0), (30, 12, 0), (30, 36, 0)
    points = followed(
        measured((one, 10), (other, 7), (third, 5)),
        measured((one, 16), (other, 13), (third, 5)),
        measured((one, 16), (other, 13), (third, 12)),
        measured((one, 5), (other, 8), (third, 9)),
    )
    first, second, merged, apart = ({lesion.inside[1]: lesion.tracking_uid for lesion in p.lesions} for p in points)
    assert [len(found) for found in (first, second, merged, apart)] == [3, 2, 1, 3]
    assert [first[y] for y in sorted(first)] == [apart[y] for y in sorted(apart)]
    assert [event.kind for event in course_of("p", points).studies[-1].events] == ["split"]


def test_what_alone_is_left_of_several_that_had_merged_has_its_own_name_and_is_told() -> None:
    mass, small = (30, -16, 0), (30, 6, 0)
    points = followed(measured((mass, 12), (small, 4)), measured((mass, 24)), measured((small, 5)))
    first, merged, left = (uids(point) for point in points)
    assert (merged, left) == (first[:1], first[1:])
    study = course_of("p", points).studies[-1]
    assert [(event.kind, *event.before, *event.after) for event in study.events] == [
        ("vanished", first[0]),
        ("returned", first[1]),
    ]
    assert [flag.code for flag in study.flags] == ["LESION_UNSURE"]
    # What has only shrunk to where it was keeps its name.
    points = followed(measured((mass, 12), (small, 4)), measured((mass, 24)), measured((mass, 6)))
    assert uids(points[2]) == uids(points[1]) == uids(points[0])[:1]


def test_a_lesion_whose_identity_is_not_sure_is_told() -> None:
    points = followed(measured(((30, 0, 0), 4), OTHER), measured(((30, 11, 0), 4), OTHER))
    study = course_of("p", points).studies[1]
    assert [event.kind for event in study.events] == ["vanished", "new"]
    assert [lesion.unsure for lesion in study.lesions] == [False, True]
    assert [(flag.code, flag.detail) for flag in study.flags] == [("LESION_UNSURE", "ET left 0.30 ml")]


def test_a_cavity_is_followed_by_its_volume_from_where_there_is_one() -> None:
    image = grid()
    before = measured(ONE)
    masks = {Region.ET: balls(image), Region.CAVITY: balls(image, ((30, 0, 0), 9))}
    resected = measure(Scan(SourceVolume(image, (), "1", "2", "3"), (), masks, None))
    shrunk = replace(resected.scan, masks={**masks, Region.CAVITY: balls(image, ((30, 0, 0), 7))})
    points: list[TimePoint] = []
    for month, scan in enumerate((before, resected, Measured(shrunk, resected.regions)), start=1):
        points.append(point_of(facts(month), Origin("a@1", "automatic", str(month)), scan))
    first, second, third = course_of("p", points).studies
    assert Region.CAVITY not in first.regions
    assert second.regions[Region.CAVITY].volume_changes == ()
    (change, *_) = third.regions[Region.CAVITY].volume_changes
    assert change.difference == pytest.approx(4 / 3 * np.pi * (0.7**3 - 0.9**3), rel=0.05)
    assert third.lesions == ()


def test_the_same_again_has_the_same_uids_and_a_correction_keeps_them() -> None:
    scan = measured(ONE, OTHER)
    first = point_of(facts(1), Origin("a@1", "automatic", "x"), scan)
    assert uids(point_of(facts(1), Origin("a@1", "automatic", "x"), measured(ONE, OTHER))) == uids(first)
    corrected = point_of(facts(1), Origin("a@1", "corrected", "y"), measured(((-30, 0, 0), 12), ONE), former=first)
    assert uids(corrected) == uids(first)[::-1]


def test_a_study_that_comes_late_takes_the_uids_of_the_later_one() -> None:
    scan, late = measured(ONE), measured(OTHER, ONE)
    second = point_of(facts(2), Origin("a@1", "automatic", "x"), scan)
    first = point_of(facts(1), Origin("a@1", "automatic", "y"), late, later=lambda: beside(second, scan, late))
    assert uids(second)[0] == uids(first)[0]
    assert uids(first)[1] not in uids(second)


def test_a_later_study_whose_contours_were_corrected_meanwhile_gives_the_names_that_it_had(sample_study: Path) -> None:
    """Both were corrected before the course was made: what is kept of the later one is not what is measured of it."""
    volume = read_volume(sorted((sample_study / "t1c").glob("*.dcm")))

    def scan(*found: Ball) -> Measured:
        return measure(Scan(volume, (), {Region.ET: balls(volume.image, *found)}, None))

    kept = point_of(facts(2), Origin("a@1", "automatic", "x"), scan(ONE))
    corrected = scan(((30, 0, 0), 12), OTHER)
    now = scan(OTHER, ONE)
    first = point_of(
        facts(1), Origin("a@1", "corrected", "y"), now, later=lambda: compare(kept, lambda: corrected, now)
    )
    assert uids(first)[0] == uids(kept)[0]
    assert len(set(uids(first))) == 2
    empty = point_of(facts(2), Origin("a@1", "automatic", "x"), scan())
    late = point_of(
        facts(1), Origin("a@1", "corrected", "y"), now, later=lambda: compare(empty, lambda: corrected, now)
    )
    assert len(set(uids(late))) == 2


def test_studies_of_a_head_that_lies_otherwise_are_compared_in_one_space(sample_study: Path) -> None:
    """The shipped T1c, and the same with a header that says that the patient lies elsewhere; a mask that grew."""
    volume = read_volume(sorted((sample_study / "t1c").glob("*.dcm")))
    head = measure(Scan(volume, (), {Region.ET: balls(volume.image, ((30, 0, 0), 9))}, None))
    moved = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.1, -0.05, 0.15, (8.0, -6.0, 5.0))
    lying = displaced(volume.image, moved)
    place = moved.TransformPoint((30.0, 0.0, 0.0))
    other = SourceVolume(lying, volume.slices, "4", "5", "6")
    now = measure(Scan(other, (), {Region.ET: balls(lying, (place, 12))}, None))
    before = point_of(facts(1), Origin("a@1", "automatic", "x"), head)
    beside = compare(before, lambda: head, now)
    after = point_of(facts(2), Origin("a@1", "automatic", "y"), now, beside)
    assert after.aligned
    assert uids(after) == uids(before)
    assert after.lesions[0].side == before.lesions[0].side
    assert after.shift_mm == 0  # the head has moved, and the brain with it


def test_a_brain_that_has_moved_in_its_head_is_told(sample_study: Path) -> None:
    volume = read_volume(sorted((sample_study / "t1c").glob("*.dcm")))
    image = volume.image
    index = np.moveaxis(np.indices(image.GetSize()[::-1]), 0, -1)[..., ::-1].astype(np.float64)
    to_mm = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    away = np.linalg.norm(index @ to_mm.T + np.array(image.GetOrigin()) - (45.0, -10.0, 10.0), axis=-1)
    push = np.zeros((*away.shape, 3))
    push[..., 0] = 8 * np.exp(-((away / 45) ** 2))
    field = sitk.GetImageFromArray(push, isVector=True)
    field.CopyInformation(image)
    bulged = sitk.Resample(image, image, sitk.DisplacementFieldTransform(field), sitk.sitkLinear, 0.0)
    # Two small ones beside it move by 6.5 mm: the second to where the first was.
    mask = {Region.ET: balls(image, ((45, 0, 10), 18), ((45, -30, 10), 3.2), ((54.5, -30, 10), 3))}
    pushed = {Region.ET: balls(image, ((45, 0, 10), 18), ((38.4, -30, 10), 3.2), ((48.2, -30, 10), 3))}
    head = measure(Scan(volume, (), mask, None))
    now = measure(Scan(SourceVolume(bulged, volume.slices, "4", "5", "6"), (), pushed, None))
    before = point_of(facts(1), Origin("a@1", "automatic", "x"), head)
    after = point_of(facts(2), Origin("a@1", "automatic", "y"), now, compare(before, lambda: head, now))
    assert 4 <= after.shift_mm < 8
    assert len(uids(before)) == 3
    assert uids(after) == uids(before)
    flags = course_of("p", [before, after]).studies[1].flags
    assert [flag.code for flag in flags] == ["BRAIN_SHIFTED", "LESION_UNSURE"]


def test_what_cannot_be_aligned_is_not_matched(sample_study: Path) -> None:
    volume = read_volume(sorted((sample_study / "t1c").glob("*.dcm")))
    head = measure(Scan(volume, (), {Region.ET: balls(volume.image, ((30, 0, 0), 9))}, None))
    before = point_of(facts(1), Origin("a@1", "automatic", "x"), head)
    noise = sitk.GetImageFromArray(np.random.default_rng(1).random(volume.image.GetSize()[::-1], dtype=np.float32))
    noise.CopyInformation(volume.image)
    now = measure(Scan(SourceVolume(noise, volume.slices, "4", "5", "6"), (), dict(head.scan.masks), None))
    after = point_of(facts(2), Origin("a@1", "automatic", "y"), now, compare(before, lambda: head, now))
    assert after.aligned is False
    assert set(uids(after)).isdisjoint(uids(before))
    course = course_of("p", [before, after])
    assert [flag.code for flag in course.studies[1].flags] == ["PRIOR_NOT_ALIGNED"]
    assert course.studies[1].regions[Region.ET].volume_changes[0].difference == 0
