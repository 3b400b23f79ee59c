"""The preview: contours where they belong, text burnt in, nobody's name in it."""

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import Flag
from pipeline.names import Region
from pipeline.objects import ObjectSet, Provenance, build_objects
from pipeline.objects.preview import drawing
from pipeline.objects.regions import REGION_STYLES
from tests.unit.objects.phantom import image_like, phantom_series, signed_distance, soft


def build(radius: float, **options: object) -> ObjectSet:
    headers, volume = phantom_series((12, 40, 60), spacing=(1.0, 1.0, 3.0))
    field = soft(radius - signed_distance(volume))
    image, mask = image_like(field, volume), image_like((field >= 0.5).astype(np.uint8), volume)
    return build_objects(
        headers, volume, {Region.WT: image}, {Region.WT: mask}, {}, Provenance("unet@1"), want={"preview"}, **options
    )  # type: ignore[arg-type]


def drawn_pixels(picture: Image.Image) -> np.ndarray:
    return np.argwhere((np.asarray(picture) == REGION_STYLES[Region.WT].colour).all(axis=2))


def test_contour_lies_where_the_region_is() -> None:
    picture = build(12.0).picture
    assert picture is not None
    panel_width = round(60 * 480 / 40)
    assert picture.width == 3 * panel_width
    points = drawn_pixels(picture)
    middle = points[(points[:, 0] < 480) & (points[:, 1] // panel_width == 1)] - [0, panel_width]
    radius = np.hypot(middle[:, 0] - 240, middle[:, 1] - panel_width / 2) / (480 / 40)
    assert 11.2 < radius.min() < radius.max() < 12.8


def test_dataset_holds_the_picture_and_says_that_text_is_burnt_in() -> None:
    made = build(12.0, flags=[Flag("LARGE_MOTION")])
    dataset = made.datasets["preview"]
    assert np.array_equal(dataset.pixel_array, np.asarray(made.picture))
    assert dataset.BurnedInAnnotation == "YES"
    assert dataset.ConversionType == "WSD"


def test_text_says_use_flags_and_nobodys_name(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    original = drawing.ImageDraw.ImageDraw.text

    def listen(self: object, position: object, text: str, *rest: object, **options: object) -> None:
        lines.append(text)
        original(self, position, text, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(drawing.ImageDraw.ImageDraw, "text", listen)
    build(12.0, flags=[Flag("LARGE_MOTION")])
    stated = " | ".join(lines)
    assert "Research use only" in stated
    assert "moved much" in stated
    assert "GTV_WT" in stated
    assert "Doe" not in stated
    assert "P1" not in stated


@pytest.mark.parametrize("length", [10, 60, 80])
def test_a_line_fits_the_picture(length: int) -> None:
    assert drawing._fitting("m" * length, 800).getlength("m" * length) <= 800


def test_empty_result_still_gives_a_picture() -> None:
    picture = build(-3.0).picture
    assert picture is not None
    assert not len(drawn_pixels(picture.crop((0, 0, picture.width, 480))))
