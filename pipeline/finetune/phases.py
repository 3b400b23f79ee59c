"""The phases of a fine-tuning, in their order."""

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Final

#: Folder of the training samples below a fine-tuning's.
SAMPLES: Final = "samples"


class Phase(StrEnum):
    """What the learning process does, one after the other; each goes on where it was stopped."""

    PREPARE = "prepare"
    LEARN = "learn"
    EXPORT = "export"
    JUDGE = "judge"


def tidy(folder: Path) -> None:
    """Drop what holds patients' images from a fine-tuning that has ended, and the learning's own state.

    Plan, decision and log stay. What was deleted from the store is nowhere else then.
    """
    shutil.rmtree(folder / SAMPLES, ignore_errors=True)
    for path in folder.glob("*.pt"):
        path.unlink()
