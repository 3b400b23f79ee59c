"""What the demo says on stderr: progress as it happens, then the outcome."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.demo.loop import Loop, Outcome
from pipeline.errors import GlioLoopError
from pipeline.viewer.ohif import ohif_folder, prepare_ohif

_console = Console(stderr=True, soft_wrap=True)


class LiveProgress:
    """One line per step, the current one with a bar; plain lines where stderr is no terminal."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._step = ""
        self._task: TaskID | None = None

    def report(self, step: str, fraction: float | None) -> None:
        """Show how far a step is; a new step ends the one before."""
        if step != self._step:
            self.end()
            self._step = step
            self._task = self._display.add_task(step, total=None)
            if not _console.is_terminal:
                _console.print(step)
        if self._task is not None and fraction is not None:
            self._display.update(self._task, total=1.0, completed=fraction)

    def finish(self) -> None:
        """End the last step and leave the terminal to others."""
        self.end()
        self._display.stop()

    def end(self) -> None:
        """End the current step."""
        if self._task is not None:
            self._display.update(self._task, total=1.0, completed=1.0)
            self._display.stop_task(self._task)
            self._task = None


@contextmanager
def live_progress() -> Iterator[LiveProgress]:
    """Show progress on stderr while the block runs."""
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console, disable=not _console.is_terminal) as display:
        yield LiveProgress(display)


@contextmanager
def on_termination() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that both servers are stopped in order."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def viewer_for(state_root: Path, report: Callable[[str, float | None], None], fetch: bool) -> Path | None:
    """Return the folder of the OHIF viewer; None where it is not there, or cannot be fetched."""
    if ohif_folder(state_root).is_dir():
        return ohif_folder(state_root)
    if not fetch:
        return None
    report("fetch the OHIF viewer", None)
    try:
        return prepare_ohif(state_root)
    except GlioLoopError as error:
        _console.print(f"No viewer: {error.detail}. The demo goes on without.", style="yellow", markup=False)
        return None


def show(outcome: Outcome, loop: Loop) -> None:
    """Tell what came out, how long each step took, and where to look."""
    if outcome.error:
        _console.print(f"{outcome.state.value}: {outcome.error['code']}", style="bold red")
        for key in ("message", "detail", "hint"):
            _console.print(outcome.error[key], markup=False)
    elif outcome.at_workstation:
        _console.print(f"The structure set is at the workstation (model {outcome.model})", style="bold green")
        _console.print(_roi_table(outcome))
    else:
        _console.print("The structure set did not arrive at the workstation.", style="bold red")
    for flag in outcome.flags:
        _console.print(f"{flag['code']}: {flag['message']} {flag['detail']}", style="yellow", markup=False)
    _console.print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in outcome.timings_s.items()))
    for name, url in outcome.urls.items():
        _console.print(f"{name}: {url}", markup=False)
    if outcome.preview:
        _console.print(f"preview: {outcome.preview}", markup=False)
    _console.print(f"state folder: {loop.folder}", markup=False)


def _roi_table(outcome: Outcome) -> Table:
    table = Table("ROI", "contours", "volume")
    for roi in outcome.rois:
        volume = "" if roi["volume_ml"] is None else f"{roi['volume_ml']:.1f} ml"
        table.add_row(roi["name"], str(roi["contours"]), volume)
    return table


def wait_for_interrupt(loop: Loop) -> None:
    """Leave both servers up until Ctrl-C or SIGTERM."""
    for orthanc in (loop.node, loop.workstation):
        configuration = orthanc.configuration
        _console.print(
            f"{configuration.aet}: user {configuration.user}, password in {configuration.credentials_file}",
            markup=False,
        )
    _console.print("Both servers stay up; Ctrl-C ends them.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        _console.print("ending")
