"""A study's result as one page: where the contours are, how large the regions, and what is to be looked at."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from PIL import Image

from pipeline.errors import Flag
from pipeline.names import MANUFACTURER, Language, Region
from pipeline.objects.measure import RegionSize
from pipeline.objects.overlay.drawing import text_strip
from pipeline.objects.page.content import Page, Table
from pipeline.objects.page.words import Words
from pipeline.objects.preview.drawing import DrawnRegion, draw_panels
from pipeline.objects.provenance import Provenance
from pipeline.objects.source import ReferenceSeries


def result_page(
    series: ReferenceSeries,
    regions: Mapping[Region, DrawnRegion],
    sizes: Mapping[Region, RegionSize],
    flags: Sequence[Flag],
    provenance: Provenance,
    language: Language,
) -> Page:
    """Write a result, without patient data.

    Parameters
    ----------
    series
        The reference series.
    regions, sizes
        In the order in which they are listed.
    flags
        In words; their details as they are.
    provenance
        Network, software, and time by the clock of the images.
    """
    words = Words(language)
    made = words("made").format(date=words.date(provenance.created), model=provenance.model)
    remarks = [" ".join(part for part in (words(one.code), one.detail) if part) for one in flags]
    said = [f"{words('study')}: {studied}." if (studied := _study_date(series, words)) else "", f"{made}."]
    return Page(
        title=words("result"),
        subtitle=" ".join(filter(None, [*said, "" if remarks else words("no_flags")])),
        warnings=remarks,
        pictures=[_picture(series, regions, words)],
        tables=[_table(regions, sizes, len(series.planes), words)],
        footer=[f"{MANUFACTURER} {provenance.software_version}, {provenance.model}. {words('research')}"],
        language=language,
    )


def _study_date(series: ReferenceSeries, words: Words) -> str:
    try:
        return words.date(datetime.strptime(str(series.first.StudyDate), "%Y%m%d"))
    except ValueError:  # none
        return ""


def _picture(series: ReferenceSeries, regions: Mapping[Region, DrawnRegion], words: Words) -> Image.Image:
    panels = draw_panels(series, list(regions.values()), words("slice"))
    legend = [
        (f"{words(region.value)} {words.number(one.volume_ml, 1)} ml", one.colour) for region, one in regions.items()
    ]
    strip = text_strip(panels.width, legend)
    picture = Image.new("RGB", (panels.width, panels.height + strip.height))
    picture.paste(panels, (0, 0))
    picture.paste(strip, (0, panels.height))
    return picture


def _table(
    regions: Mapping[Region, DrawnRegion], sizes: Mapping[Region, RegionSize], slices: int, words: Words
) -> Table:
    rows = []
    for region, one in regions.items():
        size = sizes[region]
        measured = ["–", "–", "–"]
        if size.slice_index is not None:
            axes = f"{words.number(size.long_axis_mm, 0)} × {words.number(size.short_axis_mm, 0)} mm"
            measured = [f"{words.number(size.diameter_mm, 0)} mm", axes, f"{size.slice_index + 1}/{slices}"]
        rows.append([f"{words(region.value)}\n{one.name}", f"{words.number(one.volume_ml, 1)} ml", *measured])
    header = [words(key) for key in ("region", "volume", "longest", "in_slice")]
    return Table(words("contours"), [*header, words("slice").capitalize()], rows, [2.0, 1.0, 1.4, 2.2, 0.8])
