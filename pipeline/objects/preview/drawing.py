"""The picture for a quick look: the slices with the largest extent, contours, volumes, the research-use line."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from PIL import Image, ImageDraw, ImageFont

from pipeline.names import RESEARCH_USE
from pipeline.objects.rtstruct.isocontour import Contours
from pipeline.objects.source import ReferenceSeries

#: Height of each slice in the picture, pixels.
_PANEL_HEIGHT = 480
_FONT_SIZE = 17
_LINE = 24
#: Distance of the neighbouring slices from the middle one, mm.
_NEIGHBOUR_MM = 10.0
_WINDOW_PERCENTILES = (1.0, 99.7)


@dataclass(frozen=True)
class DrawnRegion:
    """A region as it is drawn.

    Attributes
    ----------
    name
        ROI name, for the legend.
    colour
        Red, green, blue.
    contours
        In pixels of the reference series.
    volume_ml
        For the legend.
    """

    name: str
    colour: tuple[int, int, int]
    contours: Contours
    volume_ml: float


def draw_preview(
    series: ReferenceSeries, regions: Sequence[DrawnRegion], remarks: Sequence[str], model: str
) -> Image.Image:
    """Draw three slices side by side with contours, legend and the research-use statement.

    Parameters
    ----------
    series
        The reference series.
    regions
        The regions; the first that is not empty decides the slices.
    remarks
        Further lines of text, for example "no tumour found". No patient data.
    model
        ``name@version``.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    panels = draw_panels(series, regions)
    lines = [*remarks, f"{model}: {RESEARCH_USE}"]
    picture = Image.new("RGB", (panels.width, _PANEL_HEIGHT + _LINE * (1 + len(lines)) + 8), (0, 0, 0))
    picture.paste(panels, (0, 0))
    _write(picture, regions, lines)
    return picture


def draw_panels(series: ReferenceSeries, regions: Sequence[DrawnRegion], word: str = "slice") -> Image.Image:
    """Draw the three slices of the preview side by side, each with its number after a word, without further text."""
    window = grey_window(series)
    panels = [_panel(series, regions, index, window, word) for index in _slices(series, regions)]
    picture = Image.new("RGB", (sum(panel.width for panel in panels), _PANEL_HEIGHT), (0, 0, 0))
    left = 0
    for panel in panels:
        picture.paste(panel, (left, 0))
        left += panel.width
    return picture


def grey_window(series: ReferenceSeries) -> tuple[float, float]:
    """Values of the series that are shown black and white, and between which greys lie."""
    volume = sitk.GetArrayViewFromImage(series.volume.image)
    low, high = np.percentile(volume[:: max(1, len(volume) // 16)], _WINDOW_PERCENTILES)
    return float(low), float(high)


def draw_slice(
    series: ReferenceSeries,
    regions: Sequence[DrawnRegion],
    index: int,
    size: tuple[int, int],
    window: tuple[float, float],
    width: int = 2,
) -> Image.Image:
    """Draw a slice with its contours, each border and each hole as a line of its own.

    Parameters
    ----------
    index
        Of the slice.
    size
        Columns and rows of the picture; contours are drawn at this resolution, not the image's.
    window
        See :func:`grey_window`.
    width
        Of the innermost contour, pixels.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    low, high = window
    pixels = sitk.GetArrayViewFromImage(series.volume.image)[index]
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255
    rows, columns = grey.shape
    picture = Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).convert("RGB")
    draw = ImageDraw.Draw(picture)
    scale = np.array([size[0] / columns, size[1] / rows])
    for order, region in enumerate(regions):
        # Wider below: where borders coincide, the outer region's shows on both sides of the inner one's.
        line = width * (len(regions) - order)
        for polygon in np.flatnonzero(region.contours.slices == index):
            # Contours count from the first pixel's centre, pictures from its corner.
            points = (region.contours.polygon(int(polygon)) + 0.5) * scale
            corners = [(float(x), float(y)) for x, y in points]
            draw.line([*corners, corners[0]], fill=region.colour, width=line)
    return picture


def _slices(series: ReferenceSeries, regions: Sequence[DrawnRegion]) -> list[int]:
    """Return the slice of the largest area and two neighbours; three in the middle where nothing was found."""
    count = len(series.planes)
    middle = count // 2
    for region in regions:
        if len(region.contours.starts):
            areas = np.bincount(region.contours.slices, weights=region.contours.signed_areas(), minlength=count)
            middle = int(areas.argmax())
            break
    step = max(1, round(_NEIGHBOUR_MM / series.slice_distance))
    return sorted({min(count - 1, max(0, middle + shift)) for shift in (-step, 0, step)})


def _panel(
    series: ReferenceSeries, regions: Sequence[DrawnRegion], index: int, window: tuple[float, float], word: str
) -> Image.Image:
    count, rows, columns = series.shape
    across, down = series.planes[index].spacing
    width = max(1, round(columns * across * _PANEL_HEIGHT / (rows * down)))
    panel = draw_slice(series, regions, index, (width, _PANEL_HEIGHT), window)
    ImageDraw.Draw(panel).text((6, 4), f"{word} {index + 1}/{count}", fill=(200, 200, 200), font=_font())
    return panel


def _write(picture: Image.Image, regions: Sequence[DrawnRegion], lines: Sequence[str]) -> None:
    draw = ImageDraw.Draw(picture)
    top, left = _PANEL_HEIGHT + 4, 8
    for region in regions:
        text = f"{region.name} {region.volume_ml:.1f} ml"
        draw.text((left, top), text, fill=region.colour, font=_font())
        left += round(draw.textlength(text, font=_font())) + 24
    for number, line in enumerate(lines, start=1):
        draw.text((8, top + number * _LINE), line, fill=(230, 230, 230), font=_fitting(line, picture.width - 16))


def _font(size: int = _FONT_SIZE) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _fitting(text: str, width: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return a font in which a line fits the picture, so that no statement is cut off."""
    length = _font().getlength(text)
    return _font(_FONT_SIZE if length <= width else max(6, int(_FONT_SIZE * width / length)))
