"""What the workflow of an acceptance has a child do: see :mod:`pipeline.jobs.tasks`."""

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.archive.store import store
from pipeline.child.task import Report
from pipeline.errors import GlioLoopError
from pipeline.jobs.resources import archive, folders


def approve(_report: Report, job: str, by: str, at: str) -> str:
    """Store a job's structure set as approved by a person; returns the Orthanc id of what was stored.

    It is the one that the job wrote and the page shows: a workstation may have sent another one to the archive under
    the same SOP Instance UID.
    """
    import pydicom

    from pipeline.objects.rtstruct.approval import approved

    own = folders().file(f"jobs/{job}", "objects/rtstruct.dcm")
    if not own.exists():
        raise GlioLoopError("RESULT_LACKING", "the files of the job are no longer kept")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rtstruct.dcm"
        made = approved(pydicom.dcmread(own), by, datetime.fromisoformat(at), f"approved {job}")
        made.save_as(path, enforce_file_format=True)
        return store(archive(), [path])[path.stem]
