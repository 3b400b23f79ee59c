"""Reading a series as a volume, on series written here and on real files.

Each of its tests is a few lines on the same fixtures; there are many, which is why this file is long.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, JPEGLSLossless, MRImageStorage, RLELossless

from pipeline.errors import GlioLoopError
from pipeline.identify.parts import SeriesPart
from pipeline.volume import VolumeLimits, read_volume

FloatArray = NDArray[np.float64]
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
COLUMNS, ROWS = 7, 5


def pixels(number: int) -> NDArray[np.int16]:
    """A different picture for every slice."""
    return (np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS) + 100 * number).astype(np.int16)


def instance(number: int, position: Any, cosines: Any = AXIAL, **values: Any) -> Dataset:
    """A classic MR instance; ``values`` set or (None) remove attributes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = MRImageStorage, f"1.2.3.{number}"
    dataset.Modality, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "MR", "1.2", "1.2.3"
    dataset.FrameOfReferenceUID, dataset.InstanceNumber = "1.2.9", number
    dataset.Rows, dataset.Columns, dataset.PixelSpacing = ROWS, COLUMNS, [2.0, 0.5]
    dataset.SliceThickness = 3.0
    dataset.ImagePositionPatient = [round(float(v), 8) for v in position]
    dataset.ImageOrientationPatient = [round(float(v), 10) for direction in cosines for v in direction]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.PixelData = pixels(number).tobytes()
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def saved(folder: Path, datasets: list[Dataset]) -> list[Path]:
    """Files in an order that says nothing."""
    files = []
    for index, dataset in enumerate(datasets):
        files.append(folder / f"{(index * 7) % 101:03d}-{index}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def stack(count: int = 8, step: float = 3.0, **values: Any) -> list[Dataset]:
    return [instance(k + 1, (-10.0, -20.0, 5.0 + step * k), **values) for k in range(count)]


def code_of(files: list[Path], limits: VolumeLimits | None = None) -> GlioLoopError:
    with pytest.raises(GlioLoopError) as caught:
        read_volume(files, limits=limits)
    return caught.value


def array_of(files: list[Path]) -> NDArray[np.float32]:
    return np.asarray(sitk.GetArrayFromImage(read_volume(files).image))


def test_a_plain_stack(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path, stack()))
    assert volume.image.GetSize() == (COLUMNS, ROWS, 8)
    assert volume.image.GetSpacing() == (0.5, 2.0, 3.0)
    assert volume.image.GetOrigin() == (-10.0, -20.0, 5.0)
    assert volume.image.GetPixelID() == sitk.sitkFloat32
    assert [s.sop_instance_uid for s in volume.slices] == [f"1.2.3.{k + 1}" for k in range(8)]
    assert volume.slices[1].position == (-10.0, -20.0, 8.0)
    assert (volume.study_instance_uid, volume.series_instance_uid) == ("1.2", "1.2.3")
    assert (volume.frame_of_reference_uid, volume.slice_thickness_mm) == ("1.2.9", 3.0)
    assert np.array_equal(sitk.GetArrayFromImage(volume.image)[4], pixels(5))


def test_slices_are_no_thicker_than_their_distance_as_written(tmp_path: Path) -> None:
    """Where SliceThickness lacks, it still tells that every second slice does."""
    every_second = stack(step=6.0, SliceThickness=None, SpacingBetweenSlices=3.3)
    assert read_volume(saved(tmp_path, every_second)).slice_thickness_mm == 3.3
    assert read_volume(saved(tmp_path, stack(SpacingBetweenSlices=3.3))).slice_thickness_mm == 3.0


def test_instance_number_and_slice_location_play_no_part(tmp_path: Path) -> None:
    datasets = stack()
    for dataset, number in zip(datasets, (3, 8, 1, 7, 2, 6, 4, 5), strict=True):
        dataset.InstanceNumber, dataset.SliceLocation = number, -number
    assert np.array_equal(array_of(saved(tmp_path, datasets))[:, 0, 0], [100 * k for k in range(1, 9)])


