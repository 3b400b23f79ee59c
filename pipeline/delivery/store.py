"""Results into the archive, beside the images they belong to."""

from pathlib import Path

from pipeline.archive import Archive
from pipeline.errors import GlioLoopError


def store(archive: Archive, files: list[Path]) -> dict[str, str]:
    """Upload DICOM files to Orthanc; one that is there already stays as it is.

    Parameters
    ----------
    archive
        The Orthanc that holds the study.
    files
        Part 10 files, named after the kind of object.

    Returns
    -------
    dict
        Orthanc's instance id by kind.

    Raises
    ------
    GlioLoopError
        STORE_FAILED, ORTHANC_UNREACHABLE.
    """
    stored = {}
    for path in files:
        answer = archive.post("/instances", path.read_bytes())
        if not answer or answer.get("Status") not in ("Success", "AlreadyStored"):
            raise GlioLoopError("STORE_FAILED", f"{path.name}: {(answer or {}).get('Status', 'no answer')}")
        stored[path.stem] = str(answer["ID"])
    return stored
