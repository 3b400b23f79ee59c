"""The fault campaign: real processes, real signals, real disks; every cell ends in a place of a table."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator

import pytest

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
