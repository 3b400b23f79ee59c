"""Lesions of a study: their number, place and size."""

import numpy as np
import pytest
import SimpleITK as sitk

from pipeline.course.lesions import lesions_of
from pipeline.course.records import Side
from pipeline.course.symmetry import mid_sagittal_plane
from pipeline.names import Region
from pipeline.volume.records import SourceVolume
from tests.unit.course.shapes import PLANE, balls, grid, labelled


def test_parts_are_lesions_with_side_volume_and_diameters() -> None:
    left, right, across = labelled(((30, 0, 0), 12), ((-30, 0, 0), 8), ((0, 40, 0), 6)).lesions
    assert [one.side for one in (left, right, across)] == [Side.LEFT, Side.RIGHT, Side.BOTH]
    assert left.volume_ml == pytest.approx(4 / 3 * np.pi * 1.2**3, rel=0.03)
    assert left.long_axis_mm == pytest.approx(24, abs=1.5)
    assert left.short_axis_mm == pytest.approx(24, abs=1.5)
    assert left.measurable
    assert right.measurable
    assert left.inside == pytest.approx((30, 0, 0), abs=1.1)


def test_a_speck_is_no_lesion_and_a_broken_rim_is_one() -> None:
    assert labelled(((30, 0, 0), 1.2)).lesions == ()
    (one,) = labelled(((20, 0, 0), 6), ((33.5, 0, 0), 6)).lesions
    assert one.long_axis_mm == pytest.approx(25.5, abs=1.5)
    assert len(labelled(((20, 0, 0), 6), ((36, 0, 0), 6)).lesions) == 2


def test_small_or_flat_is_not_measurable() -> None:
    small, flat = (
        labelled(((30, 0, 0), 4)).lesions[0],
        labelled(((30, 0, 0), 8), image=grid((110, 120, 9), (1, 1, 16))).lesions[0],
    )
    assert not small.measurable
    assert not flat.measurable
    assert flat.slices == 1


def test_diameters_are_those_of_axial_slices_whatever_the_series_planes() -> None:
    image = grid((60, 120, 110), (2.0, 1.0, 1.0))
    mask = balls(image, *(((30, 0, z), 7) for z in range(-24, 25, 2)))  # a rod along the body's axis
    sagittal = sitk.Image([120, 60, 110], sitk.sitkFloat32)  # columns along y, rows along -z, slices along x
    sagittal.SetDirection((0, 0, 1, 1, 0, 0, 0, -1, 0))
    sagittal.SetSpacing((1.0, 2.0, 1.0))
    sagittal.SetOrigin((-54.5, -59.5, 59.0))
    same = sitk.GetImageFromArray(mask.astype(np.uint8))
    same.CopyInformation(image)
    turned = sitk.Resample(same, sagittal, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    found = lesions_of({Region.ET: np.asarray(sitk.GetArrayViewFromImage(turned)) > 0}, sagittal, PLANE)[Region.ET]
    (lesion,) = found.lesions
    assert lesion.long_axis_mm == pytest.approx(14, abs=2)
    assert lesion.volume_ml == pytest.approx(mask.sum() * 0.002, rel=0.05)


def test_the_plane_of_symmetry_follows_a_head_that_is_turned_and_off_centre() -> None:
    image = grid((100, 120, 60), (2.0, 2.0, 3.0))
    index = np.moveaxis(np.indices(image.GetSize()[::-1]), 0, -1)[..., ::-1] * np.array(image.GetSpacing())
    points = index + np.array(image.GetOrigin()) - np.array([9.0, 0.0, 0.0])
    angle = np.radians(12)
    x = points[..., 0] * np.cos(angle) + points[..., 1] * np.sin(angle)
    y = -points[..., 0] * np.sin(angle) + points[..., 1] * np.cos(angle)
    head = (x / 65) ** 2 + (y / 90) ** 2 + (points[..., 2] / 80) ** 2 <= 1
    values = np.where(head, 500 + 30 * np.random.default_rng(1).standard_normal(head.shape), 5).astype(np.float32)
    found = sitk.GetImageFromArray(values)
    found.CopyInformation(image)
    plane = mid_sagittal_plane(SourceVolume(found, (), "1", "2", "3"))
    assert np.degrees(np.arccos(plane.normal @ [np.cos(angle), np.sin(angle), 0])) < 2.5
    assert abs(plane.to_the_left(np.array([[9.0, 0.0, 0.0]]))[0]) < 2
