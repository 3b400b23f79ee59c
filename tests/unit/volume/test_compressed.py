"""Small files that would become large ones."""

import struct
from pathlib import Path

import pydicom
import pytest
from openjpeg.utils import encode_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEG2000Lossless

from pipeline.errors import GlioLoopError
from pipeline.volume import VolumeLimits, read_volume
from pipeline.volume.compressed import code_stream_size


def _series(sample_study: Path, folder: Path) -> list[pydicom.Dataset]:
    datasets = []
    for path in sorted((sample_study / "t1").iterdir())[:8]:
        dataset = pydicom.dcmread(path)
        dataset.decompress()
        dataset.filename = str(folder / path.name)
        datasets.append(dataset)
    return datasets


@pytest.mark.parametrize("syntax", [pydicom.uid.JPEG2000Lossless, pydicom.uid.JPEGLSLossless])
def test_a_code_stream_of_another_size(sample_study: Path, tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    """A stream of 60,000² pixels in an image of 220 x 180: refused before a decoder allocates 7 GB."""
    datasets = _series(sample_study, tmp_path)
    for number, dataset in enumerate(datasets):
        size = (dataset.Columns, dataset.Rows)
        if syntax == JPEG2000Lossless:
            frame = bytes(encode_array(dataset.pixel_array))
            dataset.PixelData = pydicom.encaps.encapsulate([frame])
            dataset.file_meta.TransferSyntaxUID = syntax
        else:
            dataset.compress(syntax)
            (frame,) = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
        assert code_stream_size(frame) == size
        if number == 3:
            declared = struct.pack(">2I", *size) if syntax == JPEG2000Lossless else struct.pack(">2H", *size[::-1])
            huge = struct.pack(">2I" if syntax == JPEG2000Lossless else ">2H", 60_000, 60_000)
            assert declared in frame[:64]
            dataset.PixelData = pydicom.encaps.encapsulate([frame.replace(declared, huge, 1)])
        dataset.save_as(dataset.filename)
    files = [Path(dataset.filename) for dataset in datasets]
    with pytest.raises(GlioLoopError, match="60000 x 60000") as refused:
        read_volume(files)
    assert refused.value.code == "FILE_UNREADABLE"


def test_a_deflated_file_that_grows(sample_study: Path, tmp_path: Path) -> None:
    """8 MiB of zeros in 8 KiB: refused by what it inflates to, whatever the header says."""
    datasets = _series(sample_study, tmp_path)
    for number, dataset in enumerate(datasets):
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        if number == 3:
            dataset.add_new(0x00091010, "OB", bytes(8 << 20))
            dataset.add_new(0x00090010, "LO", "TEST")
        dataset.save_as(dataset.filename, enforce_file_format=True)
    files = [Path(dataset.filename) for dataset in datasets]
    assert files[3].stat().st_size < 200_000
    assert len(read_volume(files).slices) == 8
    with pytest.raises(GlioLoopError) as refused:
        read_volume(files, limits=VolumeLimits(total_bytes=6 << 20))
    assert refused.value.code == "INPUT_TOO_LARGE"
    assert "inflates" in refused.value.detail


def test_a_damaged_deflated_file(sample_study: Path, tmp_path: Path) -> None:
    (dataset, *_) = _series(sample_study, tmp_path)
    path = Path(dataset.filename)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    content = path.read_bytes()
    path.write_bytes(content[:-5000] + b"\xff" * 5000)
    with pytest.raises(GlioLoopError, match="FILE_UNREADABLE"):
        read_volume([path])
