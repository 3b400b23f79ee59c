"""Gates: where a child of the campaign's worker stops for a moment, so that a fault strikes exactly there.

The product's own worker runs, in a process of its own; this module starts it, and has its children wait around each
stage. A gate is a file: while ``load-start`` lies in the folder, a child that comes to the start of ``load``
says so (``load-start.reached``, with its process id) and waits. Where no gate lies, nothing is different.

``python -m tests.faults.gates`` is what :func:`interpreter` has the supervisor start.
"""

import os
import runpy
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from pipeline.child import serve
from pipeline.child.task import Task

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

    def holder(self) -> int:
        """Process id of the child that waits at a gate."""
        (pid,) = {int(one.read_text()) for one in self.folder.glob("*.reached") if one.with_suffix("").exists()}
        return pid

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
        part = folder / f"{gate.name}.{os.getpid()}"
        part.write_text(str(os.getpid()))
        part.rename(folder / f"{gate.name}.reached")
        while gate.exists():
            time.sleep(_LOOK_SECONDS)


def gated_child(pipe: Connection) -> None:
    """Run the product's child with gates where stages are entered and left."""
    perform = serve.perform

    def gated(task: Task, pipe: Connection) -> object:
        name = task.stage.partition(".")[0]  # a delivery's stage names its destination, too
        _pass(name, START)
        answer = perform(task, pipe)
        _pass(name, END)
        return answer

    serve.perform = gated  # type: ignore[assignment]
    serve.main(pipe)


def _worker() -> None:
    """Run the product's worker, whose children get gates."""
    serve.main = import_module("tests.faults.gates").gated_child  # this module, by the name that a child finds it by
    sys.argv = ["pipeline.worker"]
    runpy.run_module("pipeline.worker", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _worker()
