"""Structure sets read back: our own, those of other vendors, and those that are spoilt."""

import copy
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.data import get_testdata_file
from scipy import ndimage

from pipeline.errors import GlioLoopError
from pipeline.objects import HoleEncodings, Provenance, RegionOfInterest, RTStructureSet, read_structure_set
from pipeline.objects.rtstruct.parse import parse_structure_set
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import image_like, phantom_series, random_orientation, signed_distance, soft, volume_of


def array_of(image: sitk.Image) -> np.ndarray:
    return np.asarray(sitk.GetArrayFromImage(image))


def reread(dataset: Dataset) -> Dataset:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    file.seek(0)
    return pydicom.dcmread(file)


@pytest.fixture
def ball() -> tuple[Dataset, SourceVolume, np.ndarray]:
    headers, volume = phantom_series(shape=(12, 40, 48))
    field = soft(13 - signed_distance(volume))
    made = RTStructureSet(
        headers, volume, [RegionOfInterest(1, "GTV_WT", image_like(field, volume))], Provenance("m@1")
    )
    return reread(made), volume, field >= 0.5


def test_time_grows_with_the_number_of_rois_and_not_with_its_square() -> None:
    dataset = Dataset()
    dataset.Modality = "RTSTRUCT"
    dataset.StructureSetROISequence = [Dataset() for _ in range(12_000)]
    dataset.ROIContourSequence = [Dataset() for _ in range(12_000)]
    for number, (roi, contours) in enumerate(
        zip(dataset.StructureSetROISequence, dataset.ROIContourSequence, strict=True)
    ):
        roi.ROINumber = contours.ReferencedROINumber = number
    started = time.process_time()
    assert len(parse_structure_set(dataset).rois) == 12_000
    assert time.process_time() - started < 8  # a second; in quadratic time fourteen


def mask_of(dataset: Dataset, volume: SourceVolume) -> np.ndarray:
    return array_of(read_structure_set(dataset, volume)[0].mask) > 0


