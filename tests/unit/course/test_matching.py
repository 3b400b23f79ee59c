"""Lesions keep their tracking UID from study to study, whatever becomes of them."""

import numpy as np
import SimpleITK as sitk

from pipeline.course.lesions import Labelled
from pipeline.course.matching import inherited, known_again, match, named
from pipeline.course.records import Lesion
from tests.unit.course.shapes import Ball, grid, labelled

MOVED = sitk.Euler3DTransform((0.0, 0.0, 0.0), 0.05, -0.04, 0.1, (6.0, -4.0, 3.0))


def followed(
    before: list[Ball], after: list[Ball]
) -> tuple[tuple[Lesion, ...], tuple[Lesion, ...], list[tuple[int, int]], tuple[int, ...]]:
    """Lesions before and after with their UIDs, the pairs by place and what is not seen."""
    first = labelled(*before)
    one = named(first.lesions, "a")
    second = labelled(*after)
    found = match(Labelled(first.labels, one), second, sitk.Transform())
    other = named(inherited(one, second.lesions, found.pairs), "b")
    return one, other, [(pair.before, pair.after) for pair in found.pairs], found.unseen


def test_growth_and_shrinkage_keep_their_uids_and_what_is_new_gets_its_own() -> None:
    before, after, pairs, _ = followed(
        [((30, 0, 0), 12), ((-30, 0, 0), 10)], [((30, 0, 0), 6), ((-31, 2, 0), 14), ((0, -40, 0), 5)]
    )
    assert after[0].tracking_uid == before[1].tracking_uid  # the largest first
    assert after[1].tracking_uid == before[0].tracking_uid
    assert after[2].tracking_uid not in {one.tracking_uid for one in before}
    assert sorted(pairs) == [(0, 1), (1, 0)]


def test_a_merger_keeps_the_uid_of_the_larger_part_and_a_split_gives_it_to_the_larger_part() -> None:
    before, after, pairs, _ = followed([((20, 0, 0), 10), ((42, 0, 0), 6)], [((20, 0, 0), 12), ((38, 0, 0), 9)])
    assert len(after) == 1
    assert sorted(pairs) == [(0, 0), (1, 0)]
    assert after[0].tracking_uid == before[0].tracking_uid
    before, after, pairs, _ = followed([((20, 0, 0), 12), ((38, 0, 0), 9)], [((20, 0, 0), 10), ((42, 0, 0), 6)])
    assert sorted(pairs) == [(0, 0), (0, 1)]
    assert after[0].tracking_uid == before[0].tracking_uid != after[1].tracking_uid


def test_a_small_lesion_that_moved_beyond_itself_is_the_same_and_a_far_one_is_not() -> None:
    before, after, _, _ = followed([((30, 0, 0), 2.5)], [((30, 4.8, 0), 2.5)])
    assert before[0].tracking_uid == after[0].tracking_uid
    before, after, pairs, _ = followed([((30, 0, 0), 4)], [((30, 20, 0), 4)])
    assert before[0].tracking_uid != after[0].tracking_uid
    assert not pairs


def names(
    scans: list[list[Ball]], local: sitk.Transform | None = None
) -> tuple[list[list[str]], list[tuple[int, ...]]]:
    """Letters for the tracking UIDs of lesions in scans, in the order of their balls; and who is unsure."""
    known: dict[str, str] = {}
    former: Labelled | None = None
    told, unsure = [], []
    for number, found in enumerate(scans):
        now = labelled(*found)
        lesions = now.lesions
        if former is not None:
            matched = match(former, now, sitk.Transform(), local)
            lesions = inherited(former.lesions, lesions, matched.pairs)
            unsure.append(matched.unsure)
        former = Labelled(now.labels, named(lesions, str(number)))
        uids = [former.lesions[label_at(former, centre) - 1].tracking_uid for centre, _ in found]
        told.append([known.setdefault(uid, "abcdefg"[len(known)]) for uid in uids])
    return told, unsure


def label_at(lesions: Labelled, centre: tuple[float, float, float]) -> int:
    return int(lesions.labels.GetPixel(lesions.labels.TransformPhysicalPointToIndex(centre)))


def sliding(shift: tuple[float, float, float], until: float) -> sitk.Transform:
    """Where tissue in front of a place along y has come from: moved by a shift, and beyond the place not at all."""
    image = grid((19, 21, 21), (6.0, 6.0, 6.0))
    y = np.moveaxis(np.indices((21, 21, 19)), 0, -1)[..., 1] * 6.0 + image.GetOrigin()[1]
    moved = np.where((y < until)[..., None], -np.array(shift), 0.0)
    field = sitk.GetImageFromArray(moved, isVector=True)
    field.CopyInformation(image)
    return sitk.DisplacementFieldTransform(field)


