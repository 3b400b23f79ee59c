"""Results to their destinations: to a workstation by C-STORE, through Orthanc's own sender.

Orthanc's jobs have no retry and are forgotten soon (its history is short and a restart empties it):
one call here is one try, awaited to its end; the waits between tries are the durable workflow's.
"""

import json
import time
from collections.abc import Iterable

from pipeline.archive.orthanc import TransferJob
from pipeline.archive.protocol import Archive
from pipeline.errors import GlioLoopError
from pipeline.settings import AnyDestination, Modality

_POLL_SECONDS = 0.25
_ENDED = ("Success", "Failure")


def check_destinations(archive: Archive, destinations: Iterable[AnyDestination]) -> None:
    """Refuse modalities that Orthanc does not know.

    Raises
    ------
    GlioLoopError
        DESTINATION_UNKNOWN.
    """
    modalities = [one.modality for one in destinations if isinstance(one, Modality)]
    known = (archive.get("/modalities") or []) if modalities else []
    unknown = [name for name in modalities if name not in known]
    if unknown:
        raise GlioLoopError("DESTINATION_UNKNOWN", ", ".join(unknown))


def forward_once(
    archive: Archive, destination: AnyDestination, resources: list[str], timeout_seconds: float = 600
) -> None:
    """Send resources to a destination and wait for the end of it.

    Parameters
    ----------
    destination
        Where to.
    resources
        Orthanc ids of instances.
    timeout_seconds
        After this the try counts as failed.

    Raises
    ------
    GlioLoopError
        FORWARD_FAILED with what Orthanc says, STUDY_GONE, ORTHANC_UNREACHABLE.
    """
    match destination:
        case Modality():
            _to_modality(archive, destination.modality, resources, timeout_seconds)


def _to_modality(archive: Archive, modality: str, resources: list[str], timeout_seconds: float) -> None:
    # Synchronous would hold one of Orthanc's HTTP threads for as long as the workstation is slow.
    body = json.dumps({"Resources": resources, "Asynchronous": True})
    answer = archive.post(f"/modalities/{modality}/store", body)
    if not answer:
        gone = [resource for resource in resources if archive.get(f"/instances/{resource}") is None]
        if gone:
            raise GlioLoopError("STUDY_GONE", f"{len(gone)} of {len(resources)} objects to send were deleted")
        raise GlioLoopError("FORWARD_FAILED", f"{modality}: Orthanc does not know it")
    await_job(archive, str(answer["ID"]), timeout_seconds, "FORWARD_FAILED", modality)


def await_job(archive: Archive, job_id: str, timeout_seconds: float, code: str, modality: str) -> None:
    """Wait for the end of a job of Orthanc's with a modality; one that takes longer than the time-out is cancelled.

    Raises
    ------
    GlioLoopError
        ``code`` with what Orthanc says, ORTHANC_UNREACHABLE.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        found = archive.get(f"/jobs/{job_id}")
        if found is None:
            raise GlioLoopError(code, f"{modality}: Orthanc was restarted meanwhile")
        job = TransferJob.model_validate(found)
        if job.state in _ENDED:
            break
        if time.monotonic() > deadline:
            archive.post(f"/jobs/{job_id}/cancel", "")
            raise GlioLoopError(code, f"{modality}: it took too long")
        time.sleep(_POLL_SECONDS)
    if job.state != "Success" or job.content.failed:
        raise GlioLoopError(code, f"{modality}: {job.details or job.description or job.state}")
