"""The learning process from outside: started at the lowest priority, ended while a clinical job is at work.

It is ended, not halted: memory (and a GPU's memory) belong to the clinical job too. Each phase goes on
where it was, from files that are written whole.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.errors import REASONS, GlioLoopError
from pipeline.finetune.phases import Phase
from pipeline.records import StoredRecord

#: Exit status of a process that was asked to stop and has kept its work.
STOPPED: Final = 75
#: Exit status of a process that ended with a reasoned error, which lies in ``error.json``.
REFUSED: Final = 3
#: Exit statuses that are a reason in themselves: there may be no room left to write one down.
EXHAUSTED: Final = {4: "DISK_FULL", 5: "OUT_OF_MEMORY"}
#: How often in a row it may be killed by another than this (the kernel, for want of memory) or hang.
_MOST_DEATHS: Final = 3
_LOOK_SECONDS: Final = 0.5
#: What it has to finish the piece in hand; after that it is killed, and does that piece again.
_STOP_SECONDS: Final = 5.0
_REPORT_SECONDS: Final = 2.0


class PhaseOutcome(StoredRecord):
    """What a phase took.

    Attributes
    ----------
    seconds, processor_seconds
        At work, and what the processor gave of that.
    pauses
        How often it made room for a clinical job.
    peak_mb
        Of the process's memory.
    """

    seconds: float
    processor_seconds: float
    pauses: int
    peak_mb: float


def run_phase(
    folder: Path,
    phase: Phase,
    busy: Callable[[], bool],
    cancelled: Callable[[], bool],
    report: Callable[..., None],
    silence_seconds: float = 1800,
) -> PhaseOutcome:
    """Run a phase to its end, out of the way of clinical jobs.

    Parameters
    ----------
    folder
        The fine-tuning's folder with its plan.
    phase
        Which.
    busy
        Whether a clinical job waits or is at work.
    cancelled
        Whether the fine-tuning was asked to stop for good.
    report
        Takes ``progress`` and ``paused``.
    silence_seconds
        A process that makes no progress for so long is killed and started again.

    Raises
    ------
    GlioLoopError
        What the process ended with; FINETUNE_FAILED with the last line of its log where it says nothing.
    """
    seconds, processor_seconds, pauses, deaths = 0.0, 0.0, 0, 0
    (folder / "progress.json").unlink(missing_ok=True)
    while True:
        if busy():
            pauses += 1
            report(paused=True)
            _wait_until_idle(busy, cancelled)
            report(paused=False)
        start, mark = time.monotonic(), _mark(folder)
        status = _run_once(folder, phase, busy, cancelled, report, silence_seconds)
        seconds += time.monotonic() - start
        if _mark(folder) != mark:
            processor_seconds += _told(folder, "processor_seconds")
        if status == 0:
            report(progress=1.0)
            return PhaseOutcome(
                seconds=round(seconds, 1),
                processor_seconds=round(processor_seconds, 1),
                pauses=pauses,
                peak_mb=_told(folder, "peak_mb"),
            )
        if cancelled():
            raise GlioLoopError("JOB_STATE", "cancelled")
        if status == REFUSED:
            raise _error_of(folder)
        if status in EXHAUSTED:
            raise GlioLoopError(EXHAUSTED[status], f"fine-tuning, {phase}")
        if status < 0:
            deaths += 1
            if deaths >= _MOST_DEATHS:
                raise GlioLoopError("FINETUNE_FAILED", f"{phase}: ended {deaths} times by signal {-status}")
        elif status != STOPPED:
            raise GlioLoopError("FINETUNE_FAILED", _last_line(folder / "log.txt"))


def _wait_until_idle(busy: Callable[[], bool], cancelled: Callable[[], bool]) -> None:
    while busy() and not cancelled():
        time.sleep(_LOOK_SECONDS)


def _run_once(
    folder: Path,
    phase: Phase,
    busy: Callable[[], bool],
    cancelled: Callable[[], bool],
    report: Callable[..., None],
    silence_seconds: float,
) -> int:
    """Run the process until it ends, has to make room or hangs; returns its exit status, STOPPED for made room."""
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.finetune.process", str(folder), phase.value],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    reported, moved, mark = 0.0, time.monotonic(), 0
    try:
        while process.poll() is None:
            if busy() or cancelled():
                status = _end(process)
                return STOPPED if status < 0 else status
            now = time.monotonic()
            if now - reported > _REPORT_SECONDS:
                reported = now
                report(progress=read_progress(folder))
            if (seen := _mark(folder)) != mark:
                mark, moved = seen, now
            elif now - moved > silence_seconds:
                process.kill()
            time.sleep(_LOOK_SECONDS)
    finally:
        _end(process)
    return int(process.returncode)


def _end(process: "subprocess.Popen[bytes]") -> int:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    return int(process.wait())


def _mark(folder: Path) -> int:
    """Something that changes with every piece of work that is done."""
    try:
        return (folder / "progress.json").stat().st_mtime_ns
    except OSError:
        return 0


def read_progress(folder: Path) -> float:
    """Fraction of the phase that is done."""
    return round(_told(folder, "progress"), 3)


def _told(folder: Path, name: str) -> float:
    """What the process said of itself last; 0 where it said nothing."""
    try:
        return float(json.loads((folder / "progress.json").read_text())[name])
    except (OSError, ValueError, KeyError):
        return 0.0


def _error_of(folder: Path) -> GlioLoopError:
    try:
        error = json.loads((folder / "error.json").read_text())
    except (OSError, ValueError):
        error = {}
    code = error.get("code", "")
    return GlioLoopError(code if code in REASONS else "FINETUNE_FAILED", str(error.get("detail", "")))


def _last_line(path: Path) -> str:
    try:
        lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return lines[-1][:300] if lines else "the process said nothing"
