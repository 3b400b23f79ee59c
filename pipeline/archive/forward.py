"""Results to their destinations: by C-STORE, STOW-RS and to peers through Orthanc's own senders, and into folders.

Orthanc's jobs have no retry and are forgotten soon (its history is short and a restart empties it):
what is begun here is one try, awaited to its end; the waits between tries are the durable workflow's.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from pydantic import JsonValue

from pipeline.archive.client import HttpArchive
from pipeline.archive.orthanc import TransferJob
from pipeline.archive.protocol import Archive
from pipeline.archive.transcoded import send_transcoded, write_folder
from pipeline.errors import GlioLoopError
from pipeline.settings import AnyDestination, DicomWeb, Folder, Modality, Peer

_FIRST_POLL_SECONDS: Final = 0.1
_LONGEST_POLL_SECONDS: Final = 1.0
_ENDED = ("Success", "Failure")
#: Where Orthanc lists those of each kind that it knows.
_LISTED: Final[Mapping[type[AnyDestination], str]] = {
    Modality: "/modalities",
    DicomWeb: "/dicom-web/servers",
    Peer: "/peers",
}


def check_destinations(archive: Archive, destinations: Iterable[AnyDestination]) -> None:
    """Refuse what Orthanc does not know.

    Raises
    ------
    GlioLoopError
        DESTINATION_UNKNOWN.
    """
    wanted = [one for one in destinations if type(one) in _LISTED]
    known = {kind: archive.get(_LISTED[kind]) or [] for kind in {type(one) for one in wanted}}
    unknown = [one.name for one in wanted if one.address not in known[type(one)]]
    if unknown:
        raise GlioLoopError("DESTINATION_UNKNOWN", ", ".join(unknown))


def sent_by_orthanc(destination: AnyDestination) -> bool:
    """Whether Orthanc has a sender for what goes to a destination."""
    return not isinstance(destination, Folder) and not (
        isinstance(destination, Modality) and destination.transfer_syntax is not None
    )


def begin_sending(
    archive: HttpArchive, destination: AnyDestination, resources: list[str], seconds: float = 600
) -> str | None:
    """Have Orthanc send resources to a destination, or send them where it has no sender for that.

    Parameters
    ----------
    destination
        Where to.
    resources
        Orthanc ids of instances.
    seconds
        After this the try counts as failed, where Orthanc does not send.

    Returns
    -------
    str or None
        Orthanc's job, whose end is to be awaited (:func:`await_sent`); None where everything is sent.

    Raises
    ------
    GlioLoopError
        FORWARD_FAILED with what Orthanc says, STUDY_GONE, ORTHANC_UNREACHABLE.
    """
    # Synchronous would hold one of Orthanc's HTTP threads for as long as the destination is slow.
    later: dict[str, JsonValue] = {"Resources": [*resources], "Asynchronous": True}
    with _told_as_failed(archive, destination, resources):
        match destination:
            case Modality(transfer_syntax=None):
                return _job(archive, destination, f"/modalities/{destination.modality}/store", later)
            case Modality():
                send_transcoded(archive, destination, resources, time.monotonic() + seconds)
            case DicomWeb():
                path = f"/dicom-web/servers/{destination.dicom_web}/stow"
                return _job(archive, destination, path, {"Resources": [*resources], "Synchronous": False})
            case Peer():
                syntax = destination.transfer_syntax
                transcode: dict[str, JsonValue] = {} if syntax is None else {"Transcode": syntax}
                return _job(archive, destination, f"/peers/{destination.peer}/store", later | transcode)
            case Folder():
                write_folder(archive, destination, resources)
        return None


def await_job(
    archive: Archive,
    job: str,
    timeout_seconds: float,
    code: str,
    modality: str,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Wait for the end of a job of Orthanc's with a destination; False where it was stopped before.

    One that takes longer than the time-out is cancelled.

    Raises
    ------
    GlioLoopError
        ``code`` with what Orthanc says, ORTHANC_UNREACHABLE.
    """
    deadline = time.monotonic() + timeout_seconds
    wait = _FIRST_POLL_SECONDS
    while True:
        found = archive.get(f"/jobs/{job}")
        if found is None:
            raise GlioLoopError(code, f"{modality}: Orthanc was restarted meanwhile")
        ended = TransferJob.model_validate(found)
        if ended.state in _ENDED:
            break
        over = time.monotonic() > deadline
        if over or stopped():
            archive.post(f"/jobs/{job}/cancel", "")
            if not over:
                return False
            raise GlioLoopError(code, f"{modality}: it took too long")
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_POLL_SECONDS)
    if ended.state != "Success" or ended.content.failed:
        raise GlioLoopError(code, f"{modality}: {ended.details or ended.description or ended.state}")
    return True


def await_sent(
    archive: Archive,
    destination: AnyDestination,
    resources: list[str],
    job: str,
    seconds: float,
    stopped: Callable[[], bool],
) -> bool:
    """Wait until everything is sent: see :func:`await_job`.

    Raises
    ------
    GlioLoopError
        As :func:`begin_sending`.
    """
    with _told_as_failed(archive, destination, resources):
        return await_job(archive, job, seconds, "FORWARD_FAILED", destination.name, stopped)


@contextmanager
def _told_as_failed(archive: Archive, destination: AnyDestination, resources: list[str]) -> Iterator[None]:
    try:
        yield
    except GlioLoopError as error:
        _refuse_gone(archive, resources)
        detail = error.detail.removeprefix(f"{destination.name}: ")
        raise GlioLoopError("FORWARD_FAILED", f"{destination.name}: {detail}", error.data) from error


def _job(archive: Archive, destination: AnyDestination, path: str, body: Mapping[str, JsonValue]) -> str:
    answer = archive.post(path, json.dumps(body))
    if not answer:
        raise GlioLoopError("FORWARD_FAILED", f"Orthanc does not know {destination.address}")
    return str(answer["ID"])


def _refuse_gone(archive: Archive, resources: list[str]) -> None:
    """Tell a destination's fault from objects that are no longer there.

    Raises
    ------
    GlioLoopError
        STUDY_GONE, ORTHANC_UNREACHABLE.
    """
    gone = [resource for resource in resources if archive.get(f"/instances/{resource}") is None]
    if gone:
        raise GlioLoopError("STUDY_GONE", f"{len(gone)} of {len(resources)} objects to send were deleted")
