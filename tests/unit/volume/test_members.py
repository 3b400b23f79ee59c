"""Objects and slices that are no members of a series' stack; and slices that lack, which are never made up for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import (
    GrayscaleSoftcopyPresentationStateStorage,
    MRSpectroscopyStorage,
    RawDataStorage,
    SecondaryCaptureImageStorage,
)

from pipeline.errors import GlioLoopError
from pipeline.identify.parts import SeriesPart
from pipeline.volume import read_series, read_volume
from tests.unit.volume.test_volume import instance, saved, stack

Intruder = Callable[[], list[Dataset]]


def no_image(sop_class: str) -> list[Dataset]:
    keywords = ("Rows", "Columns", "PixelData", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
    dataset = instance(200, (0, 0, 0), **dict.fromkeys(keywords))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    return [dataset]


def capture() -> list[Dataset]:
    dataset = instance(200, (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None)
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    return [dataset]


def localizer() -> list[Dataset]:
    """Three planes, before the stack."""
    planes = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1])
    return [instance(200 + n, (-10, -20, 12.3), ImageOrientationPatient=plane) for n, plane in enumerate(planes)]


def other_matrix() -> list[Dataset]:
    return [instance(200, (-10, -20, 11), Rows=4, PixelData=bytes(4 * 7 * 2))]


def other_frame_of_reference() -> list[Dataset]:
    return [instance(200, (-10, -20, 12.3), FrameOfReferenceUID="1.2.10")]


def projection_in_place() -> list[Dataset]:
    return [instance(200, (-10, -20, 11), ImageType=["DERIVED", "SECONDARY", "MIP"])]


def projection_at_the_end() -> list[Dataset]:
    return [instance(200, (-10, -20, 41), ImageType=["DERIVED", "SECONDARY", "PROJECTION IMAGE"])]


def scout_of_the_same_plane() -> list[Dataset]:
    """Coarser steps than the stack, other timing."""
    return [instance(200 + k, (-10, -20, -20 + 35.0 * k), RepetitionTime=9.0, EchoTime=3.0) for k in range(3)]


def copy_off_position() -> list[Dataset]:
    return [instance(200, (-10, -20, 12.3))]


def copy_beside() -> list[Dataset]:
    return [instance(200, (-2, -20, 11))]


def copy_far_away() -> list[Dataset]:
    return [instance(200, (-10, -20, 301.1))]


def copy_in_place() -> list[Dataset]:
    return [instance(200, (-10, -20, 11), AcquisitionTime="120000")]


INTRUDERS: list[tuple[Intruder, int]] = [
    (lambda: no_image(RawDataStorage), 1),
    (lambda: no_image(GrayscaleSoftcopyPresentationStateStorage), 1),
    (lambda: no_image(MRSpectroscopyStorage), 1),
    (capture, 1),
    (localizer, 3),
    (other_matrix, 1),
    (other_frame_of_reference, 1),
    (projection_in_place, 1),
    (projection_at_the_end, 1),
    (scout_of_the_same_plane, 3),
    (copy_off_position, 1),
    (copy_beside, 1),
    (copy_far_away, 1),
    (copy_in_place, 1),
]


@pytest.mark.parametrize(("intruder", "count"), INTRUDERS, ids=lambda one: getattr(one, "__name__", ""))
@pytest.mark.parametrize("first", [True, False])
def test_what_is_no_member_is_left_out_and_told(tmp_path: Path, intruder: Intruder, count: int, first: bool) -> None:
    added = intruder()
    for number, dataset in enumerate(added):
        dataset.InstanceNumber = number - 10 if first else 200 + number
    plain = stack(12)
    found = read_series(saved(tmp_path, [*added, *plain] if first else [*plain, *added]))
    assert [one.sop_instance_uid for one in found.volume.slices] == [one.SOPInstanceUID for one in plain]
    assert sum(int(told.split()[0]) for told in found.left_out) == count, found.left_out


def test_a_plain_stack_leaves_nothing_out(tmp_path: Path) -> None:
    assert read_series(saved(tmp_path, [*stack(12), *stack(12)])).left_out == ()


@pytest.mark.parametrize("lost", [1, 5, 10])
def test_a_slice_that_lacks_is_not_made_up_for(tmp_path: Path, lost: int) -> None:
    """The ends of the rest would be a shorter, regular stack: never taken."""
    datasets = stack(12)
    del datasets[lost]
    with pytest.raises(GlioLoopError) as caught:
        read_volume(saved(tmp_path, datasets))
    assert caught.value.code == "GEOMETRY_INCOMPLETE"


@pytest.mark.parametrize("lost", [1, 5])
def test_nor_where_something_foreign_lies_beside(tmp_path: Path, lost: int) -> None:
    datasets = [*stack(12), *copy_off_position()]
    del datasets[lost]
    with pytest.raises(GlioLoopError) as caught:
        read_volume(saved(tmp_path, datasets))
    assert caught.value.code == "GEOMETRY_INCOMPLETE"


def test_two_stacks_in_one_series_are_refused(tmp_path: Path) -> None:
    other = [instance(100 + k, (0, 5.0 * k, 0), ImageOrientationPatient=[1, 0, 0, 0, 0, -1]) for k in range(8)]
    with pytest.raises(GlioLoopError) as caught:
        read_volume(saved(tmp_path, [*stack(12), *other]))
    assert caught.value.code == "GEOMETRY_MIXED"


def test_a_coordinate_system_for_every_instance_tells_nothing(tmp_path: Path) -> None:
    datasets = stack(12)
    for number, dataset in enumerate(datasets):
        dataset.FrameOfReferenceUID = f"1.2.9.{number}"
    assert len(read_volume(saved(tmp_path, datasets)).slices) == 12


@pytest.mark.parametrize("swapped", [False, True])
def test_the_part_that_is_wanted(tmp_path: Path, swapped: bool) -> None:
    echoes = (14.0, 95.0)[:: -1 if swapped else 1]
    datasets = [
        instance(10 * k + e, (0, 0, 3.0 * k), EchoTime=te) for k in range(8) for e, te in enumerate(echoes, start=1)
    ]
    files = saved(tmp_path, datasets)
    volume = read_volume(files, SeriesPart((("echo time", 95.0),)))
    wanted = {dcmread(path).SOPInstanceUID for path in files if dcmread(path).EchoTime == 95.0}
    assert {one.sop_instance_uid for one in volume.slices} == wanted
    with pytest.raises(GlioLoopError) as caught:
        read_volume(files, SeriesPart((("echo time", 50.0),)))
    assert caught.value.code == "PART_MISSING"


def test_repetitions_that_only_their_times_tell_apart(tmp_path: Path) -> None:
    """Two passes, every slice with its own time, packages of odd and even slices."""
    datasets = []
    for again in range(2):
        for k in range(8):
            time = 100000 + 1000 * again + 100 * (k % 2) + k
            number = 20 * again + k + 1
            datasets.append(instance(number, (0, 0, 3.0 * k), AcquisitionTime=str(time), AcquisitionNumber=number))
    files = saved(tmp_path, datasets)
    for again in (1, 2):
        volume = read_volume(files, SeriesPart((("repetition", float(again)),)))
        assert [one.sop_instance_uid for one in volume.slices] == [f"1.2.3.{20 * again - 19 + k}" for k in range(8)]
        assert np.isfinite(sitk.GetArrayFromImage(volume.image)).all()


def test_each_echo_lacks_another_slice(tmp_path: Path) -> None:
    """The union of both would be whole, and of two echoes."""
    datasets = [
        instance(10 * k + e, (0, 0, 3.0 * k), EchoTime=te)
        for k in range(12)
        for e, te, lost in ((1, 14.0, 3), (2, 95.0, 8))
        if k != lost
    ]
    with pytest.raises(GlioLoopError) as caught:
        read_volume(saved(tmp_path, datasets))
    assert caught.value.code == "GEOMETRY_INCOMPLETE"


def test_an_image_of_another_coordinate_system_is_left_out_though_it_would_fit(tmp_path: Path) -> None:
    further = instance(200, (-10, -20, 5 + 3.0 * 8), FrameOfReferenceUID="1.2.10")
    volume = read_volume(saved(tmp_path, [*stack(), further]))
    assert (len(volume.slices), volume.frame_of_reference_uid) == (8, "1.2.9")


def test_a_coordinate_system_that_is_not_named_stays_unnamed(tmp_path: Path) -> None:
    assert read_volume(saved(tmp_path, stack(FrameOfReferenceUID=None))).frame_of_reference_uid == ""