def rotation(angles: tuple[float, float, float]) -> FloatArray:
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*angles)
    return np.array(turn.GetMatrix()).reshape(3, 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-3.1, 3.1)] * 3),
    mirrored=st.booleans(),
    row_mm=st.floats(0.3, 3),
    column_mm=st.floats(0.3, 3),
    step=st.floats(0.5, 8),
    origin=st.tuples(*[st.floats(-200, 200)] * 3),
)
def test_any_orientation_puts_every_pixel_where_the_file_says(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, float, float],
    mirrored: bool,
    row_mm: float,
    column_mm: float,
    step: float,
    origin: tuple[float, float, float],
) -> None:
    """PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, for stacks that run along or against their normal."""
    axes = rotation(angles)
    row, column = axes[:, 0], -axes[:, 1] if mirrored else axes[:, 1]
    datasets = [
        instance(k + 1, np.array(origin) + step * k * axes[:, 2], (row, column), PixelSpacing=[row_mm, column_mm])
        for k in range(6)
    ]
    volume = read_volume(saved(tmp_path_factory.mktemp("series"), datasets))
    by_uid = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
    values = sitk.GetArrayFromImage(volume.image)
    for k, source in enumerate(volume.slices):
        dataset = by_uid[source.sop_instance_uid]
        assert np.array_equal(values[k], pixels(int(dataset.InstanceNumber)))
        for i, j in ((0, 0), (COLUMNS - 1, 2), (3, ROWS - 1)):
            expected = np.array(source.position) + row * column_mm * i + column * row_mm * j
            assert np.allclose(volume.image.TransformIndexToPhysicalPoint((i, j, k)), expected, atol=1e-3)
    assert np.linalg.det(np.array(volume.image.GetDirection()).reshape(3, 3)) == pytest.approx(1.0, abs=1e-9)


def test_one_percent_of_jitter_is_tolerated_more_is_not(tmp_path: Path) -> None:
    def jittering(fraction: float, folder: str) -> list[Path]:
        (tmp_path / folder).mkdir()
        datasets = stack()
        datasets[3].ImagePositionPatient[2] += 3.0 * fraction
        return saved(tmp_path / folder, datasets)

    assert read_volume(jittering(0.009, "a")).image.GetSpacing()[2] == pytest.approx(3.0)
    assert code_of(jittering(0.05, "b")).code == "GEOMETRY_INCOMPLETE"


def test_a_missing_slice_is_told_with_its_place(tmp_path: Path) -> None:
    datasets = stack(9)
    del datasets[4]
    error = code_of(saved(tmp_path, datasets))
    assert error.code == "GEOMETRY_INCOMPLETE"
    assert "between slices 4 and 5 it is 6.00 mm" in error.detail
    assert error.data["series_instance_uid"] == "1.2.3"


def test_a_series_sent_twice_counts_once(tmp_path: Path) -> None:
    again = stack()
    for number, dataset in enumerate(again, start=50):
        dataset.SOPInstanceUID = f"1.2.3.{number}"
        dataset.InstanceNumber = number
    volume = read_volume(saved(tmp_path, [*again, *stack()]))
    assert [s.sop_instance_uid for s in volume.slices] == [f"1.2.3.{k + 1}" for k in range(8)]


def test_the_same_file_twice_counts_once(tmp_path: Path) -> None:
    assert len(read_volume(saved(tmp_path, [*stack(), *stack()])).slices) == 8


