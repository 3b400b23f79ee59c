"""Does a series show a head as an MR magnitude image does? No header need tell of a subtraction."""

import numpy as np
import SimpleITK as sitk

from pipeline.errors import GlioLoopError
from pipeline.volume import SourceVolume

#: Of the brightest, what separates a grey value from that of air.
_APART = 0.05
#: Most of a magnitude image that is darker than air: real ones have none of it, subtractions a quarter.
_MOST_BELOW = 0.01
#: Most of the field's middle that is as dark as air: real heads have up to 0.17, subtractions 0.9.
_MOST_DARK = 0.75
#: Half of the middle's width, in parts of the field of view.
_MIDDLE = 0.2


def require_anatomy(volume: SourceVolume) -> None:
    """Refuse what was subtracted, or shows no tissue in the middle of its field of view.

    Raises
    ------
    GlioLoopError
        ``PIXELS_INVALID``.
    """
    values = sitk.GetArrayViewFromImage(volume.image)
    valid = np.ones(values.shape, bool) if volume.valid is None else sitk.GetArrayViewFromImage(volume.valid) > 0
    border = np.concatenate([one.ravel() for one in (values[:, [0, -1]], values[:, :, [0, -1]])])
    air, darkest = np.median(border), np.percentile(border, 2)
    imaged = values[valid]  # one copy, sorted in place: of a large series it is most of what memory holds
    apart = _APART * (float(np.percentile(imaged, 99.5, overwrite_input=True)) - darkest)
    below = float((imaged < darkest - apart).mean())
    del imaged
    if below > _MOST_BELOW:
        _refuse(volume, f"{100 * below:.0f} % of the image are darker than air, as in a subtraction")
    ranges = (np.flatnonzero(valid.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3))
    middle = tuple(
        slice(int((low + high) / 2 - _MIDDLE * (high - low)), int((low + high) / 2 + _MIDDLE * (high - low)) + 1)
        for low, high in ((int(one[0]), int(one[-1])) for one in ranges)
    )
    dark = float((values[middle] < air + apart).mean())
    if dark > _MOST_DARK:
        _refuse(volume, f"{100 * dark:.0f} % of its middle are as dark as air, as in a subtraction")


def _refuse(volume: SourceVolume, seen: str) -> None:
    detail = f"Series {volume.series_instance_uid}: {seen}."
    raise GlioLoopError("PIXELS_INVALID", detail, {"series_instance_uid": volume.series_instance_uid})
