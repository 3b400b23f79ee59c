"""A phase of a fine-tuning from outside: a child does it, which is ended while a clinical job is at work.

So it is where the quiet hours end that it waits for. It is ended, not halted: memory (and a GPU's memory) belong to the
clinical job too. Each phase goes on where it was, from files that are written whole.
"""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.child.child import Child, ChildDiedError, OverdueError
from pipeline.child.task import Task
from pipeline.errors import GlioLoopError
from pipeline.finetune.phases import Phase
from pipeline.finetune.work import Worked, step_back, work
from pipeline.names import Wait
from pipeline.records import StoredRecord

#: How often it may be killed by another than this (the kernel, for want of memory) or hang.
_MOST_DEATHS: Final = 3
_LOOK_SECONDS: Final = 0.5
#: What it has to finish the piece in hand; after that it is killed, and does that piece again.
_STOP_SECONDS: Final = 5.0
_REPORT_SECONDS: Final = 2.0
#: Until its first piece, at the least: imports on a slow and busy machine are no silence.
_STARTING_SECONDS: Final = 300.0


class PhaseOutcome(StoredRecord):
    """What a phase took.

    Attributes
    ----------
    seconds, processor_seconds
        At work, and what the processor gave of that; without that of a child that was killed.
    pauses
        How often it made room, and waited.
    peak_mb
        Of the child's memory.
    """

    seconds: float
    processor_seconds: float
    pauses: int
    peak_mb: float


def run_phase(
    folder: Path,
    phase: Phase,
    waits_for: Callable[[], Wait | None],
    cancelled: Callable[[], bool],
    report: Callable[..., None],
    silence_seconds: float = 1800,
) -> PhaseOutcome:
    """Run a phase to its end, out of the way of all that comes first.

    Parameters
    ----------
    folder
        The fine-tuning's folder with its plan.
    phase
        Which.
    waits_for
        What comes first, as long as there is such a thing.
    cancelled
        Whether the fine-tuning was asked to stop for good.
    report
        Takes ``progress`` and ``waits_for``.
    silence_seconds
        A child that makes no progress for so long is killed, and another one started.

    Raises
    ------
    GlioLoopError
        What the phase ended with; FINETUNE_FAILED where nobody foresaw that, JOB_STATE where it was cancelled.
    """
    seconds, processor_seconds, peak_mb, pauses, deaths = 0.0, 0.0, 0.0, 0, 0
    while True:
        if wait := waits_for():
            pauses += 1
            _make_room(wait, waits_for, cancelled, report)
        start = time.monotonic()
        try:
            worked = _run_once(folder, phase, lambda: waits_for() is not None or cancelled(), report, silence_seconds)
        except ChildDiedError as error:
            deaths += 1
            if deaths >= _MOST_DEATHS:
                raise GlioLoopError("FINETUNE_FAILED", f"{phase}: {deaths} times {error}") from error
            worked = Worked(False, 0.0, 0.0)
        seconds += time.monotonic() - start
        processor_seconds += worked.processor_seconds
        peak_mb = max(peak_mb, worked.peak_mb)
        if worked.finished:
            report(progress=1.0)
            return PhaseOutcome(
                seconds=round(seconds, 1),
                processor_seconds=round(processor_seconds, 1),
                pauses=pauses,
                peak_mb=peak_mb,
            )
        if cancelled():
            raise GlioLoopError("JOB_STATE", "cancelled")


def _make_room(
    wait: Wait | None, waits_for: Callable[[], Wait | None], cancelled: Callable[[], bool], report: Callable[..., None]
) -> None:
    """Wait until nothing comes first, and tell for what."""
    told = None
    while wait is not None and not cancelled():
        if wait is not told:
            report(waits_for=wait.value)
            told = wait
        time.sleep(_LOOK_SECONDS)
        wait = waits_for()
    report(waits_for=None)


def _run_once(
    folder: Path, phase: Phase, wanted: Callable[[], bool], report: Callable[..., None], silence_seconds: float
) -> Worked:
    """Have a child of its own do it, until that is done, is asked to make room or hangs."""
    reported, moved, asked = -_REPORT_SECONDS, time.monotonic(), False
    patience = max(silence_seconds, _STARTING_SECONDS)

    def tell(fraction: float) -> None:
        nonlocal reported, moved, patience
        moved, patience = time.monotonic(), silence_seconds
        if moved - reported >= _REPORT_SECONDS:
            reported = moved
            report(progress=round(fraction, 3))

    def stop() -> bool:
        nonlocal asked
        asked = wanted()
        return asked or time.monotonic() - moved > patience

    child = Child(Task(folder.name, phase.value, step_back, (folder,)), _STOP_SECONDS)
    try:
        task = Task(folder.name, phase.value, work, (folder, phase))
        worked: Worked = child.run(task, math.inf, tell, stop)
        return worked
    except OverdueError as error:
        if not asked:
            raise ChildDiedError("without progress") from error
        return Worked(False, 0.0, 0.0)
    except GlioLoopError as error:
        raise (GlioLoopError("FINETUNE_FAILED", error.detail) if error.code == "INTERNAL" else error) from error
    finally:
        child.end()