@pytest.mark.parametrize("seed", range(40))
def test_round_trip_on_random_oblique_grids(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(int(size) for size in generator.integers((5, 20, 20), (16, 70, 70)))
    spacing = tuple(float(step) for step in generator.uniform((0.4, 0.4, 0.8), (1.4, 1.4, 6.0)))
    headers, volume = phantom_series(
        shape, spacing, random_orientation(generator), generator.uniform(-200, 200, 3).tolist(), pixels=False
    )
    noise = ndimage.gaussian_filter(generator.normal(size=shape), generator.uniform(0.6, 3))
    level = float(np.quantile(noise, generator.uniform(0.5, 0.9)))
    image = image_like(np.clip(0.5 + (noise - level) / noise.std(), 0, 1).astype(np.float32), volume)
    if seed % 2:
        image = image_like((noise >= level).astype(np.uint8), volume)
    holes = list(HoleEncodings)[seed % 3]
    made = RTStructureSet(headers, volume, [RegionOfInterest(1, "GTV", image)], Provenance("m@1"), holes=holes)
    mask, expected = mask_of(reread(made), volume), noise >= level
    dice = 2 * (mask & expected).sum() / (mask.sum() + expected.sum())
    assert expected.sum() > 100
    assert dice >= 0.999


def _reversed_points(contour: Dataset) -> None:
    points = np.array(contour.ContourData, float).reshape(-1, 3)[::-1]
    contour.ContourData = points.ravel().tolist()


def _repeated_first(contour: Dataset) -> None:
    points = np.array(contour.ContourData, float).reshape(-1, 3)
    contour.ContourData = np.concatenate([points, points[:1]]).ravel().tolist()
    contour.NumberOfContourPoints = len(points) + 1


def _opened(contour: Dataset) -> None:
    contour.ContourGeometricType = "OPEN_PLANAR"


def _without_images(contour: Dataset) -> None:
    del contour.ContourImageSequence


def _wrong_images(contour: Dataset) -> None:
    contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def _without_counts(contour: Dataset) -> None:
    del contour.NumberOfContourPoints
    del contour.ContourGeometricType


@pytest.mark.parametrize(
    "spoil", [_reversed_points, _repeated_first, _opened, _without_images, _wrong_images, _without_counts]
)
def test_unusual_contours_are_read_all_the_same(ball: tuple, spoil: Callable[[Dataset], None]) -> None:
    dataset, volume, expected = ball
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        spoil(contour)
    assert np.array_equal(mask_of(reread(dataset), volume), expected)


def test_duplicate_contours_do_not_cancel(ball: tuple) -> None:
    dataset, volume, expected = ball
    doubled = [copy.deepcopy(item) for item in dataset.ROIContourSequence[0].ContourSequence]
    _reversed_points(doubled[0])
    dataset.ROIContourSequence[0].ContourSequence.extend(doubled)
    roi = read_structure_set(reread(dataset), volume)[0]
    assert np.array_equal(array_of(roi.mask) > 0, expected)
    assert any("duplicate" in warning for warning in roi.warnings)


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"])
def test_contours_that_overlap_in_part_are_one_thing(ball: tuple, kind: str) -> None:
    """A piece drawn across the border: what both share is inside, unless the writer says the opposite."""
    dataset, volume, expected = ball
    contours = dataset.ROIContourSequence[0].ContourSequence
    moved = [copy.deepcopy(item) for item in contours]
    for item in moved:
        item.ContourData = (np.array(item.ContourData, float).reshape(-1, 3) + np.array([8.0, 0, 0])).ravel().tolist()
    contours.extend(moved)
    for item in contours:
        item.ContourGeometricType = kind
    roi = read_structure_set(reread(dataset), volume)[0]
    mask, step = array_of(roi.mask) > 0, round(8.0 / volume.image.GetSpacing()[0])
    other = np.roll(expected, step, axis=2)
    if kind == "CLOSEDPLANAR_XOR":
        assert (mask ^ (expected ^ other)).mean() < 0.002
    else:
        assert (mask ^ (expected | other)).mean() < 0.002
        assert any("overlap" in warning for warning in roi.warnings)


def test_points_and_lines_are_left_out_with_a_warning(ball: tuple) -> None:
    dataset, volume, expected = ball
    point = copy.deepcopy(dataset.ROIContourSequence[0].ContourSequence[0])
    point.ContourGeometricType, point.ContourData, point.NumberOfContourPoints = "POINT", [1.0, 2.0, 3.0], 1
    dataset.ROIContourSequence[0].ContourSequence.append(point)
    roi = read_structure_set(reread(dataset), volume)[0]
    assert np.array_equal(array_of(roi.mask) > 0, expected)
    assert any("no area" in warning for warning in roi.warnings)


@pytest.mark.parametrize("shift", [0.3, -0.4])
def test_contours_between_slices_go_to_the_nearest(ball: tuple, shift: float) -> None:
    dataset, volume, expected = ball
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        contour.ContourData = (points + np.array([0, 0, shift * 3.0])).ravel().tolist()
    roi = read_structure_set(reread(dataset), volume)[0]
    assert np.array_equal(array_of(roi.mask) > 0, expected)
    assert any("between" in warning for warning in roi.warnings)


def test_contours_drawn_on_thinner_slices_are_sampled_not_mixed() -> None:
    fine_headers, fine = phantom_series(shape=(48, 40, 48), spacing=(0.9, 1.1, 0.75))
    coarse_headers, _ = phantom_series(shape=(12, 40, 48), spacing=(0.9, 1.1, 3.0), origin=(-20, -15, 12.3))
    for header in coarse_headers:
        header.FrameOfReferenceUID = fine.frame_of_reference_uid
    coarse = volume_of(coarse_headers, np.zeros((12, 40, 48)))
    field = soft(13 - signed_distance(fine))
    made = RTStructureSet(fine_headers, fine, [RegionOfInterest(1, "GTV", image_like(field, fine))], Provenance("m@1"))
    mask = mask_of(reread(made), coarse)
    assert mask.sum() * 4 == pytest.approx((field >= 0.5).sum(), rel=0.03)


def test_contours_drawn_on_thicker_slices_fill_their_slabs() -> None:
    fine_headers, fine = phantom_series(shape=(48, 40, 48), spacing=(0.9, 1.1, 1.0), origin=(-20, -15, 12.2))
    coarse_headers, coarse = phantom_series(shape=(24, 40, 48), spacing=(0.9, 1.1, 2.0))
    for header in fine_headers:
        header.FrameOfReferenceUID = coarse.frame_of_reference_uid
    fine = volume_of(fine_headers, np.zeros((48, 40, 48)))
    field = soft(13 - signed_distance(coarse))
    made = RTStructureSet(
        coarse_headers, coarse, [RegionOfInterest(1, "GTV", image_like(field, coarse))], Provenance("m@1")
    )
    assert mask_of(reread(made), fine).sum() == pytest.approx(2 * (field >= 0.5).sum(), rel=0.01)


def test_rois_without_contours_or_names(ball: tuple) -> None:
    dataset, volume, expected = ball
    unnamed = copy.deepcopy(dataset.ROIContourSequence[0])
    unnamed.ReferencedROINumber = 7
    nothing = copy.deepcopy(dataset.StructureSetROISequence[0])
    nothing.ROINumber, nothing.ROIName = 5, "Brain"
    dataset.ROIContourSequence.append(unnamed)
    dataset.StructureSetROISequence.append(nothing)
    del dataset.RTROIObservationsSequence
    rois = {roi.number: roi for roi in read_structure_set(reread(dataset), volume)}
    assert (rois[5].contour_count, array_of(rois[5].mask).sum()) == (0, 0)
    assert rois[7].name == "ROI 7"
    assert np.array_equal(array_of(rois[7].mask) > 0, expected)
    assert [roi.number for roi in read_structure_set(dataset, volume, numbers=[7])] == [7]


def test_structure_set_of_other_images_is_refused(ball: tuple) -> None:
    dataset, _, _ = ball
    _, other = phantom_series()
    with pytest.raises(GlioLoopError) as caught:
        read_structure_set(dataset, other)
    assert caught.value.code == "STRUCTURE_SET_FOREIGN"


def test_contours_elsewhere_are_refused_not_silently_empty(ball: tuple) -> None:
    dataset, volume, _ = ball
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, float).reshape(-1, 3)
        contour.ContourData = (points + np.array([0, 0, 500])).ravel().tolist()
    with pytest.raises(GlioLoopError) as caught:
        read_structure_set(reread(dataset), volume)
    assert caught.value.code == "STRUCTURE_SET_FOREIGN"


