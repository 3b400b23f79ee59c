"""The learning process: one phase of a fine-tuning, in pieces, at the lowest priority.

``python -m pipeline.finetune.process FOLDER PHASE``; asked to stop (SIGTERM) it finishes the piece in
hand and exits with a status that says so. It ends with the worker that started it.
"""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from pipeline.child.parent import end_with_parent
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import exhausted
from pipeline.finetune.phases import Phase
from pipeline.finetune.plan import FinetunePlan
from pipeline.finetune.supervise import EXHAUSTED, REFUSED, STOPPED


class _StopAskedError(Exception):
    """The worker asked for room."""


class _Between:
    """Between two pieces of work: tells the progress, and stops where that was asked."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "progress.json"
        self._asked = False
        self._parent = os.getppid()
        signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self._asked = True

    def __call__(self, fraction: float) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        part = self._path.with_suffix(".part")
        told = {"progress": fraction, "peak_mb": round(peak, 1), "processor_seconds": round(time.process_time(), 1)}
        part.write_text(json.dumps(told))
        part.rename(self._path)
        if self._asked or os.getppid() != self._parent:
            raise _StopAskedError


def main(folder: Path, phase: Phase) -> int:
    """Run a phase; returns the exit status."""
    plan = FinetunePlan.read(folder)
    between = _Between(folder)
    try:
        _work(phase)(plan, between)
        between(1.0)
    except _StopAskedError:
        return STOPPED
    except GlioLoopError as error:
        (folder / "error.json").write_text(json.dumps({"code": error.code, "detail": error.detail}))
        print(error, file=sys.stderr)
        return REFUSED
    except Exception as error:
        reason = exhausted(error, phase.value)
        status = next((status for status, code in EXHAUSTED.items() if reason and code == reason.code), None)
        if status is None:
            raise
        return status
    return 0


def _work(phase: Phase) -> Callable[[FinetunePlan, Callable[[float], None]], None]:
    # Only what the phase needs: torch takes seconds to import and 200 MB.
    match phase:
        case Phase.PREPARE:
            from pipeline.finetune.prepare import prepare as work  # noqa: PLC0415
        case Phase.LEARN:
            from pipeline.finetune.blend import learn_and_blend as work  # noqa: PLC0415
        case Phase.EXPORT:
            from pipeline.finetune.candidate import export as work  # noqa: PLC0415
        case Phase.JUDGE:
            from pipeline.finetune.candidate import judge as work  # noqa: PLC0415
    return work


if __name__ == "__main__":
    # Only what others leave of the processors.
    os.nice(FinetunePlan.read(Path(sys.argv[1])).niceness)
    end_with_parent()
    sys.exit(main(Path(sys.argv[1]), Phase(sys.argv[2])))
