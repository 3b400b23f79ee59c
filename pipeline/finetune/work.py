"""A phase of a fine-tuning, as a child does it: at the lowest priority, its output in the run's log."""

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.child.task import Report, StopAskedError
from pipeline.finetune.phases import Phase

if TYPE_CHECKING:
    from pipeline.finetune.plan import FinetunePlan


class Worked(NamedTuple):
    """What a child did of a phase.

    Attributes
    ----------
    finished
        Whether that was the rest of it; it stops where it is asked to.
    processor_seconds, peak_mb
        What it took.
    """

    finished: bool
    processor_seconds: float
    peak_mb: float


def step_back(_report: Report, folder: Path) -> None:
    """Take only what others leave of the processors, and write to the run's log from here on."""
    os.nice(_plan(folder).niceness)
    with (folder / "log.txt").open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # What bounds a clinical job is not meant for learning.
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def work(report: Report, folder: Path, phase: Phase) -> Worked:
    """Do a phase, in pieces; between two of them it may stop, and goes on there when it is called again.

    Raises
    ------
    GlioLoopError
        CORRECTION_WITHDRAWN, and what else the phase ends with.
    """
    plan = _plan(folder)
    plan.require_cases()
    try:
        _function(phase)(plan, report)
        finished = True
    except StopAskedError:
        finished = False
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Worked(finished, time.process_time(), round(peak_mb, 1))


def _plan(folder: Path) -> "FinetunePlan":
    from pipeline.finetune.plan import FinetunePlan  # noqa: PLC0415 - the worker imports this module

    return FinetunePlan.read(folder)


def _function(phase: Phase) -> Callable[["FinetunePlan", Report], None]:
    # Only what the phase needs: torch takes seconds to import and 200 MB.
    match phase:
        case Phase.PREPARE:
            from pipeline.finetune.prepare import prepare as function  # noqa: PLC0415
        case Phase.LEARN:
            from pipeline.finetune.blend import learn_and_blend as function  # noqa: PLC0415
        case Phase.EXPORT:
            from pipeline.finetune.candidate import export as function  # noqa: PLC0415
        case Phase.JUDGE:
            from pipeline.finetune.candidate import judge as function  # noqa: PLC0415
    return function
