"""What of a series was really imaged, and which bits of a word are its grey value."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import compress
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from pipeline.errors import GlioLoopError
from pipeline.volume import SourceVolume, read_volume
from tests.unit.volume.test_volume import enhanced, instance, saved

ROWS, COLUMNS = 40, 48
WRITTEN_AS_US = 63536  # -2000
INSIDE = np.zeros((ROWS, COLUMNS), dtype=bool)
INSIDE[4:-3, 5:-6] = True


def grey(number: int, noise: int = 300) -> NDArray[np.int64]:
    """A noisy picture of 12 bits whose least value is 0."""
    picture = np.random.default_rng(number).integers(1, noise, (ROWS, COLUMNS))
    picture[8:16, 8:20] += 2000
    picture[10, 10] = 0
    return picture


def series(folder: Path, pictures: list[NDArray[np.int64]], signed: bool = False, **values: object) -> list[Path]:
    datasets = []
    for k, picture in enumerate(pictures):
        dataset = instance(k + 1, (-10.0, -20.0, 5.0 + 3.0 * k), Rows=ROWS, Columns=COLUMNS)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = (16, 15, int(signed))
        dataset.PixelData = picture.astype("<i2" if signed else "<u2").tobytes()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        if values.get("PixelPaddingValue") == WRITTEN_AS_US:
            dataset["PixelPaddingValue"].VR = "US"
        datasets.append(dataset)
    folder.mkdir(exist_ok=True)
    return saved(folder, datasets)


def valid_of(volume: SourceVolume) -> NDArray[np.bool_]:
    if volume.valid is None:
        return np.ones(volume.image.GetSize()[::-1], dtype=bool)
    return np.asarray(sitk.GetArrayFromImage(volume.valid)).astype(bool)


def test_nothing_is_taken_for_padding_without_reason(tmp_path: Path) -> None:
    assert read_volume(series(tmp_path, [grey(k) for k in range(8)])).valid is None


@pytest.mark.parametrize(
    ("signed", "padding", "values"),
    [
        (True, -2000, {"PixelPaddingValue": -2000}),
        (True, -2000, {"PixelPaddingValue": WRITTEN_AS_US}),
        (False, 4095, {"PixelPaddingValue": 4095}),
        (False, 60000, {"PixelPaddingValue": 59000, "PixelPaddingRangeLimit": 61000}),
        (True, -1500, {"PixelPaddingValue": -1000, "PixelPaddingRangeLimit": -2000}),
        (False, 0, {"PixelPaddingValue": 0}),
        (True, -2000, {"PixelPaddingValue": -2000, "RescaleIntercept": 1000, "RescaleSlope": 0.1}),
        (True, -2000, {"PixelPaddingValue": -2000, "PhotometricInterpretation": "MONOCHROME1"}),
    ],
)
def test_padding_was_not_imaged(tmp_path: Path, signed: bool, padding: int, values: dict[str, object]) -> None:
    pictures = [np.where(INSIDE, grey(k), padding) for k in range(8)]
    for picture in pictures:  # scattered, so that no constant background helps
        picture[0, ::2] = picture[1, 1::2] = 5
    scattered = INSIDE.copy()
    scattered[0, ::2] = scattered[1, 1::2] = True
    volume = read_volume(series(tmp_path, pictures, signed, **values))
    assert (valid_of(volume) == scattered).all()
    image = sitk.GetArrayFromImage(volume.image)
    assert image[~valid_of(volume)].max() == image[valid_of(volume)].min()


def test_a_zero_that_pads_is_still_a_grey_value_inside(tmp_path: Path) -> None:
    """Fluid that is as dark as the padding, as in FLAIR: no hole in the brain."""
    pictures = [np.where(INSIDE, grey(k), 0) for k in range(8)]
    for picture in pictures:
        picture[10:14, 10:16] = 0
    assert (valid_of(read_volume(series(tmp_path, pictures, PixelPaddingValue=0))) == INSIDE).all()


@pytest.mark.parametrize("background", [0, 1000])
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_a_constant_background_was_not_imaged(tmp_path: Path, background: int, interpretation: str) -> None:
    pictures = [np.where(INSIDE, grey(k) + 1001, background) for k in range(8)]
    pictures[0][:] = background  # a slice that holds nothing
    valid = valid_of(read_volume(series(tmp_path, pictures, PhotometricInterpretation=interpretation)))
    assert not valid[0].any()
    assert (valid[1:] == INSIDE).all()


def test_padding_of_enhanced_mr(tmp_path: Path) -> None:
    dataset = enhanced()
    words = np.frombuffer(dataset.PixelData, "<i2").reshape(8, 5, 7).copy()
    words[:, :, :2] = -3000
    dataset.PixelData, dataset.PixelPaddingValue = words.tobytes(), -3000
    valid = valid_of(read_volume(saved(tmp_path, [dataset])))
    assert not valid[:, :, :2].any()
    assert valid[:, :, 2:].all()


@pytest.mark.parametrize("top", [4095, 3000])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (0.1, -1024), (3.7, 1000), (-2, 200)])
def test_monochrome1_equals_its_twin(tmp_path: Path, top: int, slope: float, intercept: float) -> None:
    """To a constant, where the twin was not turned bit by bit."""
    scale = {"RescaleSlope": slope, "RescaleIntercept": intercept, "BitsStored": 12, "HighBit": 11}
    pictures = [grey(k) for k in range(8)]
    plain = read_volume(series(tmp_path / "plain", pictures, **scale))
    twin = series(tmp_path / "twin", [top - one for one in pictures], PhotometricInterpretation="MONOCHROME1", **scale)
    apart = sitk.GetArrayFromImage(plain.image) - sitk.GetArrayFromImage(read_volume(twin).image)
    assert np.ptp(apart) <= 1e-3
    assert top != 4095 or abs(apart).max() <= 1e-3


@pytest.mark.parametrize("written", ["monochrome1", "Monochrome1 ", "", "monochrome2"])
def test_terms_and_numbers_that_are_not_written_as_they_should(tmp_path: Path, written: str) -> None:
    pictures = [grey(k) for k in range(8)]
    turned = "1" in written
    words = [4095 - one if turned else one for one in pictures]
    files = series(tmp_path, words, PhotometricInterpretation=written, BitsStored=12, HighBit=11)
    for path in files:
        dataset = dcmread(path)
        tag = Tag("PixelSpacing")
        comma = b"\\".join(str(one).replace(".", ",").encode() for one in dataset.PixelSpacing)
        dataset[tag] = RawDataElement(tag, "DS", len(comma), comma, 0, False, True)
        dataset.save_as(path)
    volume = read_volume(files)
    assert np.array_equal(sitk.GetArrayFromImage(volume.image), np.array(pictures))
    assert volume.image.GetSpacing()[:2] == (0.5, 2.0)


def packed(dataset: Dataset, syntax: str) -> Dataset:
    """Compressed over all 16 bits of its words, the header left as it is."""
    declared = {key: dataset[key].value for key in ("BitsStored", "HighBit", "PixelRepresentation")}
    if syntax == JPEG2000Lossless:
        dataset.BitsStored, dataset.HighBit = 16, 15
        words = np.frombuffer(dataset.PixelData, "<u2").reshape(ROWS, COLUMNS)
        dataset.PixelData = encapsulate([bytes(encode_array(words))])
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    elif syntax == ExplicitVRBigEndian:
        dataset["PixelData"].VR = "OW"
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
    elif syntax != ExplicitVRLittleEndian:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 0
        compress(dataset, UID(syntax), generate_instance_uid=False)
    for key, value in declared.items():
        setattr(dataset, key, value)
    return dataset


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless]
)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shift", [0, 4])
def test_only_the_stored_bits_are_the_value(tmp_path: Path, syntax: str, signed: bool, shift: int) -> None:
    """An overlay of old in the bits beside the 12 that count, above (or below) them."""
    datasets, expected = [], []
    for k in range(8):
        values = grey(k) - (1500 if signed else 0)
        overlay = (values > 900).astype(np.int64)
        words = ((values & 0xFFF) << shift) | (overlay << (0 if shift else 13))
        dataset = instance(k + 1, (0.0, 0.0, 3.0 * k), Rows=ROWS, Columns=COLUMNS)
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11 + shift, int(signed)
        dataset.PixelData = words.astype("<u2").tobytes()
        datasets.append(packed(dataset, syntax))
        expected.append(values)
    found = sitk.GetArrayFromImage(read_volume(saved(tmp_path, datasets)).image)
    assert np.array_equal(found, np.array(expected))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shift", [0, 4])
def test_a_high_bit_at_the_top_of_the_word_loses_no_bits(tmp_path: Path, signed: bool, shift: int) -> None:
    """Some align 12 bits to the left and say so; others say so, and the value lies at the bottom."""
    values = [grey(k) - (1500 if signed else 0) for k in range(8)]
    written = [(one << shift) & 0xFFFF for one in values]
    files = series(tmp_path, written, BitsStored=12, HighBit=15, PixelRepresentation=int(signed))
    assert np.array_equal(sitk.GetArrayFromImage(read_volume(files).image), np.array(values))


def test_sixteen_bits_under_a_high_bit_at_the_top_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GlioLoopError, match="BitsStored") as caught:
        read_volume(series(tmp_path, [31 * grey(k) for k in range(8)], BitsStored=12, HighBit=15))
    assert caught.value.code == "PIXELS_INVALID"


def test_values_that_need_more_bits_than_declared_are_no_overlay(tmp_path: Path) -> None:
    with pytest.raises(GlioLoopError, match="BitsStored") as caught:
        read_volume(series(tmp_path, [10 * grey(k) for k in range(8)], BitsStored=12, HighBit=11))
    assert caught.value.code == "PIXELS_INVALID"


@pytest.mark.skipif(shutil.which("dcmcjpeg") is None, reason="DCMTK is not there")
@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_only_the_stored_bits_in_jpeg_lossless(tmp_path: Path, interpretation: str) -> None:
    """Coded over all 16 bits of its words, with an overlay above the 12 that count."""
    pictures = [grey(k) for k in range(8)]
    words = [(4095 - one if interpretation == "MONOCHROME1" else one) | ((one > 900) << 14) for one in pictures]
    packed_files = []
    for path in series(tmp_path / "plain", words, PhotometricInterpretation=interpretation):
        packed_files.append(tmp_path / path.name)
        subprocess.run(["dcmcjpeg", "--true-lossless", path, packed_files[-1]], check=True)
        dataset = dcmread(packed_files[-1])
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.save_as(packed_files[-1])
    found = sitk.GetArrayFromImage(read_volume(packed_files).image)
    assert np.array_equal(found, np.array(pictures))


@pytest.mark.parametrize("kind", ["Float", "DoubleFloat"])
@pytest.mark.parametrize("padding", [-1e30, np.nan])
def test_padding_of_floating_point_values(tmp_path: Path, kind: str, padding: float) -> None:
    datasets = []
    for k in range(8):
        dataset = instance(k + 1, (0.0, 0.0, 3.0 * k), Rows=ROWS, Columns=COLUMNS)
        del dataset.PixelData, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation
        values = np.where(INSIDE, grey(k), padding)
        values[0, ::2] = 5.0  # no constant background
        dataset.BitsAllocated = 64 if kind == "DoubleFloat" else 32
        setattr(dataset, f"{kind}PixelData", values.astype("<f8" if kind == "DoubleFloat" else "<f4").tobytes())
        setattr(dataset, f"{kind}PixelPaddingValue", -1e30)
        datasets.append(dataset)
    volume = read_volume(saved(tmp_path, datasets))
    image, valid = sitk.GetArrayFromImage(volume.image), valid_of(volume)
    assert valid[:, INSIDE].all()
    assert not valid[:, 1:, :4].any()
    assert image.min() == 0
    assert np.array_equal(image[:, INSIDE], np.array([grey(k)[INSIDE] for k in range(8)]))


def scaled_for_display(k: int, scale: float) -> Dataset:
    """A slice as Philips writes it: scaled to its own brightest value."""
    dataset = instance(k + 1, (0.0, 0.0, 3.0 * k), Rows=ROWS, Columns=COLUMNS)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 15, 0
    dataset.PixelData = (grey(k) * scale).round().astype("<u2").tobytes()
    block = dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", scale)
    return dataset


def test_slices_that_were_scaled_one_by_one(tmp_path: Path) -> None:
    files = saved(tmp_path, [scaled_for_display(k, (1.0, 5.0)[k % 2]) for k in range(8)])
    found = sitk.GetArrayFromImage(read_volume(files).image)
    assert np.abs(found - np.array([grey(k) for k in range(8)])).max() <= 0.5


@pytest.mark.skipif(shutil.which("dcmdjpls") is None, reason="DCMTK is not there")
def test_bits_as_dcmtk_decodes_them(tmp_path: Path, sample_study: Path) -> None:
    """The shipped series, which is JPEG-LS, signed and with bits above the stored ones."""
    files = []
    for path in sorted((sample_study / "flair").iterdir())[:6]:
        dataset = dcmread(path)
        dataset.decompress()
        words = np.frombuffer(dataset.PixelData, "<u2") | np.uint16(1 << 13)
        dataset.PixelData = words.tobytes()
        dataset.BitsStored, dataset.HighBit = 16, 15
        compress(dataset, JPEGLSLossless, generate_instance_uid=False)
        dataset.BitsStored, dataset.HighBit = 12, 11
        files.append(tmp_path / path.name)
        dataset.save_as(files[-1])
    volume = read_volume(files)
    values = sitk.GetArrayFromImage(volume.image)
    by_uid = {one.sop_instance_uid: values[k] for k, one in enumerate(volume.slices)}
    for path in files:
        plain = path.with_suffix(".plain")
        subprocess.run(["dcmdjpls", path, plain], check=True)
        told = dcmread(plain)
        stored = np.frombuffer(told.PixelData, "<u2").reshape(told.Rows, told.Columns) & 0xFFF
        assert np.array_equal(by_uid[str(told.SOPInstanceUID)], stored)
