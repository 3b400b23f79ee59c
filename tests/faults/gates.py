"""Gates: where a worker of the campaign stops for a moment, so that a fault strikes exactly there.

The product's own worker runs, in a process of its own; this module starts it with a wait put around each
stage. A gate is a file: while ``load-start`` lies in the folder, a worker that comes to the start of ``load``
says so (``load-start.reached``) and waits. Where no gate lies, nothing is different.

``python -m tests.faults.gates`` is what :func:`interpreter` has the supervisor start.
"""

import os
import runpy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER_VARIABLE: Final = "FAULT_GATES"
START: Final = "start"
END: Final = "end"
_LOOK_SECONDS: Final = 0.01


@dataclass(frozen=True)
class Gates:
    """The gates of a site, from the campaign's side.

    Attributes
    ----------
    folder
        Outside of everything that a fault fills or damages.
    """

    folder: Path

    def shut(self, stage: str, moment: str) -> None:
        """Make the next worker that comes there wait."""
        self._reached(stage, moment).unlink(missing_ok=True)
        self._gate(stage, moment).touch()

    def open(self, stage: str, moment: str) -> None:
        """Let it go on; without a gate shut nothing happens."""
        self._gate(stage, moment).unlink(missing_ok=True)

    def open_all(self) -> None:
        """Let everything go on."""
        for path in self.folder.iterdir():
            path.unlink()

    def waits(self, stage: str, moment: str) -> bool:
        """Whether a worker waits there."""
        return self._reached(stage, moment).exists()

    def _gate(self, stage: str, moment: str) -> Path:
        return self.folder / f"{stage}-{moment}"

    def _reached(self, stage: str, moment: str) -> Path:
        return self.folder / f"{stage}-{moment}.reached"


def interpreter(folder: Path, real: Path) -> Path:
    """Make what the plugin takes for the project's interpreter: the real one, but workers get gates."""
    (folder / "bin").mkdir(parents=True)
    # Its packages are found beside it (plugin/glioloop_plugin.py).
    (folder / "lib").symlink_to(real.parent.parent / "lib")
    path = folder / "bin" / "python"
    path.write_text(f'#!/bin/sh\n[ "$2" = pipeline.worker ] && exec {real} -m tests.faults.gates\nexec {real} "$@"\n')
    path.chmod(0o700)
    return path


def _pass(stage: str, moment: str) -> None:
    folder = Path(os.environ[FOLDER_VARIABLE])
    gate = folder / f"{stage}-{moment}"
    if gate.exists():
        (folder / f"{gate.name}.reached").touch()
        while gate.exists():
            time.sleep(_LOOK_SECONDS)


def _install() -> None:
    """Put the gates where the stages are entered and left; before the workflows import those places."""
    from pipeline.jobs import deadline  # noqa: PLC0415

    at_work = deadline.StageWatch.at_work

    @contextmanager
    def gated_at_work(self: deadline.StageWatch, identity: str, stage: str) -> Iterator[None]:
        name = stage.partition(".")[0]  # a delivery's stage names its destination, too
        with at_work(self, identity, stage):
            _pass(name, START)
            yield
            _pass(name, END)

    deadline.StageWatch.at_work = gated_at_work  # type: ignore[method-assign]


if __name__ == "__main__":
    _install()
    sys.argv = ["pipeline.worker"]
    runpy.run_module("pipeline.worker", run_name="__main__", alter_sys=True)
