"""Results to a workstation by C-STORE, through Orthanc's own sender.

Orthanc's jobs have no retry and are forgotten soon (its history is short and a restart empties it):
one call here is one try, awaited to its end; the waits between tries are the durable workflow's.
"""

import json
import time

from pipeline.archive.orthanc import SendJob
from pipeline.archive.protocol import Archive
from pipeline.errors import GlioLoopError

_POLL_SECONDS = 0.25
_ENDED = ("Success", "Failure")


def check_destination(archive: Archive, modality: str) -> None:
    """Refuse a destination that Orthanc does not know.

    Raises
    ------
    GlioLoopError
        DESTINATION_UNKNOWN.
    """
    if modality not in (archive.get("/modalities") or []):
        raise GlioLoopError("DESTINATION_UNKNOWN", modality)


def forward_once(archive: Archive, modality: str, resources: list[str], timeout_seconds: float = 600) -> None:
    """Send resources to a modality and wait for the end of it.

    Parameters
    ----------
    modality
        Name in Orthanc's ``DicomModalities``.
    resources
        Orthanc ids of instances.
    timeout_seconds
        After this the try counts as failed.

    Raises
    ------
    GlioLoopError
        FORWARD_FAILED with what Orthanc says, STUDY_GONE, ORTHANC_UNREACHABLE.
    """
    # Synchronous would hold one of Orthanc's HTTP threads for as long as the workstation is slow.
    body = json.dumps({"Resources": resources, "Asynchronous": True})
    answer = archive.post(f"/modalities/{modality}/store", body)
    if not answer:
        gone = [resource for resource in resources if archive.get(f"/instances/{resource}") is None]
        if gone:
            raise GlioLoopError("STUDY_GONE", f"{len(gone)} of {len(resources)} objects to send were deleted")
        raise GlioLoopError("FORWARD_FAILED", f"{modality}: Orthanc does not know it")
    job = _await(archive, str(answer["ID"]), time.monotonic() + timeout_seconds)
    if job.state != "Success" or job.content.failed:
        reason = job.details or job.description or job.state
        raise GlioLoopError("FORWARD_FAILED", f"{modality}: {reason}")


def _await(archive: Archive, job_id: str, deadline: float) -> SendJob:
    while True:
        found = archive.get(f"/jobs/{job_id}")
        if found is None:
            raise GlioLoopError("FORWARD_FAILED", "Orthanc was restarted while it sent")
        job = SendJob.model_validate(found)
        if job.state in _ENDED:
            return job
        if time.monotonic() > deadline:
            archive.post(f"/jobs/{job_id}/cancel", "")
            raise GlioLoopError("FORWARD_FAILED", "the destination took too long")
        time.sleep(_POLL_SECONDS)
