"""The aligned sequences as 8-bit pictures on the reference series' slices, for the dashboard.

One picture a sequence holds every slice, side by side: the browser fetches it once and scrolls without
a further request, and the archive is not asked for hundreds of previews. For looking, not for diagnosis.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Final

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image

from pipeline.names import MRSequence
from pipeline.volume.records import SourceVolume

_LONGEST_SIDE: Final = 320
#: Bounds time, file and the browser's memory: a picture takes four bytes a pixel there.
_MOST_PIXELS: Final = 8_000_000
_QUALITY: Final = 82
#: Black and white of the window, as percentiles of the head's voxels.
_WINDOW: Final = (1.0, 99.5)


@dataclass(frozen=True)
class Sheet:
    """How the slices lie in a picture: row by row, ``across`` in each row.

    Attributes
    ----------
    width, height
        Of one slice, pixels of the picture.
    across
        Slices in a row.
    count
        Slices in all.
    """

    width: int
    height: int
    across: int
    count: int

    def as_json(self) -> dict[str, int]:
        """The sheet as the dashboard reads it."""
        return {"width": self.width, "height": self.height, "across": self.across, "count": self.count}


def sheet_of(reference: sitk.Image) -> Sheet:
    """Return the sheet for a reference series: its own slices, reduced in plane where they are large.

    Parameters
    ----------
    reference
        3D, index order (column, row, slice).
    """
    columns, rows, count = reference.GetSize()
    scale = min(1.0, _LONGEST_SIDE / max(columns, rows), math.sqrt(_MOST_PIXELS / (columns * rows * count)))
    width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
    return Sheet(width, height, math.ceil(math.sqrt(count * height / width)), count)


def draw_sheets(
    volumes: Mapping[MRSequence, SourceVolume], transforms: Mapping[MRSequence, sitk.Transform], target: sitk.Image
) -> tuple[Sheet, dict[MRSequence, bytes]]:
    """Draw every sequence on the slices of the reference.

    Parameters
    ----------
    volumes
        The sequences.
    transforms
        Map points of the reference's space (LPS, mm) to each sequence's.
    target
        The reference series' slices, which are shown.

    Returns
    -------
    tuple
        The sheet, and a JPEG for each sequence.
    """
    sheet = sheet_of(target)
    return sheet, draw_on(sheet, reduced(target, sheet), volumes, transforms)


def draw_on(
    sheet: Sheet,
    grid: sitk.Image,
    volumes: Mapping[MRSequence, SourceVolume],
    transforms: Mapping[MRSequence, sitk.Transform],
) -> dict[MRSequence, bytes]:
    """Draw every sequence on the slices of a sheet: ``grid`` is :func:`reduced`'s; a JPEG for each."""
    pictures = {}
    for sequence, volume in volumes.items():
        image = sitk.Resample(volume.image, grid, transforms[sequence], sitk.sitkLinear, 0.0, sitk.sitkFloat32)
        pictures[sequence] = _jpeg(_tiled(_grey(sitk.GetArrayViewFromImage(image)), sheet))
    return pictures


def reduced(image: sitk.Image, sheet: Sheet) -> sitk.Image:
    """Return an empty image over the same slices with the sheet's pixels; outer edges coincide."""
    columns, rows, count = image.GetSize()
    factors = (columns / sheet.width, rows / sheet.height)
    grid = sitk.Image(sheet.width, sheet.height, count, sitk.sitkUInt8)
    spacing = image.GetSpacing()
    grid.SetSpacing((spacing[0] * factors[0], spacing[1] * factors[1], spacing[2]))
    grid.SetDirection(image.GetDirection())
    # Centre of the first reduced pixel, in pixels of the image.
    grid.SetOrigin(image.TransformContinuousIndexToPhysicalPoint((factors[0] / 2 - 0.5, factors[1] / 2 - 0.5, 0.0)))
    return grid


def _grey(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Window a volume to 8 bits by its own histogram; (slice, row, column) in and out."""
    sample = values[:, ::3, ::3]
    head = sample[sample > sample.mean()]
    if head.size == 0:
        return np.zeros(values.shape, np.uint8)
    high = float(np.percentile(head, _WINDOW[1]))
    low = min(float(np.percentile(sample, _WINDOW[0])), high - 1e-6)
    scaled: NDArray[np.float32] = (values - np.float32(low)) * np.float32(255 / (high - low))
    return np.clip(scaled, 0, 255).astype(np.uint8)


def _tiled(slices: NDArray[np.uint8], sheet: Sheet) -> NDArray[np.uint8]:
    """Lay (slice, row, column) out as the sheet says."""
    down = math.ceil(sheet.count / sheet.across)
    padded = np.zeros((down * sheet.across, sheet.height, sheet.width), np.uint8)
    padded[: sheet.count] = slices
    rows = padded.reshape(down, sheet.across, sheet.height, sheet.width).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(rows.reshape(down * sheet.height, sheet.across * sheet.width))


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    content = BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
