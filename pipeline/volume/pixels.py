"""Decoded grey values of frames, after the modality LUT."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of, raise_if_exhausted
from pipeline.identify.traits import number_of
from pipeline.volume import jpeg
from pipeline.volume.compressed import require_declared_size
from pipeline.volume.frames import Frame
from pipeline.volume.stored import Stored, inverted, padding_of, stored_values
from pipeline.volume.validity import Mask, without_background

jpeg.register()

_PHILIPS = "Philips MR Imaging DD 001"


@dataclass(frozen=True)
class Decoded:
    """Frames as a volume.

    Attributes
    ----------
    values
        float32, axes (slice k, row j, column i); padding has the lowest value that was imaged.
    valid
        uint8, the same axes: 1 where imaged, 0 for padding and for a constant background. None where all was.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.uint8] | None


def decode(frames: Iterable[Frame]) -> Decoded:
    """Grey values of frames in their order, and which of them were imaged.

    Compressed transfer syntaxes are decoded by pydicom's plugins; of every word only the stored bits count.
    Rescale slope and intercept (or the modality LUT) are applied per instance, in Enhanced MR per frame.
    Real-world value maps are left alone: they only rescale what a network's normalisation rescales again. So does
    Philips' private scaling, but for slices of different scales. MONOCHROME1 is inverted.

    Parameters
    ----------
    frames
        Frames of equal size.

    Raises
    ------
    GlioLoopError
        ``FILE_UNREADABLE`` naming the instance where pixel data are truncated or do not decode;
        ``PIXELS_INVALID`` for colour, empty or constant images.
    """
    frames = tuple(frames)
    columns, rows = frames[0].size
    volume = np.empty((len(frames), rows, columns), dtype=np.float32)
    padded: dict[int, Mask] = {}
    scales: dict[int, float | None] = {}
    wanted: dict[Path, list[tuple[int, Frame]]] = {}
    for k, frame in enumerate(frames):
        wanted.setdefault(frame.path, []).append((k, frame))
    for path, places in wanted.items():
        dataset = _whole(path, places[0][1])
        stored = _stored(dataset, places[0][1])
        for k, frame in places:
            one = stored[(frame.frame_number or 1) - 1]
            if (padding := padding_of(one, dataset)) is not None:
                padded[k] = padding
            volume[k] = _rescaled(one, dataset, frame)
            scales[k] = _private_scale(dataset, frame)
    _even_out(volume, scales)
    return _with_validity(volume, padded)


def _even_out(volume: NDArray[np.float32], scales: Mapping[int, float | None]) -> None:
    """Bring slices that were scaled for display one by one to one scale."""
    known = {k: scale for k, scale in scales.items() if scale}
    if len(known) == len(volume) and not np.allclose(list(known.values()), known[0], rtol=1e-3):
        for k, scale in known.items():
            volume[k] *= known[0] / scale


def _with_validity(volume: NDArray[np.float32], padded: dict[int, Mask]) -> Decoded:
    imaged = volume
    if padded:
        imaged = np.concatenate([one[~padded[k]] if k in padded else one.ravel() for k, one in enumerate(volume)])
    if not np.isfinite(imaged).all():
        raise GlioLoopError("PIXELS_INVALID", "Values that are no numbers.")
    if imaged.size == 0 or imaged.min() == imaged.max():
        raise GlioLoopError("PIXELS_INVALID", "Every pixel has the same value.")
    for k, padding in padded.items():
        volume[k][padding] = imaged.min()
    return Decoded(volume, without_background(volume, padded))


def _whole(path: Path, frame: Frame) -> Dataset:
    try:
        dataset = dcmread(path)
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise _unreadable(frame, error) from error
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise GlioLoopError("PIXELS_INVALID", f"Instance {frame.sop_instance_uid} is a colour image.")
    # what decoders and the inversion below go by
    interpretation = str(dataset.get("PhotometricInterpretation") or "").strip(" \0").upper()
    if interpretation.startswith("PALETTE"):
        raise GlioLoopError("PIXELS_INVALID", f"Instance {frame.sop_instance_uid} is a colour image.")
    dataset.PhotometricInterpretation = interpretation or "MONOCHROME2"
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
            # As decoded: which bits count is settled below, after every decoder alike.
            dataset.pixel_array_options(correct_unused_bits=False)
            pixels = dataset.pixel_array
    except Exception as error:  # decoders raise many kinds
        raise _unreadable(frame, error) from error
    pixels = pixels[np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[1:] != (frame.size[1], frame.size[0]):
        raise _unreadable(frame, ValueError(f"decoded shape {pixels.shape}"))
    return stored_values(pixels, dataset)


def _unreadable(frame: Frame, error: Exception) -> GlioLoopError:
    raise_if_exhausted(error, "load")
    return GlioLoopError(
        "FILE_UNREADABLE",
        f"Instance {frame.sop_instance_uid}: {type(error).__name__}.",
        {"sop_instance_uid": frame.sop_instance_uid, "cause": place_of(error)},
    )


def _rescaled(stored: Stored, dataset: Dataset, frame: Frame) -> NDArray[np.float32]:
    turned = dataset.PhotometricInterpretation == "MONOCHROME1"
    groups = _value_transformation(dataset, frame)
    if groups is None and dataset.get("ModalityLUTSequence"):
        looked_up = np.asarray(apply_modality_lut(stored, dataset), dtype=np.float32)
        top = (1 << int(dataset.ModalityLUTSequence[0].LUTDescriptor[2])) - 1
        return np.float32(top) - looked_up if turned else looked_up
    place = dataset if groups is None else groups
    slope, intercept = _number(place, "RescaleSlope", frame) or 1.0, _number(place, "RescaleIntercept", frame) or 0.0
    values = inverted(stored, dataset) if turned else stored
    return np.asarray(values * slope + intercept, dtype=np.float32)


def _number(place: Dataset, keyword: str, frame: Frame) -> float | None:
    """A value that grey values depend on: None where it is absent or empty, refused where it is no number."""
    value = place.get(keyword)
    if value is None or value == "":
        return None
    number = number_of(value)
    if number is None:
        raise _unreadable(frame, ValueError(keyword))
    return number


def _private_scale(dataset: Dataset, frame: Frame) -> float | None:
    """Rescale slope times Philips' scale slope, by which a grey value is divided to be comparable with other slices'.

    It is the same in every slice of most series, and then of no matter. None where absent.
    """
    place = dataset
    if frame.frame_number is not None:
        own = dataset.PerFrameFunctionalGroupsSequence[frame.frame_number - 1].get((0x2005, 0x140F))
        place = own.value[0] if own is not None and own.value else Dataset()
    try:
        found = number_of(place.private_block(0x2005, _PHILIPS)[0x0E].value)
    except KeyError:
        return None
    groups = _value_transformation(dataset, frame)
    slope = number_of((dataset if groups is None else groups).get("RescaleSlope")) or 1.0
    return found * slope if found else None


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
