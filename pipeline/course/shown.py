"""Where the pictures of a study beside the one before lie. No numpy here: the plugin reads them."""

import shutil
from pathlib import Path
from typing import Final

#: Slices and contours, as the dashboard reads them.
CONTENT: Final = "beside.json"


def folder_of(state: Path, study: str) -> Path:
    """The folder of a study's pictures, by Orthanc's id of it."""
    return state / "course" / "beside" / study


def forget(state: Path, study: str) -> None:
    """Drop the pictures of a study that is gone."""
    shutil.rmtree(folder_of(state, study), ignore_errors=True)
