"""Results into the archive, beside the images they belong to."""

from pathlib import Path
from typing import Final

import httpx
import pydicom

from pipeline.archive.protocol import Archive
from pipeline.errors import GlioLoopError

#: What Orthanc, or what stands before it, answers to content that it does not take.
_CONTENT_REFUSED: Final = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.UNSUPPORTED_MEDIA_TYPE,
    httpx.codes.UNPROCESSABLE_ENTITY,
)


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
        STORE_FAILED where Orthanc does not take an object; what :meth:`pipeline.archive.protocol.Archive.post` raises.
    """
    return {path.stem: _upload(archive, path) for path in files}


def _upload(archive: Archive, path: Path) -> str:
    try:
        answer = archive.post("/instances", path.read_bytes()) or {}
    except GlioLoopError as error:
        status = error.data.get("http_status")
        if status == httpx.codes.CONFLICT:
            return _stored_before(archive, path)
        if status in _CONTENT_REFUSED:
            raise GlioLoopError("STORE_FAILED", f"{path.name}: {error.detail}") from error
        raise
    if answer.get("Status") not in ("Success", "AlreadyStored"):
        raise GlioLoopError("STORE_FAILED", f"{path.name}: {answer.get('Status', 'no status in the answer')}")
    return str(answer["ID"])


def _stored_before(archive: Archive, path: Path) -> str:
    uid = str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
    for one in archive.post("/tools/lookup", uid) or []:
        if one["Type"] == "Instance":
            return str(one["ID"])
    raise GlioLoopError("STORE_FAILED", f"{path.name}: HTTP 409, and no such instance")
