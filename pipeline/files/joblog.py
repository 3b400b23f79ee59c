"""A job's own log: what the workers said of it, kept beside its files for the page of the job.

The worker's log holds every job's lines, turns over, and lies on the worker's host; this one stays with
the job. No patient's name enters either: what is logged are ids, stages, times and codes.
"""

import json
import os
import re
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue

FILE: Final = "log.jsonl"
_JOB: Final = re.compile(r"[0-9a-f]{32}")
#: A job tells some twenty lines; one that is tried over and over must not fill the disk.
_MOST_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class JobLog:
    """Logging processor that copies a line that names a job into that job's folder.

    Attributes
    ----------
    folder
        Folder of the jobs' folders.
    """

    folder: Path

    def __call__(self, _logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Keep the line where it names a job; it goes on unchanged either way."""
        identity = str(line.get("job") or "")
        if _JOB.fullmatch(identity):
            # A full disk has its own error; logging must not be a second one.
            with suppress(OSError):
                _append(self.folder / identity / FILE, {key: value for key, value in line.items() if key != "job"})
        return line


def _append(path: Path, line: MutableMapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as file:
        if file.tell() < _MOST_BYTES:
            file.write(json.dumps(line, default=str).encode() + b"\n")


def read_log(folder: Path) -> list[JsonValue]:
    """Return a job's lines, oldest first; none where it was never taken up.

    Parameters
    ----------
    folder
        The job's folder.
    """
    try:
        lines = (folder / FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: list[JsonValue] = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue  # the worker died in the middle of it
    return found
