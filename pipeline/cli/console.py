"""What every command says: progress and reasons on stderr, its answer on stdout.

rich is imported when something is shown: ``--help`` and completion should not wait for it.
"""

import json
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Display
    from rich.progress import TaskID

    from pipeline.errors import GlioLoopError


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def answer(value: object, text: str, as_json: bool) -> None:
    """Print a command's answer on stdout: as one JSON document, or as text.

    Parameters
    ----------
    value
        JSON-serialisable.
    text
        The same for people; empty prints nothing.
    as_json
        Which of the two.
    """
    if as_json:
        # On one line, which whoever reads from a command that goes on can wait for.
        text = json.dumps(value)
    if text:
        print(text, flush=True)


def explain(error: "GlioLoopError", as_json: bool) -> None:
    """Tell why a command did not do what was asked: on stderr in words, and as JSON on stdout where that is wanted."""
    if as_json:
        print(json.dumps({"error": error.as_json()}))
    console = stderr()
    console.print(error.code, style="bold red", end=": ", markup=False, highlight=False)
    console.print(error.reason.message, markup=False, highlight=False)
    if error.detail:
        console.print(f"  {error.detail}", markup=False, highlight=False)
    console.print(f"  What to do: {error.reason.hint}", style="dim", markup=False, highlight=False)


def unforeseen(error: Exception, with_traceback: bool) -> "GlioLoopError":
    """Give an exception that nobody foresaw its code: a full disk, too little memory, or a fault of the program."""
    from pipeline.errors import GlioLoopError  # noqa: PLC0415 - see the module's docstring
    from pipeline.errors.resources import exhausted, place_of  # noqa: PLC0415

    if with_traceback:
        traceback.print_exception(error, file=sys.stderr)
    return exhausted(error, "this command") or GlioLoopError("COMMAND_FAILED", place_of(error))


def stderr() -> "Console":
    """Return the console for what people read; one line stays one line where it is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - see the module's docstring

    return Console(stderr=True, soft_wrap=True)


class LiveProgress:
    """One line per step, the current one with a bar; plain lines with the time taken where stderr is no terminal."""

    def __init__(self, display: "Display") -> None:
        self._display = display
        self._plain = not display.console.is_terminal
        self._step = ""
        self._begun = 0.0
        self._task: TaskID | None = None

    def report(self, step: str, fraction: float | None) -> None:
        """Show how far a step is; a new step ends the one before."""
        if step != self._step:
            self.end()
            self._step, self._begun = step, time.monotonic()
            self._task = self._display.add_task(step, total=None)
            if self._plain:
                self.note(step)
        if self._task is not None and fraction is not None:
            self._display.update(self._task, total=1.0, completed=fraction)

    def note(self, text: str) -> None:
        """Print a line that stays, above the bars."""
        self._display.console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """End the current step."""
        if self._task is not None:
            self._display.update(self._task, total=1.0, completed=1.0)
            self._display.stop_task(self._task)
            self._task = None
            if self._plain:
                self.note(f"{self._step}: {time.monotonic() - self._begun:.1f} s")
        self._step = ""

    def finish(self) -> None:
        """End the last step and leave the terminal to others."""
        self.end()
        self._display.stop()


@contextmanager
def live_progress() -> Iterator[LiveProgress]:
    """Show progress on stderr while the block runs; a step that an error ends is not shown as done."""
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Display  # noqa: PLC0415

    console = stderr()
    columns: list[Any] = [SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), BarColumn()]
    with Display(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as display:
        progress = LiveProgress(display)
        yield progress
        progress.end()
