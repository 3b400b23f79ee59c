"""What Orthanc has no sender for: objects in another transfer syntax to a modality, and into a folder."""

import hashlib
import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pydicom
from pydantic import Field, JsonValue

from pipeline.archive.client import HttpArchive
from pipeline.archive.orthanc import Answer
from pipeline.errors import GlioLoopError
from pipeline.files.synced import digest_and_sync, sync_folder
from pipeline.settings import Destination, Folder, Modality

#: DICOM PS3.8, 9.3.2.2: presentation context ids are odd numbers below 256.
_MOST_CONTEXTS: Final = 128
_TIMEOUT_SECONDS: Final = 30


class _Configuration(Answer):
    """A modality as Orthanc has it."""

    aet: str = Field(validation_alias="AET")
    host: str = Field(validation_alias="Host")
    port: int = Field(validation_alias="Port")
    local_aet: str = Field(validation_alias="LocalAet", default="")
    tls: bool = Field(validation_alias="UseDicomTls", default=False)
    timeout: int = Field(validation_alias="Timeout", default=0)


class _System(Answer):
    """What Orthanc calls itself."""

    aet: str = Field(validation_alias="DicomAet")


def write_folder(archive: HttpArchive, destination: Folder, resources: list[str]) -> None:
    """Write objects into a folder, each at once or not at all; what lies there under its name is replaced.

    Raises
    ------
    GlioLoopError
        FORWARD_FAILED; STUDY_GONE; what :class:`HttpArchive` raises.
    """
    root = Path(destination.folder)
    try:
        if not root.is_dir():
            raise GlioLoopError("FORWARD_FAILED", f"there is no folder {root}")
        with _files(archive, destination, resources) as files:
            for source in files:
                header = pydicom.dcmread(source, specific_tags=["StudyInstanceUID"], stop_before_pixels=True)
                study = root / file_name_of(str(header.StudyInstanceUID))
                study.mkdir(exist_ok=True)
                target = study / f"{file_name_of(str(header.file_meta.MediaStorageSOPInstanceUID))}.dcm"
                partial = target.with_suffix(f".{os.getpid()}.part")
                shutil.copyfile(source, partial)
                digest_and_sync(partial)
                partial.replace(target)
                sync_folder(study)
    except OSError as error:
        raise GlioLoopError("FORWARD_FAILED", f"{root}: {error.strerror or type(error).__name__}") from error


def file_name_of(uid: str) -> str:
    """Return a UID as the name of a file; of what is none, such as a path that leads elsewhere, its digest."""
    return (
        uid if re.fullmatch(r"[0-9]+([.][0-9]+)*", uid) and len(uid) <= 64 else hashlib.sha256(uid.encode()).hexdigest()
    )


def send_transcoded(archive: HttpArchive, destination: Modality, resources: list[str], deadline: float) -> None:
    """Send objects by C-STORE in another transfer syntax, in their order.

    Raises
    ------
    GlioLoopError
        FORWARD_FAILED; STUDY_GONE; what :class:`HttpArchive` raises.
    """
    from pynetdicom import AE  # noqa: PLC0415 - only where it is needed: it takes half a second

    found = archive.get(f"/modalities/{destination.modality}/configuration")
    if found is None:
        raise GlioLoopError("FORWARD_FAILED", f"Orthanc does not know {destination.modality}")
    peer = _Configuration.model_validate(found)
    if peer.tls:
        raise GlioLoopError("FORWARD_FAILED", "TransferSyntax does not go together with UseDicomTls")
    ae = AE(peer.local_aet or _System.model_validate(archive.get("/system")).aet)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = peer.timeout or _TIMEOUT_SECONDS
    with _files(archive, destination, resources) as files:
        headers = [pydicom.dcmread(one, specific_tags=["SOPClassUID"], stop_before_pixels=True) for one in files]
        contexts = {(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in headers}
        for syntax in sorted(contexts)[:_MOST_CONTEXTS]:
            ae.add_requested_context(*syntax)
        association = ae.associate(peer.host, peer.port, ae_title=peer.aet)
        if not association.is_established:
            raise GlioLoopError("FORWARD_FAILED", "no association")
        try:
            for path in files:
                if time.monotonic() > deadline:
                    raise GlioLoopError("FORWARD_FAILED", "the destination took too long")
                status = association.send_c_store(path)
                if "Status" not in status or (int(status.Status) and int(status.Status) >> 12 != 0xB):
                    raise GlioLoopError("FORWARD_FAILED", f"C-STORE: {_told(status)}")
        except ValueError as error:  # a transfer syntax that the modality does not take
            raise GlioLoopError("FORWARD_FAILED", f"it does not take {destination.transfer_syntax}") from error
        finally:
            association.release()


def _told(status: pydicom.Dataset) -> str:
    return f"status {int(status.Status):04X}" if "Status" in status else "no answer"


@contextmanager
def _files(archive: HttpArchive, destination: Destination, resources: list[str]) -> Iterator[list[Path]]:
    """Hand out objects as files, in their order, transcoded where the destination wants that.

    Raises
    ------
    GlioLoopError
        STUDY_GONE; what :class:`HttpArchive` raises.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / f"{number:05}.dcm" for number in range(len(resources))]
        for resource, path in zip(resources, files, strict=True):
            if destination.transfer_syntax is None:
                there = archive.download(f"/instances/{resource}/file", path)
            else:
                there = _transcoded(archive, resource, destination.transfer_syntax, path)
            if not there:
                raise GlioLoopError("STUDY_GONE", f"instance {resource}")
        yield files


def _transcoded(archive: HttpArchive, resource: str, transfer_syntax: str, target: Path) -> bool:
    """Write one object in another transfer syntax; Orthanc transcodes what it packs into archives."""
    packed = target.with_suffix(".zip")
    body: dict[str, JsonValue] = {"Resources": [resource], "Transcode": transfer_syntax, "Synchronous": True}
    if not archive.download("/tools/create-archive", packed, body=body):
        return False
    with zipfile.ZipFile(packed) as archived:
        (member,) = archived.namelist()
        with archived.open(member) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    packed.unlink()
    return True