@pytest.mark.parametrize(
    ("keyword", "values"),
    [
        ("EchoTime", (20.0, 100.0)),
        ("TemporalPositionIdentifier", (1, 2)),
        ("AcquisitionNumber", (1, 2)),
        ("DiffusionBValue", (0.0, 1000.0)),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])),
        ("InversionTime", (400.0, 2500.0)),
        ("AcquisitionTime", ("100000", "100500")),
    ],
)
def test_several_volumes_in_one_series_are_split_apart(tmp_path: Path, keyword: str, values: tuple[Any, Any]) -> None:
    datasets = []
    for k in range(8):
        for part, value in enumerate(reversed(values)):
            datasets.append(instance(10 * k + part + 1, (0, 0, 3.0 * k), **{keyword: value}))
    volume = read_volume(saved(tmp_path, datasets))
    assert [s.sop_instance_uid for s in volume.slices] == [f"1.2.3.{10 * k + 2}" for k in range(8)]


def test_the_echo_that_is_wanted(tmp_path: Path) -> None:
    datasets = [
        instance(10 * k + e, (0, 0, 3.0 * k), EchoTime=te) for k in range(8) for e, te in ((1, 20.0), (2, 95.0))
    ]
    volume = read_volume(saved(tmp_path, datasets), SeriesPart((("echo time", 95.0),)))
    assert {s.sop_instance_uid[-1] for s in volume.slices} == {"2"}


def test_an_incomplete_second_volume_does_not_win(tmp_path: Path) -> None:
    first = [instance(k + 1, (0, 0, 3.0 * k), TemporalPositionIdentifier=1) for k in range(5)]
    second = [instance(k + 51, (0, 0, 3.0 * k), TemporalPositionIdentifier=2) for k in range(8)]
    volume = read_volume(saved(tmp_path, [*first, *second]))
    assert [s.sop_instance_uid for s in volume.slices] == [f"1.2.3.{k + 51}" for k in range(8)]


def test_interleaved_acquisitions_of_one_volume_stay_together(tmp_path: Path) -> None:
    datasets = stack()
    for k, dataset in enumerate(datasets):
        dataset.AcquisitionNumber = k % 2 + 1
        dataset.AcquisitionTime = f"10{k % 2:02d}00"
    assert len(read_volume(saved(tmp_path, datasets)).slices) == 8


Spoiler = Callable[[list[Dataset]], None]


def turned(datasets: list[Dataset]) -> None:
    datasets[2].ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def resized(datasets: list[Dataset]) -> None:
    datasets[2].Rows, datasets[2].PixelData = 4, datasets[2].PixelData[: 4 * COLUMNS * 2]


def zoomed(datasets: list[Dataset]) -> None:
    datasets[2].PixelSpacing = [1.0, 0.25]


def tilted(datasets: list[Dataset]) -> None:
    for k, dataset in enumerate(datasets):
        dataset.ImagePositionPatient[1] += 0.8 * k


def one_shifted(datasets: list[Dataset]) -> None:
    datasets[5].ImagePositionPatient[0] += 1.0


def no_position(datasets: list[Dataset]) -> None:
    del datasets[1].ImagePositionPatient


def impossible_cosines(datasets: list[Dataset]) -> None:
    datasets[1].ImageOrientationPatient = [1, 0, 0, 1, 0, 0]


def zero_spacing(datasets: list[Dataset]) -> None:
    datasets[1].PixelSpacing = [0, 0]


def no_columns(datasets: list[Dataset]) -> None:
    del datasets[3].Columns


