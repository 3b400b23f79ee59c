"""A state folder as version bc217ad left it: written by that version's own code, on a real node, which was then killed.

The node had delineated the sample study with a small network, refused one of two sequences, was at work on a third and
had a fourth waiting; networks had been promoted and taken back; corrections were kept, trusted and deleted. Working
files of jobs and Orthanc's storage were left out. ``former-state.json`` is what that version then said of it.
"""

import json
import tarfile
from pathlib import Path
from typing import Any, Final

_HERE: Final = Path(__file__).resolve().parent
FACTS: Final[dict[str, Any]] = json.loads((_HERE / "former-state.json").read_text())


def unpack(folder: Path) -> Path:
    """Unpack it; returns the folder."""
    folder.mkdir(parents=True)
    with tarfile.open(_HERE / "former-state.tar.xz") as archive:
        archive.extractall(folder)
    return folder
