"""Presentation state: contours as graphics on their own slices, the images' own windows, open to other tools."""

import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, generate_uid

from pipeline.errors import Flag
from pipeline.names import TUMOUR_REGIONS, Language
from pipeline.objects.regions import REGION_STYLES
from pipeline.volume.records import SliceSource, SourceVolume
from tests.unit.objects.phantom import phantom_series
from tests.unit.objects.test_objects import OBLIQUE, built, reread, validate

Study = tuple[list[Dataset], SourceVolume]


@pytest.fixture(scope="module")
def study() -> Study:
    return phantom_series((12, 40, 48), orientation=OBLIQUE)


@pytest.fixture(scope="module")
def made(study: Study) -> Dataset:
    return reread(built(*study, want={"gsps"}, uid_seed="job-1", flags=[Flag("LARGE_MOTION")]).datasets["gsps"])


def layer(made: Dataset, name: str) -> list[Dataset]:
    return [one for one in made.GraphicAnnotationSequence if one.GraphicLayer == name]


def graphics(made: Dataset, name: str) -> list[Dataset]:
    return [one for one in layer(made, name) if "GraphicObjectSequence" in one]


def texts(made: Dataset) -> str:
    items = (item for one in made.GraphicAnnotationSequence for item in one.get("TextObjectSequence", []))
    return "\n".join(item.UnformattedTextValue for item in items)


def test_contours_lie_on_their_slices_with_holes_of_their_own(study: Study, made: Dataset) -> None:
    order = {str(one.SOPInstanceUID): index for index, one in enumerate(study[0])}
    named = made.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert [order[one.ReferencedSOPInstanceUID] for one in named] == list(range(12))
    seen = 0
    for annotation in graphics(made, "ET"):
        (image,) = annotation.ReferencedImageSequence
        height = (order[image.ReferencedSOPInstanceUID] - 5.5) * 3.0
        for graphic in annotation.GraphicObjectSequence:
            assert (graphic.GraphicType, graphic.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
            points = np.reshape(graphic.GraphicData, (-1, 2))
            assert np.array_equal(points[0], points[-1])
            # From the upper left corner: the centre of the first pixel is at 0.5.
            radius = np.sqrt(((points[:, 0] - 24) * 0.9) ** 2 + ((points[:, 1] - 20) * 1.1) ** 2 + height**2)
            assert min(abs(radius - 10).max(), abs(radius - 5).max()) < 0.5  # the border or the hole, never both
            seen += abs(radius - 5).max() < 0.5
    assert seen >= 2
    (item,) = [one for one in made.GraphicLayerSequence if one.GraphicLayer == "ET"]
    colour = highdicom.color.CIELabColor.from_rgb(*REGION_STYLES["ET"].colour)  # type: ignore[index]
    assert list(item.GraphicLayerRecommendedDisplayCIELabValue) == list(colour.value)


def test_it_says_ml_flags_and_use_on_every_slice(study: Study, made: Dataset) -> None:
    stated = texts(made)
    assert "GTV_WT 11.4 ml" in stated
    assert "Research use only" in stated
    assert "moved much" in stated
    for one in made.GraphicAnnotationSequence:
        if "TextObjectSequence" in one:
            assert len(one.ReferencedImageSequence) == 12
    empty = built(*study, want={"gsps"}, empty=TUMOUR_REGIONS, language=Language.GERMAN).datasets["gsps"]
    assert "keinen Tumor" in texts(empty)
    assert "GTV_WT 0,0 ml" in texts(empty)
    assert not [one for region in TUMOUR_REGIONS for one in graphics(empty, region.value)]


def test_windows_and_rescaling_are_those_of_the_images() -> None:
    headers, volume = phantom_series((6, 20, 24))
    for number, header in enumerate(headers):
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 2, 10, "US"
        header.WindowCenter, header.WindowWidth = [500 + number, 3], [300, 4]
    one = built(headers, volume, want={"gsps"}).datasets["gsps"]
    assert (one.RescaleSlope, one.RescaleIntercept) == (2, 10)
    found = [
        (each.WindowCenter, each.WindowWidth, len(each.ReferencedImageSequence)) for each in one.SoftcopyVOILUTSequence
    ]
    assert found == [(500 + number, 300, 1) for number in range(6)]
    headers[1].RescaleSlope = 4
    other = built(headers, volume, want={"gsps"}).datasets["gsps"]
    # One modality LUT can't tell two: windows of stored values.
    assert "RescaleSlope" not in other
    assert [float(each.WindowCenter) for each in other.SoftcopyVOILUTSequence][:2] == [245, (501 - 10) / 4]
    plain = built(*phantom_series((6, 20, 24)), want={"gsps"}).datasets["gsps"]
    (window,) = plain.SoftcopyVOILUTSequence
    assert "ReferencedImageSequence" not in window
    assert 400 < window.WindowCenter < 600


def test_frames_of_a_multi_frame_image_are_named() -> None:
    headers, volume = phantom_series((6, 40, 48))
    whole = Dataset()
    whole.update({tag: headers[0][tag] for tag in headers[0].keys() - {0x00200032, 0x00200037, 0x00280030}})
    whole.SOPClassUID, whole.SOPInstanceUID = EnhancedMRImageStorage, generate_uid()
    whole.NumberOfFrames = len(headers)
    shared, value, orientation, measures = Dataset(), Dataset(), Dataset(), Dataset()
    value.RescaleSlope, value.RescaleIntercept = 3, 1
    orientation.ImageOrientationPatient = headers[0].ImageOrientationPatient
    measures.PixelSpacing = headers[0].PixelSpacing
    shared.PixelValueTransformationSequence, shared.PlaneOrientationSequence = [value], [orientation]
    shared.PixelMeasuresSequence = [measures]
    whole.SharedFunctionalGroupsSequence = Sequence([shared])
    whole.PerFrameFunctionalGroupsSequence = Sequence([Dataset() for _ in headers])
    slices = tuple(
        SliceSource(EnhancedMRImageStorage, str(whole.SOPInstanceUID), number, one.position)
        for number, one in enumerate(volume.slices, start=1)
    )
    fields = {name: getattr(volume, name) for name in volume.__dataclass_fields__} | {"slices": slices}
    made = reread(built([whole], SourceVolume(**fields), want={"gsps"}).datasets["gsps"])
    assert made.RescaleSlope == 3
    (named,) = made.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert (named.ReferencedSOPInstanceUID, "ReferencedFrameNumber" in named) == (whole.SOPInstanceUID, False)
    frames = [one.ReferencedImageSequence[0].ReferencedFrameNumber for one in graphics(made, "WT")]
    assert frames == [1, 2, 3, 4, 5, 6]
    (text,) = layer(made, "REMARKS")
    assert list(text.ReferencedImageSequence[0].ReferencedFrameNumber) == [1, 2, 3, 4, 5, 6]


def test_it_passes_the_validators_and_dcmtk_draws_it(study: Study, made: Dataset, tmp_path: Path) -> None:
    validate({"gsps": made}, tmp_path)
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("dcmj2pnm (Debian package dcmtk) is not installed")
    image, shown = tmp_path / "image.dcm", tmp_path / "shown.pgm"
    study[0][5].save_as(image, enforce_file_format=True)
    done = subprocess.run(["dcmpschk", tmp_path / "gsps.dcm"], capture_output=True, text=True, check=False)
    assert "Test passed" in done.stdout + done.stderr, done.stdout + done.stderr
    subprocess.run(["dcmp2pgm", "-p", tmp_path / "gsps.dcm", image, shown], check=True, capture_output=True)
    assert shown.read_bytes().startswith(b"P5")