def one_place(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.ImagePositionPatient = [0, 0, 0]


def few(datasets: list[Dataset]) -> None:
    del datasets[4:]


def colour(datasets: list[Dataset]) -> None:
    datasets[1].SamplesPerPixel, datasets[1].PhotometricInterpretation = 3, "RGB"


def palette(datasets: list[Dataset]) -> None:
    for dataset in datasets:  # numbers of colours, in any order
        dataset.PhotometricInterpretation = "PALETTE COLOR"


def constant(datasets: list[Dataset]) -> None:
    for dataset in datasets:
        dataset.PixelData = bytes(ROWS * COLUMNS * 2)


def short_pixels(datasets: list[Dataset]) -> None:
    datasets[3].PixelData = datasets[3].PixelData[:20]


def without_pixels(datasets: list[Dataset]) -> None:
    del datasets[3].PixelData


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (turned, "GEOMETRY_MIXED"),
        (resized, "GEOMETRY_MIXED"),
        (zoomed, "GEOMETRY_MIXED"),
        (tilted, "GEOMETRY_TILTED"),
        (one_shifted, "GEOMETRY_TILTED"),
        (no_position, "GEOMETRY_MISSING"),
        (impossible_cosines, "GEOMETRY_MISSING"),
        (zero_spacing, "GEOMETRY_MISSING"),
        (no_columns, "FILE_UNREADABLE"),
        (one_place, "NOT_A_VOLUME"),
        (few, "NOT_A_VOLUME"),
        (colour, "PIXELS_INVALID"),
        (palette, "PIXELS_INVALID"),
        (constant, "PIXELS_INVALID"),
        (short_pixels, "FILE_UNREADABLE"),
        (without_pixels, "FILE_UNREADABLE"),
    ],
)
def test_what_is_no_volume_is_refused_with_its_own_code(tmp_path: Path, spoil: Spoiler, code: str) -> None:
    datasets = stack()
    spoil(datasets)
    error = code_of(saved(tmp_path, datasets))
    assert error.code == code
    if code == "FILE_UNREADABLE":
        assert error.data["sop_instance_uid"] == "1.2.3.4"
    if code == "GEOMETRY_MISSING":
        assert (error.data["sop_instance_uid"], "Instance 1.2.3.2 " in error.detail) == ("1.2.3.2", True)
    if spoil is one_shifted:
        assert "Slice 6 is shifted by 1.0 mm" in error.detail


def test_two_slices_are_too_few_and_not_at_one_place(tmp_path: Path) -> None:
    error = code_of(saved(tmp_path, stack()[:2]))
    assert (error.code, error.detail.partition(",")[0]) == ("NOT_A_VOLUME", "Series 1.2.3: 2 slices")


def test_a_file_cut_off_on_its_way_names_the_instance(tmp_path: Path) -> None:
    files = saved(tmp_path, stack())
    files[2].write_bytes(files[2].read_bytes()[:-30])
    error = code_of(files)
    assert (error.code, error.data["sop_instance_uid"]) == ("FILE_UNREADABLE", "1.2.3.3")


def test_no_files_and_files_that_are_no_dicom(tmp_path: Path) -> None:
    assert code_of([]).code == "STUDY_EMPTY"
    (tmp_path / "x.dcm").write_bytes(b"nothing")
    assert code_of([tmp_path / "x.dcm"]).code == "FILE_UNREADABLE"


@pytest.mark.parametrize(
    "limits", [VolumeLimits(pixels_per_frame=30), VolumeLimits(frames=7), VolumeLimits(total_bytes=900)]
)
def test_limits_bound_what_is_read(tmp_path: Path, limits: VolumeLimits) -> None:
    files = saved(tmp_path, stack())
    assert code_of(files, limits).code == "INPUT_TOO_LARGE"


def test_what_is_too_large_is_told_in_mebibytes(tmp_path: Path) -> None:
    datasets = stack()
    for dataset in datasets:
        dataset.Rows = dataset.Columns = 2048
    assert "128 MiB, at most 64" in code_of(saved(tmp_path, datasets), VolumeLimits(total_bytes=64 << 20)).detail


def test_a_header_that_promises_too_much_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    datasets = stack()
    for dataset in datasets:
        dataset.Rows = dataset.Columns = 60000
    assert code_of(saved(tmp_path, datasets)).code == "INPUT_TOO_LARGE"


def test_rescale_signed_pixels_and_slope_per_slice(tmp_path: Path) -> None:
    datasets = stack()
    for k, dataset in enumerate(datasets):
        dataset.PixelData = (-pixels(k + 1)).tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 0.5 * (k + 1), 10
    array = array_of(saved(tmp_path, datasets))
    for k in range(8):
        assert np.allclose(array[k], -pixels(k + 1) * 0.5 * (k + 1) + 10)


