"""Which installation this is: an identifier that the state folder keeps, made on first use."""

import os
import uuid
from pathlib import Path

from pipeline.errors import GlioLoopError


def installation_id(state_folder: Path) -> str:
    """Return this installation's identifier, 32 hexadecimal digits.

    It stands in objects as DeviceSerialNumber and, as a UID, for the observer of reports: objects of two
    installations can be told apart. Whoever asks first makes it; all get the same.

    Parameters
    ----------
    state_folder
        The node's state folder; workers that share none are installations of their own.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID where the file holds something else.
    """
    file = state_folder / "installation"
    if not file.exists():
        state_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = file.with_name(f".installation-{os.getpid()}-{uuid.uuid4().hex}")
        part.write_text(uuid.uuid4().hex)
        try:
            os.link(part, file)  # one of several that come at once wins, and nobody reads half of it
        except FileExistsError:
            pass
        finally:
            part.unlink()
    try:
        return uuid.UUID(file.read_text().strip()).hex
    except ValueError:
        raise GlioLoopError("CONFIGURATION_INVALID", f"{file}: no UUID; remove the file to make one") from None
