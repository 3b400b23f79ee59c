"""Decoded grey values of frames, after the modality LUT."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from pipeline.errors import GlioLoopError
from pipeline.exhaustion import raise_if_exhausted
from pipeline.volume import jpeg
from pipeline.volume.compressed import require_declared_size
from pipeline.volume.frames import Frame

jpeg.register()


def decode(frames: Iterable[Frame]) -> NDArray[np.float32]:
    """Grey values of frames in their order.

    Compressed transfer syntaxes are decoded by pydicom's plugins. Rescale slope and intercept (or the modality
    LUT) are applied per instance, in Enhanced MR per frame. Real-world value maps and Philips' private scaling
    are left alone: they only rescale what a network's normalisation rescales again. MONOCHROME1 is inverted.

    Parameters
    ----------
    frames
        Frames of equal size.

    Returns
    -------
    numpy.ndarray
        float32, axes (slice k, row j, column i).

    Raises
    ------
    GlioLoopError
        ``FILE_UNREADABLE`` naming the instance where pixel data are truncated or do not decode;
        ``PIXELS_INVALID`` for colour, empty or constant images.
    """
    frames = tuple(frames)
    columns, rows = frames[0].size
    volume = np.empty((len(frames), rows, columns), dtype=np.float32)
    wanted: dict[Path, list[tuple[int, Frame]]] = {}
    for k, frame in enumerate(frames):
        wanted.setdefault(frame.path, []).append((k, frame))
    inverted = False
    for path, places in wanted.items():
        dataset = _whole(path, places[0][1])
        inverted |= str(dataset.get("PhotometricInterpretation", "")) == "MONOCHROME1"
        stored = _stored(dataset, places[0][1])
        for k, frame in places:
            volume[k] = _rescaled(stored[(frame.frame_number or 1) - 1], dataset, frame)
    return _checked(volume, inverted)


def _whole(path: Path, frame: Frame) -> Dataset:
    try:
        dataset = dcmread(path)
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise _unreadable(frame, error) from error
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise GlioLoopError("PIXELS_INVALID", f"Instance {frame.sop_instance_uid} is a colour image.")
    try:
        require_declared_size(dataset)
    except GlioLoopError:
        raise
    except Exception as error:  # fragments that are none
        raise _unreadable(frame, error) from error
    return dataset


def _stored(dataset: Dataset, frame: Frame) -> NDArray[Any]:
    """Stored values, axes (frame, row, column)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # padding and dubious lengths: what matters raises
            pixels = dataset.pixel_array
    except Exception as error:  # decoders raise many kinds
        raise _unreadable(frame, error) from error
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[1:] != (frame.size[1], frame.size[0]):
        raise _unreadable(frame, ValueError(f"decoded shape {pixels.shape}"))
    return pixels


def _unreadable(frame: Frame, error: Exception) -> GlioLoopError:
    raise_if_exhausted(error, "load")
    return GlioLoopError(
        "FILE_UNREADABLE",
        f"Instance {frame.sop_instance_uid}: {type(error).__name__}.",
        {"sop_instance_uid": frame.sop_instance_uid, "cause": str(error)[:300]},
    )


def _rescaled(pixels: NDArray[Any], dataset: Dataset, frame: Frame) -> NDArray[np.float32]:
    groups = _value_transformation(dataset, frame)
    if groups is None:
        return np.asarray(apply_modality_lut(pixels, dataset), dtype=np.float32)
    slope = float(groups.get("RescaleSlope") or 1.0)
    intercept = float(groups.get("RescaleIntercept") or 0.0)
    return np.asarray(pixels * slope + intercept, dtype=np.float32)


def _value_transformation(dataset: Dataset, frame: Frame) -> Dataset | None:
    """Pixel Value Transformation of a frame (PS3.3 C.7.6.16.2.9), None in a classic instance."""
    if frame.frame_number is None:
        return None
    per_frame = dataset.PerFrameFunctionalGroupsSequence[frame.frame_number - 1]
    shared = dataset.get("SharedFunctionalGroupsSequence")
    for place in (per_frame, shared[0] if shared else Dataset()):
        if place.get("PixelValueTransformationSequence"):
            found: Dataset = place.PixelValueTransformationSequence[0]
            return found
    return Dataset()


def _checked(volume: NDArray[np.float32], inverted: bool) -> NDArray[np.float32]:
    if not np.isfinite(volume).all():
        raise GlioLoopError("PIXELS_INVALID", "Values that are no numbers.")
    low, high = float(volume.min()), float(volume.max())
    if low == high:
        raise GlioLoopError("PIXELS_INVALID", "Every pixel has the same value.")
    return (high + low) - volume if inverted else volume
