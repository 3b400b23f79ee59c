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
    before, after, _, _ = followed([((30, 0, 0), 4)], [((30, 11, 0), 4)])
    assert before[0].tracking_uid == after[0].tracking_uid
    before, after, pairs, _ = followed([((30, 0, 0), 4)], [((30, 20, 0), 4)])
    assert before[0].tracking_uid != after[0].tracking_uid
    assert not pairs


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
