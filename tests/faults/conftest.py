"""The fault campaign: real processes, real signals, real disks; every cell ends in a place of a table."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from tests.faults import table
from tests.faults.campaign import ROWS, STAGES, NotApplicable


def _note(cell: table.Cell) -> None:
    """Show a cell, and write it into the table where the campaign was asked for."""
    print(f"{cell.fault} | {cell.stage} | {cell.outcome} | {cell.seconds} s")
    if os.environ.get(table.WRITE_VARIABLE):
        meaningless = [
            table.Cell(fault, stage, f"n/a: {ends.reason}")
            for fault, row in ROWS.items()
            for stage, ends in row.items()
            if isinstance(ends, NotApplicable)
        ]
        table.write([*meaningless, cell], list(ROWS), list(STAGES))


@pytest.fixture
def record_cell() -> Callable[[str, str], contextlib.AbstractContextManager[Callable[[str], None]]]:
    """Note a cell, also one that fails: with what is said last, or the error that ended it."""

    @contextlib.contextmanager
    def cell(fault: str, stage: str) -> Iterator[Callable[[str], None]]:
        start, said = time.monotonic(), ["not ended"]

        def note(outcome: str) -> None:
            _note(table.Cell(fault, stage, outcome, round(time.monotonic() - start, 1), table.today()))

        try:
            yield said.append
        except pytest.skip.Exception:
            raise
        except BaseException as error:
            note(f"FAILED: {(str(error).splitlines() or [type(error).__name__])[0][:80]}")
            raise
        note(said[-1])

    return cell


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory, sample_study: Path) -> Path:
    """The sample study with every fourth pixel of every second slice: seconds instead of half a minute a job."""
    target = tmp_path_factory.mktemp("small")
    for path in (path for series in sample_study.glob("*/") for path in sorted(series.glob("*.dcm"))[::2]):
        dataset = pydicom.dcmread(path)
        pixels = dataset.pixel_array[::4, ::4].copy()
        dataset.PixelData = pixels.tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing = [4 * float(one) for one in dataset.PixelSpacing]
        dataset.SpacingBetweenSlices *= 2
        (target / path.parent.name).mkdir(exist_ok=True)
        dataset.save_as(target / path.parent.name / path.name, enforce_file_format=True)
    return target
