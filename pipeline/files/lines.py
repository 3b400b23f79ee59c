"""Files of one JSON value a line, which only ever grow."""

import json
import os
from pathlib import Path
from typing import Any


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file, oldest first; none where it is not there."""
    if not path.exists():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue  # the last line of a write that a power cut ended
    return lines


def append_line(path: Path, value: object) -> None:
    """Add a line, on the disk when this returns."""
    with path.open("a+") as file:
        # A line that was cut off must not swallow the next one.
        file.seek(0, os.SEEK_END)
        torn = file.tell() > 0 and not path.read_text().endswith("\n")
        file.write(("\n" if torn else "") + json.dumps(value) + "\n")
        file.flush()
        os.fsync(file.fileno())
