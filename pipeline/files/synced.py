"""Files that are on the disk when the call returns, and lines appended to them."""

import hashlib
import os
from pathlib import Path


def write_synced(path: Path, text: str) -> None:
    """Write a text and have it on the disk."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


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