def test_monochrome1_is_inverted(tmp_path: Path) -> None:
    array = array_of(saved(tmp_path, stack(PhotometricInterpretation="MONOCHROME1")))
    assert array[0, 0, 0] == array.max()
    assert array[0, 0, 0] - array[0, 0, 1] == 1


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_compressed_series_read_as_the_plain_one(tmp_path: Path, syntax: str) -> None:
    datasets = stack(PixelRepresentation=0)
    plain = array_of(saved(tmp_path, datasets))
    (tmp_path / "packed").mkdir()
    for dataset in datasets:
        dataset.compress(syntax, generate_instance_uid=False)
    assert np.array_equal(array_of(saved(tmp_path / "packed", datasets)), plain)


def enhanced(count: int = 8, echoes: tuple[float, ...] = (5.0,)) -> Dataset:
    """One Enhanced MR instance; frames from last to first, slope per frame."""
    dataset = instance(1, (0, 0, 0), ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    dataset.SOPClassUID = EnhancedMRImageStorage
    frames, data = [], b""
    for k in reversed(range(count)):
        for echo in echoes:
            frames.append(_frame_groups(k, echo))
            data += pixels(k + 1).tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([Dataset()])
    shared.PixelMeasuresSequence[0].PixelSpacing = [2.0, 0.5]
    shared.PixelMeasuresSequence[0].SliceThickness = 2.5
    shared.PlaneOrientationSequence = Items([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)
    dataset.NumberOfFrames, dataset.PixelData = len(frames), data
    return dataset


def _frame_groups(k: int, echo: float) -> Dataset:
    item, position, transformation, timing = Dataset(), Dataset(), Dataset(), Dataset()
    position.ImagePositionPatient = [-3.0 * k, 0, 0]
    transformation.RescaleSlope, transformation.RescaleIntercept = k + 1.0, 0.0
    timing.EffectiveEchoTime = echo
    item.PlanePositionSequence = Items([position])
    item.PixelValueTransformationSequence = Items([transformation])
    item.MREchoSequence = Items([timing])
    return item


def test_enhanced_mr(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path, [enhanced()]))
    assert volume.image.GetSize() == (COLUMNS, ROWS, 8)
    assert [s.frame_number for s in volume.slices] == list(range(8, 0, -1))
    assert volume.slice_thickness_mm == 2.5
    array = sitk.GetArrayFromImage(volume.image)
    for k, source in enumerate(volume.slices):
        number = round(-source.position[0] / 3.0) + 1
        assert np.allclose(array[k], pixels(number) * float(number))
        assert np.allclose(volume.image.TransformIndexToPhysicalPoint((0, 0, k)), source.position)


def test_enhanced_mr_with_two_echoes(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path, [enhanced(echoes=(80.0, 20.0))]))
    assert [s.frame_number for s in volume.slices] == list(range(16, 0, -2))


def test_enhanced_mr_with_a_frame_missing(tmp_path: Path) -> None:
    dataset = enhanced(9)
    del dataset.PerFrameFunctionalGroupsSequence[4]
    dataset.NumberOfFrames, dataset.PixelData = 8, dataset.PixelData[: 8 * ROWS * COLUMNS * 2]
    assert code_of(saved(tmp_path, [dataset])).code == "GEOMETRY_INCOMPLETE"


def test_enhanced_mr_with_a_frame_in_another_plane(tmp_path: Path) -> None:
    dataset = enhanced()
    orientation = Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = Items([orientation])
    assert code_of(saved(tmp_path, [dataset])).code == "GEOMETRY_MIXED"


