"""Compressed images that would grow beyond what their header says: refused before a decoder allocates anything.

A JPEG or JPEG 2000 code stream carries its own size, up to 65,535² or 4,294,967,295² pixels, and decoders
believe it rather than Rows and Columns. A deflated data set inflates up to a thousandfold while it is read.
Sources: ITU-T T.81 B.2.2 (frame header; T.87 C.2.2 for JPEG-LS), ITU-T T.800 A.5.1 (SIZ), DICOM PS3.5 A.5.
"""

import struct
import zlib
from pathlib import Path
from typing import Final

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from pipeline.errors import GlioLoopError

_JPEG_2000: Final = b"\xff\x4f\xff\x51"
_JPEG: Final = b"\xff\xd8"
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_PART_10_PREAMBLE: Final = 128 + 4
_INFLATE_STEP: Final = 1 << 20


def require_inflated_within(path: Path, most_bytes: int) -> None:
    """Refuse a deflated file that inflates beyond a bound; others pass unread.

    Raises
    ------
    GlioLoopError
        ``INPUT_TOO_LARGE``, ``FILE_UNREADABLE``.
    """
    meta = read_file_meta_info(path)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    total = 0
    try:
        with path.open("rb") as file:
            # The group length counts from behind its own element: 12 bytes of tag, VR, length and value.
            file.seek(_PART_10_PREAMBLE + 12 + int(meta.FileMetaInformationGroupLength))
            rest = b""
            while not inflater.eof and (rest := inflater.unconsumed_tail or file.read(_INFLATE_STEP)):
                total += len(inflater.decompress(rest, _INFLATE_STEP))
                if total > most_bytes:
                    raise GlioLoopError("INPUT_TOO_LARGE", f"{path.name} inflates beyond {most_bytes >> 20} MiB.")
    except zlib.error as error:
        raise GlioLoopError("FILE_UNREADABLE", f"{path.name}: {type(error).__name__}.") from error


def require_declared_size(dataset: Dataset) -> None:
    """Refuse frames whose code streams are not of the size that the header says.

    Raises
    ------
    GlioLoopError
        ``FILE_UNREADABLE``.
    """
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated or "PixelData" not in dataset:
        return
    declared = (int(dataset.Columns), int(dataset.Rows))
    count = int(dataset.get("NumberOfFrames") or 1)
    for frame in generate_frames(dataset.PixelData, number_of_frames=count):
        found = code_stream_size(frame)
        if found is not None and found != declared:
            raise GlioLoopError(
                "FILE_UNREADABLE",
                f"Instance {dataset.get('SOPInstanceUID', '')}: a frame of {found[0]} x {found[1]} pixels"
                f" in an image of {declared[0]} x {declared[1]}.",
            )


def code_stream_size(frame: bytes) -> tuple[int, int] | None:
    """Columns and rows that a JPEG, JPEG-LS or JPEG 2000 code stream says; None where it is none of them."""
    start = frame.find(_JPEG_2000, 0, 4096)  # a JP2 file has boxes before it
    if start >= 0 and len(frame) >= start + 24:
        right, lower, left, upper = struct.unpack_from(">4I", frame, start + 8)
        return right - left, lower - upper
    return _jpeg_size(frame) if frame.startswith(_JPEG) else None


def code_stream_precision(dataset: Dataset) -> int | None:
    """Bits of a sample that the first code stream of a data set says; None where it holds none (native, RLE)."""
    if not dataset.file_meta.TransferSyntaxUID.is_encapsulated or "PixelData" not in dataset:
        return None
    count = int(dataset.get("NumberOfFrames") or 1)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=count))
    start = frame.find(_JPEG_2000, 0, 4096)
    if start >= 0 and len(frame) > start + 42:
        return (frame[start + 42] & 0x7F) + 1
    at = _frame_header(frame) if frame.startswith(_JPEG) else None
    return None if at is None else frame[at + 4]


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    at = _frame_header(frame)
    if at is None:
        return None
    rows, columns = struct.unpack_from(">2H", frame, at + 5)
    return columns, rows


def _frame_header(frame: bytes) -> int | None:
    """Where the marker of the frame header stands."""
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _FRAME_MARKERS:
            return at
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None
