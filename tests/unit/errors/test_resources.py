"""A machine that lacks memory or disk is told as that, and never as a fault of the images."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pydicom.uid
import pytest

from pipeline.errors import GlioLoopError
from pipeline.errors.resources import exhausted, raise_if_exhausted
from pipeline.settings import ROOT

_LIMITED = """
import resource
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from pipeline.align.prepare import prepare
from pipeline.align.register import register
from pipeline.errors.resources import exhausted
from pipeline.errors import GlioLoopError
from pipeline.volume import read_volume

def limit():
    used = next(int(one.split()[1]) << 10 for one in open("/proc/self/status") if one.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + (1 << 20),) * 2)

def align():
    zone = np.indices((48, 48, 48)) - 24.0
    ball = sitk.GetImageFromArray(((zone**2).sum(axis=0) < 400).astype(np.float32) * (100 + zone[0].astype(np.float32)))
    ball.SetSpacing((4.0, 4.0, 4.0))
    fixed, moving = prepare(ball), prepare(ball)
    np.linalg.inv(np.eye(64) @ np.eye(64))  # OpenBLAS takes its memory once, and ends the process where there is none
    limit()
    register(fixed, moving, True)

def load():
    limit()
    read_volume([Path(sys.argv[2])])

try:
    {"align": align, "load": load}[sys.argv[1]]()
except (GlioLoopError, MemoryError) as error:
    print(exhausted(error, sys.argv[1]).code if isinstance(error, MemoryError) else error.code)
"""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "OUT_OF_MEMORY"),
        (RuntimeError("Exception thrown: std::bad_alloc"), "OUT_OF_MEMORY"),
        (OSError(errno.ENOSPC, "No space left on device"), "DISK_FULL"),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), "DISK_FULL"),
        (RuntimeError("All samples map outside moving image buffer"), None),
        (PermissionError(errno.EACCES, "denied"), None),
    ],
)
def test_what_an_error_says(error: Exception, code: str | None) -> None:
    found = exhausted(error, "somewhere")
    assert (found.code if found else None) == code
    if code is None:
        raise_if_exhausted(error, "somewhere")
    else:
        with pytest.raises(GlioLoopError) as raised:
            raise_if_exhausted(error, "somewhere")
        assert raised.value.code == code


def test_memory_does_not_lack_here() -> None:
    """In a process of its own: what hundreds of tests before this one hold in theirs says nothing."""
    asked = "from pipeline.errors.resources import memory_lacks; print(memory_lacks())"
    ran = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["False"], ran.stdout + ran.stderr[-2000:]


@pytest.mark.parametrize("stage", ["align", "load"])
def test_a_good_study_is_not_refused_for_want_of_memory(stage: str, tmp_path: Path) -> None:
    """Before, alignment found no place for the images, and reading called the files damaged: refusals, for good."""
    file = tmp_path / "slice.dcm"
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3"
    dataset.Rows = dataset.Columns = 64
    dataset.add_new(0x00091010, "OB", b"\0" * (48 << 20))
    dataset.save_as(file, enforce_file_format=True)
    # What is freed goes back at once: else the heap keeps some, and the work might just fit into it.
    lean = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", _LIMITED, stage, str(file)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=lean)
    # Where a thread that begins just then finds no room for its own data, glibc ends the process: no refusal, either.
    ended = not ran.stdout and ran.returncode < 0 and "thread-local data" in ran.stderr
    assert ended or ran.stdout.split() == ["OUT_OF_MEMORY"], ran.stdout + ran.stderr[-2000:]
