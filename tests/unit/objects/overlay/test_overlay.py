"""Overlay: every slice where its source lies, contours burnt in, lossless, nobody's name in it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageDraw
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders import RLELosslessEncoder
from pydicom.uid import RLELossless

from pipeline.errors import Flag
from pipeline.names import TUMOUR_REGIONS, Language, Region
from pipeline.objects.overlay.rle import rle_frame
from pipeline.objects.regions import REGION_STYLES
from pipeline.volume.records import SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import OBLIQUE, built, reread, validate

Study = tuple[list[Dataset], SourceVolume]
_ZOOM = 8  # of 40 rows to the least 320


@pytest.fixture(scope="module")
def study() -> Study:
    return phantom_series((12, 40, 48), orientation=OBLIQUE)


@pytest.fixture(scope="module")
def made(study: Study) -> list[Dataset]:
    return list(built(*study, want={"overlay"}, uid_seed="job-1").overlay)


def colour_in(dataset: Dataset, region: Region) -> np.ndarray:
    """Pixels (row, column) within the slice that have the region's colour."""
    pixels = dataset.pixel_array[: 40 * _ZOOM]
    return np.argwhere((pixels == REGION_STYLES[region].colour).all(axis=2))


@pytest.mark.parametrize("seed", range(3))
def test_frames_are_packed_as_pydicom_packs_them(seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = np.repeat(random.integers(0, 255, (17, 23, 3)), 1 + seed * 7, axis=1).astype(np.uint8)
    pixels[5:9] = 0
    dataset = Dataset()
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.PixelRepresentation, dataset.PlanarConfiguration = 0, 0
    dataset.set_pixel_data(pixels, "RGB", 8)
    theirs = RLELosslessEncoder.encode(dataset)
    mine = rle_frame(pixels)
    assert len(mine) <= len(theirs) + 6
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([mine])
    assert np.array_equal(dataset.pixel_array, pixels)


def test_every_slice_is_there_in_the_plane_of_its_source(study: Study, made: list[Dataset]) -> None:
    headers, volume = study
    assert [one.InstanceNumber for one in made] == list(range(1, 13))
    assert len({one.SOPInstanceUID for one in made}) == 12
    assert {one.SeriesInstanceUID for one in made} == {made[0].SeriesInstanceUID}
    by_uid = {str(one.SOPInstanceUID): one for one in headers}
    for one in map(reread, made):
        assert one.FrameOfReferenceUID == volume.frame_of_reference_uid
        source = by_uid[one.SourceImageSequence[0].ReferencedSOPInstanceUID]
        steps = [np.array(source.ImageOrientationPatient[:3]) * source.PixelSpacing[1]]
        steps.append(np.array(source.ImageOrientationPatient[3:]) * source.PixelSpacing[0])
        # The upper left corner is the source's.
        corner = np.array(source.ImagePositionPatient) - (steps[0] + steps[1]) / 2
        own = np.array(one.ImagePositionPatient) - (steps[0] + steps[1]) / 2 / _ZOOM
        assert np.allclose(own, corner, atol=1e-6)
        assert [float(each) * _ZOOM for each in one.PixelSpacing] == pytest.approx(list(source.PixelSpacing))
        assert one.Columns == 48 * _ZOOM
        assert one.Rows > 40 * _ZOOM


def test_what_was_lossy_once_is_said_to_be() -> None:
    headers, volume = phantom_series((4, 16, 20))
    assert next(iter(built(headers, volume, want={"overlay"}).overlay)).get("LossyImageCompression", "00") == "00"
    headers[2].LossyImageCompression, headers[2].LossyImageCompressionRatio = "01", 8
    assert next(iter(built(headers, volume, want={"overlay"}).overlay)).LossyImageCompressionRatio == 8


def test_contours_lie_where_the_regions_are_and_holes_have_no_bridge(study: Study, made: list[Dataset]) -> None:
    dataset = reread(made[5])
    assert dataset.file_meta.TransferSyntaxUID == RLELossless
    points = (colour_in(dataset, Region.ET) + 0.5) / _ZOOM - 0.5
    distance = np.hypot((points[:, 0] - 19.5) * 1.1, (points[:, 1] - 23.5) * 0.9)
    height = 0.5 * 3.0  # mm of slice 6 of 12 from the middle
    outer, inner = np.sqrt(10**2 - height**2), np.sqrt(5**2 - height**2)
    # Two rings and nothing between them.
    assert np.minimum(abs(distance - outer), abs(distance - inner)).max() < 0.4
    assert (distance > 8).any()
    assert (distance < 6).any()
    assert not len(colour_in(reread(made[0]), Region.WT))


def test_an_overlay_passes_the_validators_and_dcmtk_shows_it(made: list[Dataset], tmp_path: Path) -> None:
    validate({"overlay": made[5]}, tmp_path)
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("dcmj2pnm (Debian package dcmtk) is not installed")
    target = tmp_path / "slice.ppm"
    subprocess.run(["dcmj2pnm", tmp_path / "overlay.dcm", target], check=True, capture_output=True)
    content = target.read_bytes().split(b"\n", 3)[-1]
    shown = np.frombuffer(content, np.uint8).reshape(reread(made[5]).pixel_array.shape)
    assert np.array_equal(shown, made[5].pixel_array)


@pytest.mark.parametrize(
    ("language", "found"),
    [(Language.ENGLISH, ""), (Language.DUTCH, "geen tumor"), (Language.GERMAN, "keinen Tumor")],
)
def test_the_text_says_ml_use_flags_and_nobodys_name(
    study: Study, monkeypatch: pytest.MonkeyPatch, language: Language, found: str
) -> None:
    lines: list[str] = []
    original = ImageDraw.ImageDraw.text

    def listen(self: object, position: object, text: str, *rest: object, **options: object) -> None:
        lines.append(text)
        original(self, position, text, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", listen)
    empty = () if language is Language.ENGLISH else TUMOUR_REGIONS
    made = built(*study, want={"overlay"}, language=language, empty=empty, flags=[Flag("LARGE_MOTION")])
    slices = list(made.overlay)
    stated = " ".join(lines)
    assert len(slices) == 12
    volume = "GTV_WT 0,0 ml" if empty else f"GTV_WT {made.sizes[Region.WT].volume_ml:.1f} ml"
    assert volume in stated
    assert {"en": "Research use only", "nl": "Alleen voor onderzoek", "de": "Nur für die Forschung"}[language] in stated
    assert {"en": "moved much", "nl": "veel bewogen", "de": "stark bewegt"}[language] in stated
    assert "Doe" not in stated
    if empty:
        assert found in stated
        assert not len(colour_in(slices[5], Region.WT))
