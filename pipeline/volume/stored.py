"""Stored values of a frame: which bits hold them, which of them are padding, and which way round they are.

Sources: DICOM PS3.5 8.1.1 (Bits Stored, High Bit, Pixel Representation), PS3.3 C.7.6.3.1.2 (Photometric
Interpretation), C.7.5.1.1.2 (Pixel Padding Value and Range Limit).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pipeline.errors import GlioLoopError
from pipeline.identify.traits import number_of
from pipeline.volume.compressed import code_stream_precision
from pipeline.volume.validity import Mask, reaching_the_border

Stored = NDArray[Any]

#: Padding this part of the image's range away from every other value can't be a grey value.
_APART = 0.01
#: Of the neighbours in a picture, those that differ in its lowest bits at most where these are an overlay's.
_BUSY = 0.5
#: Of the neighbours that differ above the stored bits, those that are nearer with these bits than without.
_WRAPPED = 0.25


def stored_values(decoded: Stored, dataset: Dataset) -> Stored:
    """Grey values alone, without what else lies in their words (overlays of old, a decoder's leftovers).

    Parameters
    ----------
    decoded
        Words as a decoder gave them, any shape and order of bytes; floats pass as they are.
    dataset
        Says how many bits of a word hold the value, where they end and whether there is a sign.

    Returns
    -------
    The same shape; signed where Pixel Representation says so.

    Raises
    ------
    GlioLoopError
        ``PIXELS_INVALID`` where the values need more bits than the header says.
    """
    if decoded.dtype.kind not in "iu":
        return decoded
    decoded = decoded.astype(decoded.dtype.newbyteorder("="), copy=False)
    width = 8 * decoded.dtype.itemsize
    bits = min(int(dataset.get("BitsStored") or width), width)
    words = decoded.view(np.dtype(f"u{decoded.dtype.itemsize}"))
    if shift := _shift(words, dataset, bits, width):
        words = words >> words.dtype.type(shift)
    if bits < width:
        whole, words = words, words & words.dtype.type((1 << bits) - 1)
        _require_no_wrap(whole, words)
    if not int(dataset.get("PixelRepresentation") or 0):
        return words
    signed = words.view(np.dtype(f"i{decoded.dtype.itemsize}"))
    # The sign bit moved to the top of the word and back with its copies.
    return (signed << (width - bits)) >> (width - bits) if bits < width else signed


def _shift(words: Stored, dataset: Dataset, bits: int, width: int) -> int:
    """Bits below the value, by High Bit; none where they vary as grey values do and nothing lies above.

    Writers that keep High Bit at the top of the word mean it (the value is aligned to the left, with nothing or an
    overlay below) or forgot it (the value lies at the bottom). The picture tells.
    """
    shift = min(int(dataset.get("HighBit") or bits - 1) + 1 - bits, width - bits)
    if shift <= 0 or _moved_down(dataset, bits):
        return 0
    below = words & words.dtype.type((1 << shift) - 1)
    pairs = [(np.diff(below.astype(np.int64), axis=axis) != 0, _either(words != 0, axis)) for axis in (-2, -1)]
    if sum(int(changed.sum()) for changed, _ in pairs) <= _BUSY * sum(int(seen.sum()) for _, seen in pairs):
        return shift
    signed = bool(int(dataset.get("PixelRepresentation") or 0))
    values = words.view(np.dtype(f"i{words.dtype.itemsize}")) if signed else words
    lowest, beyond = (-(1 << bits - 1), 1 << bits - 1) if signed else (0, 1 << bits)
    if int(values.min()) < lowest or int(values.max()) >= beyond:
        raise GlioLoopError("PIXELS_INVALID", "Grey values need more bits than BitsStored says.")
    return 0


def _either(there: Mask, axis: int) -> Mask:
    """Whether one of two neighbours along an axis is there."""
    size = there.shape[axis]
    return np.asarray(np.take(there, range(1, size), axis) | np.take(there, range(size - 1), axis))


def _require_no_wrap(whole: Stored, values: Stored) -> None:
    """Where bits above the stored ones change, an overlay's set neighbours apart; bits that lack to a value do not."""
    above = (whole != values).any(axis=(-2, -1))
    if not above.any():
        return
    closer = changes = 0
    for axis in (-2, -1):
        words, masked = (np.diff(one[above].astype(np.int64), axis=axis) for one in (whole, values))
        changed = words != masked
        changes += int(changed.sum())
        closer += int((np.abs(words[changed]) < np.abs(masked[changed])).sum())
    if closer > _WRAPPED * changes:
        raise GlioLoopError("PIXELS_INVALID", "Grey values need more bits than BitsStored says.")


def _moved_down(dataset: Dataset, bits: int) -> bool:
    """Whether a code stream holds the value alone, so that it comes at the bottom of its word."""
    precision = code_stream_precision(dataset)
    return precision is not None and precision <= bits


def inverted(stored: Stored, dataset: Dataset) -> Stored:
    """Stored values of MONOCHROME1 as those of its MONOCHROME2 twin: bit by bit."""
    if stored.dtype.kind not in "iu":
        return -stored
    turned: Stored = ~stored
    if turned.dtype.kind == "u":
        bits = min(int(dataset.get("BitsStored") or 16), 8 * stored.dtype.itemsize)
        turned &= turned.dtype.type((1 << bits) - 1)
    return turned


def padding_of(stored: Stored, dataset: Dataset) -> Mask | None:
    """Pixels of one frame that only fill it up, by Pixel Padding Value and its limit; None where there are none.

    What is no value of its own, such as a zero that pads and is also the darkest grey, counts only where it
    reaches the frame's border: fluid in FLAIR may be as dark.

    Parameters
    ----------
    stored
        One frame, shape (row, column), before the modality LUT and before inversion.
    dataset
        Its instance.
    """
    if stored.dtype.kind == "f":
        return _padding_of_floats(stored, dataset)
    first = _word(dataset.get("PixelPaddingValue"), dataset)
    if first is None or stored.dtype.kind not in "iu":
        return None
    last = _word(dataset.get("PixelPaddingRangeLimit"), dataset)
    low, high = sorted((first, first if last is None else last))
    hit = (stored >= low) & (stored <= high)
    if not hit.any():
        return None
    others = stored[~hit]
    if others.size:
        darkest, brightest = int(others.min()), int(others.max())
        gap = max(darkest - high, low - brightest)
        if gap <= max(_APART * (brightest - darkest), 1):
            hit = reaching_the_border(hit)
    return np.asarray(hit)


def _padding_of_floats(stored: Stored, dataset: Dataset) -> Mask | None:
    """What is no number, and Float (Double Float) Pixel Padding Value with its limit."""
    kind = "Double" if stored.dtype.itemsize == 8 else ""
    limits = [number_of(dataset.get(f"{kind}FloatPixelPadding{which}")) for which in ("Value", "RangeLimit")]
    known = [limit for limit in limits if limit is not None]
    hit = ~np.isfinite(stored)
    if known:
        hit |= (stored >= stored.dtype.type(min(known))) & (stored <= stored.dtype.type(max(known)))
    return np.asarray(hit) if hit.any() else None


def _word(value: Any, dataset: Dataset) -> int | None:
    """A value of the pixels' kind, whose VR (US or SS) may have been written the other way."""
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    bits = int(dataset.get("BitsAllocated") or 16)
    signed = bool(int(dataset.get("PixelRepresentation") or 0))
    number &= (1 << bits) - 1
    return number - (1 << bits) if signed and number >> (bits - 1) else number
