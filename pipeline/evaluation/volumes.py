"""A picture of volumes found against true ones, a dot a case and region."""

from collections.abc import Sequence as Listing
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipeline.evaluation.metrics import RegionScore
from pipeline.evaluation.pictures import COLOURS
from pipeline.names import TUMOUR_REGIONS, Region

_SIDE, _MARGIN, _DOT = 520, 50, 4
_LEAST_ML, _MOST_ML = 0.1, 1000.0


def _place(ml: float) -> float:
    """Pixels along an axis that is logarithmic from a tenth of a ml to a litre."""
    share = np.log(np.clip(ml, _LEAST_ML, _MOST_ML) / _LEAST_ML) / np.log(_MOST_ML / _LEAST_ML)
    return float(_MARGIN + share * (_SIDE - 2 * _MARGIN))


def draw_volumes(cases: Listing[dict[Region, RegionScore]], path: Path, title: str) -> None:
    """Write a PNG; what lies on the line is as large as the truth. Nothing counts as a tenth of a ml."""
    sheet = Image.new("RGB", (_SIDE, _SIDE), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for ml in (0.1, 1, 10, 100, 1000):
        at = _place(ml)
        draw.line([(at, _MARGIN), (at, _SIDE - _MARGIN)], fill=(220, 220, 220))
        draw.line([(_MARGIN, _SIDE - at), (_SIDE - _MARGIN, _SIDE - at)], fill=(220, 220, 220))
        draw.text((at - 8, _SIDE - _MARGIN + 6), f"{ml:g}", fill=(0, 0, 0))
        draw.text((8, _SIDE - at - 6), f"{ml:g}", fill=(0, 0, 0))
    draw.line([(_MARGIN, _SIDE - _MARGIN), (_SIDE - _MARGIN, _MARGIN)], fill=(120, 120, 120))
    for scores in cases:
        for region in TUMOUR_REGIONS:
            x, y = _place(scores[region].truth_ml), _SIDE - _place(scores[region].volume_ml)
            draw.ellipse([(x - _DOT, y - _DOT), (x + _DOT, y + _DOT)], fill=COLOURS[region])
    for number, region in enumerate(TUMOUR_REGIONS):
        draw.text((_MARGIN + 10, _MARGIN + 8 + 14 * number), region.value, fill=COLOURS[region])
    draw.text((_MARGIN, 12), f"{title}: ml found (upwards) against ml true", fill=(0, 0, 0))
    sheet.save(path)
