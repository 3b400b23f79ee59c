"""What the workflow of an acceptance has a child do: see :mod:`pipeline.jobs.tasks`."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.archive.store import store
from pipeline.child.task import Report
from pipeline.errors import GlioLoopError
from pipeline.jobs.resources import archive


def approve(_report: Report, job: str, automatic: str, by: str, at: str) -> str:
    """Store a job's structure set as approved by a person; returns the Orthanc id of what was stored."""
    import pydicom

    from pipeline.objects.rtstruct.approval import approved

    with TemporaryDirectory() as folder:
        path = Path(folder) / "rtstruct.dcm"
        if not archive().download(f"/instances/{automatic}/file", path):
            raise GlioLoopError("RESULT_LACKING", "the structure set is no longer in the archive")
        made = approved(pydicom.dcmread(path), by, datetime.fromisoformat(at), f"approved {job}")
        made.save_as(path, enforce_file_format=True)
        return store(archive(), [path])[path.stem]
