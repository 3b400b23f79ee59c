"""One series of files to one volume."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.uid import UID

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import place_of, raise_if_exhausted
from pipeline.identify import Decision
from pipeline.identify.parts import SeriesPart
from pipeline.identify.traits import is_mr_image
from pipeline.names import MRSequence
from pipeline.volume.compressed import require_inflated_within
from pipeline.volume.frames import Frame, frames_of
from pipeline.volume.limits import VolumeLimits
from pipeline.volume.pixels import Decoded, decode
from pipeline.volume.records import SliceSource, SourceVolume
from pipeline.volume.stacks import Stack, regular_stack

#: What pydicom, int() and float() raise on damaged values.
_UNDECODABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    LookupError,
    NotImplementedError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class ReadSeries:
    """A series, or a part of it, as it was read.

    Attributes
    ----------
    volume
        The volume.
    left_out
        How many images and other objects of the series do not belong to it, and why, in words; empty for none.
        Other parts of the series are not told here.
    header
        Of the instance that holds the first slice, without pixels.
    """

    volume: SourceVolume
    left_out: tuple[str, ...]
    header: Dataset


def read_volume(
    files: Sequence[Path], part: SeriesPart | None = None, limits: VolumeLimits | None = None
) -> SourceVolume:
    """The volume of :func:`read_series`."""
    return read_series(files, part, limits).volume


def read_chosen(decision: Decision, files: Mapping[str, Sequence[Path]]) -> dict[MRSequence, SourceVolume]:
    """The volumes that a decision chose, of each series its chosen part; ``files`` by SeriesInstanceUID."""
    return {
        sequence: read_volume(files[uid], decision.parts.get(sequence)) for sequence, uid in decision.chosen.items()
    }


def read_series(
    files: Sequence[Path], part: SeriesPart | None = None, limits: VolumeLimits | None = None
) -> ReadSeries:
    """Read one series, or one part of it, as one volume.

    Slices are sorted along the normal by ImagePositionPatient. What is no image, and what surely is no member of the
    main stack, is left out where a whole regular volume remains (see :func:`pipeline.volume.stacks.regular_stack`).

    Parameters
    ----------
    files
        Every file of one series, in any order; classic or Enhanced MR.
    part
        Which of several images at each position (echoes, acquisitions, images of a Dixon method); where None and
        there are several, the most complete and then the first (see :func:`pipeline.identify.parts.split`).
    limits
        Bounds and tolerances.

    Returns
    -------
    ReadSeries
        Its volume has a float32 image, LPS mm, right-handed; slice k of the image is ``slices[k]``.

    Raises
    ------
    GlioLoopError
        ``STUDY_EMPTY`` without files, ``FILE_UNREADABLE``, ``INPUT_TOO_LARGE``, ``PIXELS_INVALID``,
        ``GEOMETRY_MISSING``, ``GEOMETRY_MIXED``, ``GEOMETRY_TILTED``, ``GEOMETRY_INCOMPLETE``, ``NOT_A_VOLUME``,
        ``PART_MISSING``.
    """
    limits = limits or VolumeLimits()
    if not files:
        raise GlioLoopError("STUDY_EMPTY", "The series has no files.")
    headers = [(path, _header(path, limits)) for path in sorted(files)]
    try:
        return _series(headers, limits, part)
    except _UNDECODABLE as error:
        # Attributes are decoded when they are looked at: a damaged value shows only here.
        raise GlioLoopError(
            "FILE_UNREADABLE", f"A header does not decode: {type(error).__name__}.", {"cause": place_of(error)}
        ) from error


def _series(headers: Sequence[tuple[Path, Dataset]], limits: VolumeLimits, part: SeriesPart | None) -> ReadSeries:
    series = str(headers[0][1].get("SeriesInstanceUID", ""))
    try:
        images, told = _images(headers)
        _require_within(images, limits)
        frames = _unique([frame for path, header in images for frame in frames_of(header, path)])
        stack = regular_stack(frames, limits, part)
        decoded = decode(stack.frames)
    except GlioLoopError as error:
        detail = f"Series {series}: {error.detail}"
        raise GlioLoopError(error.code, detail, {"series_instance_uid": series, **error.data}) from error
    first = next(header for path, header in images if path == stack.frames[0].path)
    return ReadSeries(_record(stack, decoded, images[0][1]), (*told, *stack.left_out), first)


def _images(headers: Sequence[tuple[Path, Dataset]]) -> tuple[Sequence[tuple[Path, Dataset]], tuple[str, ...]]:
    """The MR images among the objects of a series, and what else there is; all objects where none is an MR image."""
    classes = [str(header.get("SOPClassUID", "")) for _, header in headers]
    images = [one for one, sop_class in zip(headers, classes, strict=True) if is_mr_image(sop_class)]
    if not images:
        return headers, ()
    others = Counter(UID(sop_class).name for sop_class in classes if not is_mr_image(sop_class))
    return images, tuple(f"{count} no MR image ({name})" for name, count in sorted(others.items()))


def _header(path: Path, limits: VolumeLimits) -> Dataset:
    try:
        require_inflated_within(path, limits.total_bytes)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dcmread(path, stop_before_pixels=True)
    except GlioLoopError:
        raise
    except Exception as error:  # pydicom raises many kinds on damaged files; all mean the same here
        raise_if_exhausted(error, "load")
        raise GlioLoopError(
            "FILE_UNREADABLE", f"{path.name}: {type(error).__name__}.", {"cause": place_of(error)}
        ) from error


def _require_within(headers: Sequence[tuple[Path, Dataset]], limits: VolumeLimits) -> None:
    """Refuse before anything large is allocated."""
    frames = total = 0
    for path, header in headers:
        pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
        count = max(int(header.get("NumberOfFrames") or 1), 1)
        if int(header.get("SamplesPerPixel") or 1) != 1:
            raise GlioLoopError("PIXELS_INVALID", f"Instance {header.get('SOPInstanceUID', '')} is a colour image.")
        if pixels > limits.pixels_per_frame:
            raise GlioLoopError("INPUT_TOO_LARGE", f"{pixels} pixels a slice, at most {limits.pixels_per_frame}.")
        frames += count
        total += max(pixels * count * 4, path.stat().st_size)
    if frames > limits.frames:
        raise GlioLoopError("INPUT_TOO_LARGE", f"{frames} frames, at most {limits.frames}.")
    if total > limits.total_bytes:
        raise GlioLoopError("INPUT_TOO_LARGE", f"{total >> 20} MiB, at most {limits.total_bytes >> 20}.")


def _unique(frames: Sequence[Frame]) -> list[Frame]:
    """The same instance in two files counts once."""
    return list({(frame.sop_instance_uid or str(frame.path), frame.frame_number): frame for frame in frames}.values())


def _placed(stack: Stack, array: NDArray[np.float32] | NDArray[np.uint8]) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(stack.origin.tolist())
    image.SetSpacing(stack.spacing)
    image.SetDirection(np.ascontiguousarray(stack.direction).ravel().tolist())
    return image


def _record(stack: Stack, decoded: Decoded, header: Dataset) -> SourceVolume:
    slices = tuple(
        SliceSource(frame.sop_class_uid, frame.sop_instance_uid, frame.frame_number, frame.position)
        for frame in stack.frames
    )
    return SourceVolume(
        image=_placed(stack, decoded.values),
        slices=slices,
        study_instance_uid=str(header.get("StudyInstanceUID", "")),
        series_instance_uid=str(header.get("SeriesInstanceUID", "")),
        frame_of_reference_uid=str(header.get("FrameOfReferenceUID", "")),
        slice_thickness_mm=stack.frames[0].thickness_mm,
        valid=None if decoded.valid is None else _placed(stack, decoded.valid),
    )