def test_missing_frame_of_reference_is_forgiven(ball: tuple) -> None:
    dataset, volume, expected = ball
    del dataset.ReferencedFrameOfReferenceSequence
    del dataset.FrameOfReferenceUID
    del dataset.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    assert np.array_equal(mask_of(reread(dataset), volume), expected)


@pytest.mark.parametrize("data", [["a", "b", "c"], [1.0, 2.0], "1\\2\\nan\\1\\2\\3\\4\\5\\6"])
def test_contour_data_that_are_no_points_are_refused(ball: tuple, data: object) -> None:
    dataset, volume, _ = ball
    item = dataset.ROIContourSequence[0].ContourSequence[0]
    text = data if isinstance(data, str) else "\\".join(map(str, data))  # type: ignore[call-overload]
    value = text.encode()
    tag = pydicom.tag.Tag("ContourData")
    item[tag] = pydicom.dataelem.RawDataElement(tag, "DS", len(value), value, 0, False, True)
    if len(text.split("\\")) == 2:
        item[tag] = pydicom.dataelem.RawDataElement(tag, "DS", 12, b"1\\2\\3\\4\\5\\6\\7\\8", 0, False, True)
    with pytest.raises(GlioLoopError) as caught:
        read_structure_set(dataset, volume)
    assert caught.value.code == "STRUCTURE_SET_UNREADABLE"


