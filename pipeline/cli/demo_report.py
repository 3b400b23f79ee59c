"""What the demo says on stderr: the outcome, and where to look."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.table import Table

from pipeline.cli.console import LiveProgress, stderr
from pipeline.errors import GlioLoopError
from pipeline.node.demo.loop import Loop
from pipeline.node.demo.outcome import Outcome
from pipeline.node.viewer import ohif_folder, prepare_ohif

_console = stderr()


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


def viewer_for(state_root: Path, progress: LiveProgress, fetch: bool) -> Path | None:
    """Return the folder of the OHIF viewer; None where it is not there, or cannot be fetched."""
    if ohif_folder(state_root).is_dir():
        return ohif_folder(state_root)
    if not fetch:
        return None
    progress.report("fetch the OHIF viewer", None)
    try:
        return prepare_ohif(state_root)
    except GlioLoopError as error:
        progress.note(f"No viewer: {error.detail}. The demo goes on without.")
        return None


def show(outcome: Outcome, loop: Loop) -> None:
    """Tell what came out, how long each step took, and where to look."""
    if outcome.error:
        _console.print(f"{outcome.state.value}: {outcome.error.code}", style="bold red")
        for line in (outcome.error.message, outcome.error.detail, outcome.error.hint):
            _console.print(line, markup=False)
    elif outcome.at_workstation:
        _console.print(f"The structure set is at the workstation (model {outcome.model})", style="bold green")
        _console.print(_roi_table(outcome))
    else:
        _console.print("The structure set did not arrive at the workstation.", style="bold red")
    for flag in outcome.flags:
        _console.print(f"{flag.code}: {flag.message} {flag.detail}", style="yellow", markup=False)
    _console.print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in outcome.timings_s.items()))
    for name, url in outcome.urls.items():
        _console.print(f"{name}: {url}", markup=False)
    if outcome.preview:
        _console.print(f"preview: {outcome.preview}", markup=False)
    _console.print(f"state folder: {loop.folder}", markup=False)


def _roi_table(outcome: Outcome) -> Table:
    table = Table("ROI", "contours", "volume")
    for roi in outcome.rois:
        volume = "" if roi.volume_ml is None else f"{roi.volume_ml:.1f} ml"
        table.add_row(roi.name, str(roi.contours), volume)
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
