"""Orthanc Explorer 1 with a part of its own on the page of a study."""

from pathlib import Path
from typing import Final

import orthanc

_SCRIPT: Final = Path(__file__).with_name("explorer.js")


def extend_orthanc_explorer() -> None:
    """Add the script to Orthanc Explorer.

    Orthanc Explorer 2 takes no scripts; its buttons are configured (``CustomButtons``, see
    deploy/orthanc-explorer-2.json).
    """
    orthanc.ExtendOrthancExplorer(_SCRIPT.read_text())