def test_other_objects_and_damaged_files_are_refused(ball: tuple, tmp_path: Path) -> None:
    _, volume, _ = ball
    headers, _ = phantom_series()
    image = tmp_path / "image.dcm"
    headers[0].save_as(image, enforce_file_format=True)
    text = tmp_path / "note.txt"
    text.write_text("no DICOM in here at all")
    for source in (image, text, tmp_path / "absent.dcm", headers[0]):
        with pytest.raises(GlioLoopError) as caught:
            read_structure_set(source, volume)
        assert caught.value.code == "STRUCTURE_SET_UNREADABLE"


def plane_volume(points: np.ndarray, frame: str, spacing: float = 1.0) -> SourceVolume:
    """Return an axial volume that holds points (n, 3), for structure sets that came without their images."""
    low, high = points.min(axis=0) - 10, points.max(axis=0) + 10
    heights = np.unique(points[:, 2].round(2))
    step = float(np.diff(heights).min()) if len(heights) > 1 else 3.0
    count = round((heights[-1] - heights[0]) / step) + 1
    rows, columns = int((high - low)[1] / spacing), int((high - low)[0] / spacing)
    headers, _ = phantom_series(
        (count, rows, columns), (spacing, spacing, step), origin=(low[0], low[1], heights[0]), pixels=False
    )
    for header in headers:
        header.FrameOfReferenceUID = frame
    return volume_of(headers, np.zeros((count, rows, columns)))


def all_points(dataset: Dataset) -> np.ndarray:
    return np.concatenate(
        [
            np.array(contour.ContourData, float).reshape(-1, 3)
            for roi in dataset.ROIContourSequence
            for contour in roi.get("ContourSequence") or []
        ]
    )


def test_structure_set_of_pydicom() -> None:
    path = get_testdata_file("rtstruct.dcm")
    dataset = pydicom.dcmread(path, force=True)
    frame = dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID
    rois = read_structure_set(path, plane_volume(all_points(dataset), frame, 2.0))
    assert [roi.name for roi in rois] == [item.ROIName for item in dataset.StructureSetROISequence]
    assert all(array_of(roi.mask).any() for roi in rois if roi.contour_count)


def test_structure_set_of_cerr_on_its_images(shared_data: Path) -> None:
    folder = shared_data / "rtstruct" / "cerr" / "pat_2"
    datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    structures = next(item for item in datasets if item.Modality == "RTSTRUCT")
    images = [item for item in datasets if item.Modality != "RTSTRUCT"]
    images.sort(key=lambda item: float(item.ImagePositionPatient[2]))
    volume = volume_of(images, np.stack([item.pixel_array for item in images]))
    roi = read_structure_set(structures, volume)[0]
    areas = 0.0
    for contour in structures.ROIContourSequence[0].ContourSequence:
        x, y, _ = np.array(contour.ContourData, float).reshape(-1, 3).T
        areas += abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
    assert (roi.contour_count, roi.used_count) == (7, 7)
    assert array_of(roi.mask).sum() * np.prod(volume.image.GetSpacing()[:2]) == pytest.approx(areas, rel=0.02)


@pytest.mark.parametrize("name", ["invalid_reference_rt.dcm", "non_existent_reference_rt.dcm", "rt.dcm"])
def test_structure_sets_with_broken_references(shared_data: Path, name: str) -> None:
    path = shared_data / "rtstruct" / "rt-utils" / "mock_data" / name
    dataset = pydicom.dcmread(path)
    frame = str(dataset.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID)
    rois = read_structure_set(path, plane_volume(all_points(dataset), frame))
    assert len(rois) == len(dataset.StructureSetROISequence)
    assert all(roi.used_count == roi.contour_count for roi in rois)
    assert all(array_of(roi.mask).any() for roi in rois)