def test_names_go_on_so_that_all_together_share_most() -> None:
    """One becomes two, of which one takes in the one beside it: three names for three places would be one too many."""
    before, after, pairs, _ = followed(
        [((30, -12, 0), 9), ((30, 4, 0), 9), ((30, 26, 0), 8)], [((30, -14, 0), 6), ((30, 14, 0), 16)]
    )
    assert {one.tracking_uid for one in after} <= {one.tracking_uid for one in before}
    assert len(pairs) == 3


def test_one_lesion_between_two_keeps_its_name_and_so_do_they() -> None:
    told, unsure = names(
        [
            [((30, -20, 0), 6), ((30, 20, 0), 6)],
            [((30, -20, 0), 7), ((30, 0, 0), 5), ((30, 20, 0), 5)],
            [((30, -20, 0), 5), ((30, 0, 0), 8), ((30, 20, 0), 6)],
        ]
    )
    assert told == [["a", "b"], ["a", "c", "b"], ["a", "c", "b"]]
    assert unsure == [(), ()]


def test_two_that_shift_onto_each_others_places_are_followed_by_the_tissue_around_them_and_told() -> None:
    scans: list[list[Ball]] = [[((30, 0, 0), 4), ((30, 12, 0), 4)], [((30, 9, 0), 4), ((30, 21, 0), 4)]]
    assert names(scans)[0][1] != ["a", "b"]  # by overlap alone they swap
    told, unsure = names(scans, sliding((0, 9, 0), 60))
    assert told == [["a", "b"], ["a", "b"]]
    assert unsure == [(0, 1)]


def test_what_has_moved_to_where_another_was_is_no_part_of_that_one() -> None:
    """A lesion that had pushed a small one aside has shrunk, and the small one is back within its old outline."""
    told, unsure = names([[((30, 0, 0), 16), ((30, 24, 0), 3.5)], [((30, 0, 0), 7), ((30, 14, 0), 4)]])
    assert told == [["a", "b"], ["a", "b"]]
    assert unsure == [(1,)]


def test_a_new_one_beside_where_another_vanished_is_new_and_told() -> None:
    """It would have to have moved by 11 mm, and nothing says that the brain has."""
    assert names([[((30, 0, 0), 4)], [((30, 11, 0), 4)]]) == ([["a"], ["b"]], [(0,)])
    assert names([[((30, 0, 0), 4)], [((30, 16, 0), 4)]]) == ([["a"], ["b"]], [()])


def test_what_a_mass_that_is_gone_had_pushed_aside_is_the_same_and_told() -> None:
    small: list[list[Ball]] = [[((30, 16, 0), 4)], [((30, 6, 0), 4)]]
    assert names(small) == ([["a"], ["b"]], [(0,)])
    mass: list[list[Ball]] = [[((30, -20, 0), 25)], [((30, -20, 0), 9)]]
    assert names([[*mass[0], *small[0]], [*mass[1], *small[1]]]) == ([["a", "b"], ["a", "b"]], [(1,)])


def test_who_is_who_is_decided_for_all_lesions_together() -> None:
    """Of a mass the rim is left, and the larger lesion that lies half within its old outline has sunk there."""
    told, unsure = names([[((30, -20, 0), 20), ((30, 12, 0), 3)], [((30, -14, 0), 3), ((30, 1, 0), 4)]])
    assert told == [["a", "b"], ["a", "b"]]
    assert unsure == [(0,)]  # the larger


def test_what_shares_little_is_told() -> None:
    grazing: list[list[Ball]] = [[((30, 0, 0), 6)], [((30, 8.5, 0), 6)]]
    assert names(grazing) == ([["a"], ["a"]], [(0,)])


def test_lesions_are_matched_in_one_space_and_what_is_outside_the_view_has_not_vanished() -> None:
    first = labelled(((30, 0, 0), 9), ((-30, 20, 40), 8))
    one = Labelled(first.labels, named(first.lesions, "a"))
    here = MOVED.GetInverse().TransformPoint((30.0, 0.0, 0.0))
    second = labelled((here, 9), image=grid((110, 120, 30)))
    found = match(one, second, MOVED)
    assert [(pair.before, pair.after) for pair in found.pairs] == [(0, 0)]
    assert found.pairs[0].overlap > 0.8 * (second.array == 1).sum()
    assert found.unseen == (1,)


def test_a_study_that_is_measured_anew_keeps_its_uids() -> None:
    former = named(labelled(((30, 0, 0), 10), ((-30, 0, 0), 7)).lesions, "a")
    now = labelled(((30, 1, 0), 8), ((-30, 0, 0), 9), ((0, 40, 0), 5))
    again = known_again(former, now)
    assert [one.tracking_uid for one in again] == [former[1].tracking_uid, former[0].tracking_uid, ""]
    assert np.unique(now.array).tolist() == [0, 1, 2, 3]
