"""A picture per case: truth and prediction as contours over two sequences."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from pipeline.names import TUMOUR_REGIONS, MRSequence, Region

Volume = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

COLOURS: dict[Region, tuple[int, int, int]] = {
    Region.WT: (90, 220, 90),
    Region.TC: (255, 170, 40),
    Region.ET: (255, 70, 70),
}
SCALE = 2
COLUMNS = 4


def _slices(truth: Mask, found: Mask) -> list[int]:
    extent = np.flatnonzero((truth | found).any((1, 2)))
    if not extent.size:
        return [truth.shape[0] // 2]
    return sorted({int(z) for z in np.linspace(extent[0], extent[-1], COLUMNS + 2)[1:-1]})


def _grey(image: Volume, z: int) -> Image.Image:
    inside = image[image > image.min()]
    low, high = np.percentile(inside[:: max(1, inside.size // 100_000)], (1, 99.7)) if inside.size else (0, 1)
    plane = np.clip((image[z] - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    return Image.fromarray(plane).convert("RGB").resize((plane.shape[1] * SCALE, plane.shape[0] * SCALE))


def _outline(draw: ImageDraw.ImageDraw, mask: Mask, colour: tuple[int, int, int]) -> None:
    for contour in find_contours(np.pad(mask, 1).astype(float), 0.5):  # type: ignore[no-untyped-call]
        points = [((x - 0.5) * SCALE, (y - 0.5) * SCALE) for y, x in contour]
        draw.line(points, fill=colour, width=1)


def draw_case(
    images: dict[MRSequence, Volume], found: dict[Region, Mask], truth: dict[Region, Mask], path: Path, title: str
) -> None:
    """Write a PNG with rows FLAIR truth, FLAIR found, T1c truth, T1c found, over four slices.

    Parameters
    ----------
    images
        Volumes (z, y, x) on one grid; sequences that are missing are replaced by any other.
    found, truth
        Masks per tumour region on that grid.
    path
        File to write.
    title
        Written into the picture.
    """
    some = next(iter(images.values()))
    rows = [
        (images.get(s, some), s, masks, word)
        for s in (MRSequence.FLAIR, MRSequence.T1C)
        for masks, word in ((truth, "truth"), (found, "found"))
    ]
    planes = _slices(truth[Region.WT], found[Region.WT])
    height, width = some.shape[1] * SCALE, some.shape[2] * SCALE
    sheet = Image.new("RGB", (width * len(planes), height * len(rows)))
    for i, (image, sequence, masks, word) in enumerate(rows):
        for j, z in enumerate(planes):
            tile = _grey(image, z)
            draw = ImageDraw.Draw(tile)
            for region in TUMOUR_REGIONS:
                _outline(draw, masks[region][z], COLOURS[region])
            draw.text((4, 4), f"{title} {sequence.value} {word} z={z}", fill=(255, 255, 255))
            sheet.paste(tile, (j * width, i * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def draw_gallery(pictures: list[Path], path: Path, width: int = 900) -> None:
    """Write the pictures of :func:`draw_case` below one another, in their order, each as wide as the sheet."""
    sheets = []
    for picture in pictures:
        with Image.open(picture) as image:
            sheets.append(image.convert("RGB").resize((width, round(image.height * width / image.width))))
    gallery = Image.new("RGB", (width, sum(sheet.height for sheet in sheets)))
    top = 0
    for sheet in sheets:
        gallery.paste(sheet, (0, top))
        top += sheet.height
    gallery.save(path)
