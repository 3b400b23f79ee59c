"""Files that are on the disk when the call returns."""

import hashlib
import os
from pathlib import Path


def digest_and_sync(path: Path) -> str:
    """SHA-256 of a file, which is brought to the disk."""
    with path.open("rb+") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest


def sync_folder(folder: Path) -> None:
    """Have a folder's names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
