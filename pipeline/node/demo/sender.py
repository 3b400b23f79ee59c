"""A scanner: the files of one study, sent by C-STORE."""

import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from pipeline.errors import GlioLoopError

#: DICOM PS3.8, 9.3.2.2: presentation context ids are odd numbers below 256.
_MOST_CONTEXTS = 128
_ANSWER_SECONDS = 10
#: Twice as long as the loop of that thread sleeps.
_LOOP_SECONDS = 0.002


@dataclass(frozen=True)
class StudyFile:
    """One DICOM file of the study to send."""

    path: Path
    study_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str


def study_in_folder(folder: Path) -> tuple[StudyFile, ...]:
    """Return the files of the study in a folder, at any depth; of several studies, the one with most files.

    Raises
    ------
    GlioLoopError
        STUDY_EMPTY where the folder holds no DICOM file.
    """
    files = [found for path in sorted(folder.rglob("*")) if path.is_file() and (found := _study_file(path))]
    if not files:
        raise GlioLoopError("STUDY_EMPTY", f"no DICOM files in {folder}")
    (largest, _), *_ = Counter(file.study_instance_uid for file in files).most_common(1)
    return tuple(file for file in files if file.study_instance_uid == largest)


def _study_file(path: Path) -> StudyFile | None:
    try:
        header = pydicom.dcmread(path, specific_tags=["SOPClassUID", "StudyInstanceUID"], stop_before_pixels=True)
        return StudyFile(path, header.StudyInstanceUID, header.SOPClassUID, header.file_meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, OSError, EOFError, ValueError):
        return None  # a DICOMDIR, a note, a thumbnail: not an image to send


def send_study(
    files: Sequence[StudyFile],
    host: str,
    port: int,
    *,
    calling_aet: str,
    called_aet: str,
    progress: Callable[[int], None] = lambda sent: None,
) -> None:
    """Send the files over one association, each as it is on disk.

    Parameters
    ----------
    files
        What to send.
    host, port, called_aet
        The receiver.
    calling_aet
        How the sender calls itself.
    progress
        Called with the number of files sent so far.

    Raises
    ------
    GlioLoopError
        STORE_FAILED with the first file that was not accepted.
    """
    kinds = sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in files})
    contexts: list[PresentationContext] = [build_context(*kind) for kind in kinds[:_MOST_CONTEXTS]]
    # The bytes of the file go out as they are: no element is re-encoded on the way.
    _config.STORE_SEND_CHUNKED_DATASET = True

    def associate() -> Association:
        entity = AE(ae_title=calling_aet)
        entity.dimse_timeout = _ANSWER_SECONDS
        opened = entity.associate(host, port, contexts=contexts, ae_title=called_aet)
        if not opened.is_established:
            raise GlioLoopError("STORE_FAILED", f"{called_aet} at {host}:{port} refused the association")
        _send_at_once(opened)
        return opened

    association = associate()
    try:
        for sent, file in enumerate(files, start=1):
            _halt_reactor(association)
            status = association.send_c_store(file.path)
            if "Status" not in status:
                # An answer was lost all the same; a file sent again changes nothing.
                association.abort()
                association = associate()
                status = association.send_c_store(file.path)
            if "Status" not in status or status.Status != 0:
                answer = f"status 0x{status.Status:04x}" if "Status" in status else "no answer"
                raise GlioLoopError("STORE_FAILED", f"{file.path.name}: {answer}")
            progress(sent)
    finally:
        association.release()


def _halt_reactor(association: Association) -> None:
    """Bring pynetdicom's own thread to a halt before a request.

    It counts as paused for a moment after it was let go on. A request made in that moment goes out while the
    thread runs, which then takes the answer for a request of the peer's, and nobody gets it.
    """
    association._reactor_checkpoint.clear()
    time.sleep(_LOOP_SECONDS)
    while association.is_established and not association._is_paused:
        time.sleep(_LOOP_SECONDS / 10)


def _send_at_once(association: Association) -> None:
    """Turn Nagle's algorithm off, with which each image would wait 40 ms for an acknowledgement."""
    connection = association.dul.socket.socket if association.dul.socket else None
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