@pytest.mark.parametrize("keyword", ["StackID", "TemporalPositionIndex", "FrameAcquisitionNumber"])
def test_enhanced_mr_with_two_volumes_at_one_place(tmp_path: Path, keyword: str) -> None:
    """Frames of both volumes take turns, the later first; the first is taken."""
    dataset = enhanced(echoes=(5.0, 5.0))
    for number, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        content = Dataset()
        value = 2 - number % 2
        setattr(content, keyword, str(value) if keyword == "StackID" else value)
        item.FrameContentSequence = Items([content])
    volume = read_volume(saved(tmp_path, [dataset]))
    assert [s.frame_number for s in volume.slices] == list(range(16, 0, -2))


def test_enhanced_mr_compressed_reads_as_the_plain_one(tmp_path: Path) -> None:
    dataset = enhanced()
    dataset.PixelRepresentation = 0
    plain = array_of(saved(tmp_path, [dataset]))
    (tmp_path / "packed").mkdir()
    dataset.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(array_of(saved(tmp_path / "packed", [dataset])), plain)


def test_multi_frame_without_functional_groups_is_refused(tmp_path: Path) -> None:
    dataset = instance(1, (0, 0, 0), NumberOfFrames=2)
    dataset.PixelData = dataset.PixelData * 2
    assert code_of(saved(tmp_path, [dataset])).code == "GEOMETRY_MISSING"


FAILING = {
    "gantrytilting": "GEOMETRY_TILTED",
    "notavolume": "NOT_A_VOLUME",
    "slicecount": "NOT_A_VOLUME",
    "sliceincrement": "GEOMETRY_INCOMPLETE",
    "sliceorientation": "GEOMETRY_MIXED",
}


@pytest.mark.parametrize("folder", FAILING)
def test_real_series_that_are_no_volume(folder: str, shared_data: Path) -> None:
    files = sorted(f for f in (shared_data / "dicom" / "failing" / folder).rglob("*") if f.is_file())
    assert code_of(files).code == FAILING[folder]


REAL = [
    "dicom/siemens/anatomical/001",
    "dicom/siemens_enhanced",
    "dicom/ge/anatomical/001",
    "dicom/philips/anatomical/001",
    "dicom/philips_enhanced/anatomical/001",
    "dicom/hitachi/anatomical/001",
    "dicom/hyperfine/anatomical/001",
    "dicom/generic/anatomical/002_non_isotropic",
    "dicom/generic/compressed/001",
    "dicom/generic/compressed_jpeg/001",
    "dicom/generic/compressed_jpegls/001",
    "dicom/generic/compressed_rle/001",
    "tcga-fg-6692/dicom/flair",
    "tcga-fg-6692/dicom/t1c",
]


@pytest.mark.parametrize("folder", REAL)
def test_real_series_as_gdcm_reads_them(folder: str, shared_data: Path) -> None:
    """SimpleITK's own reader gives the same voxel values at the same places, in its own slice order."""
    files = sorted(f for f in (shared_data / folder).iterdir() if f.is_file())
    volume = read_volume(files, limits=replace(VolumeLimits(), minimum_slices=4))
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(shared_data / folder))
    other = sitk.ReadImage(names if len(names) > 1 else names[0])
    assert other.GetSize() == volume.image.GetSize()
    there = sitk.Resample(
        sitk.Cast(other, sitk.sitkFloat32), volume.image, sitk.Transform(), sitk.sitkNearestNeighbor, -1e9
    )
    difference = sitk.GetArrayFromImage(there) - sitk.GetArrayFromImage(volume.image)
    assert np.abs(difference).max() <= 1e-3 * np.abs(sitk.GetArrayFromImage(volume.image)).max()


def test_slices_of_the_real_study_lie_where_their_files_say(real_study: Path) -> None:
    volume = read_volume(sorted((real_study / "t2").glob("*.dcm")))
    for k, source in enumerate(volume.slices):
        place = volume.image.TransformIndexToPhysicalPoint((0, 0, k))
        assert np.allclose(place, source.position, atol=0.01)
    uids = {str(dcmread(f, stop_before_pixels=True).SOPInstanceUID) for f in (real_study / "t2").glob("*.dcm")}
    assert {s.sop_instance_uid for s in volume.slices} == uids
