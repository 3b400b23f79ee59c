"""Destinations that behave as told: SCPs with storage commitment, HTTP servers that take STOW-RS and a peer's POST."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any, Final

import pydicom
from pydicom import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel  # type: ignore[attr-defined]

from pipeline.node import LOOPBACK, NodeConfiguration, free_port

OUT_OF_RESOURCES: Final = 0xA700
SLOW_SECONDS: Final = 5.0
_PUSH_MODEL_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
_RESULTS: Final = ("RT Structure", "Segmentation", "SR", "Secondary Capture", "MR Image")


@dataclass
class Received:
    """What was accepted, by SOP Instance UID, and in which transfer syntax."""

    accepted: Counter[str] = field(default_factory=Counter)
    syntaxes: set[str] = field(default_factory=set)

    def take(self, uid: str, syntax: str) -> None:
        """Count an object."""
        self.accepted[uid] += 1
        self.syntaxes.add(syntax)


class Scp:
    """A DICOM node.

    Parameters
    ----------
    name
        Its AE title, in small letters, and what Orthanc knows it by.
    behaviour
        ``accepts``, ``rejects`` (the association), ``aborts``, ``fails`` (with a status), ``slow``; ``commits``,
        ``commits late`` (when told to), ``commits never``, ``refuses to commit`` (the first time).
    node
        Which gets the reports of commitment.
    """

    def __init__(self, name: str, behaviour: str, node: NodeConfiguration) -> None:
        self.name, self.behaviour, self.port, self.received = name, behaviour, free_port(), Received()
        self.asked = 0
        self._node = node
        self._released = threading.Event()
        self._ae = AE(name.upper())
        self._ae.supported_contexts = [
            one
            for one in AllStoragePresentationContexts
            if any(kind in str(one.abstract_syntax.name) for kind in _RESULTS)  # type: ignore[union-attr]
        ]
        for context in self._ae.supported_contexts:
            context.transfer_syntax = [*(context.transfer_syntax or ()), pydicom.uid.JPEGLSLossless]
        self._ae.add_supported_context(StorageCommitmentPushModel)
        self._ae.require_called_aet = behaviour == "rejects"
        if behaviour == "rejects":
            self._ae.ae_title = "NOBODY"

    @property
    def modality(self) -> dict[str, object]:
        """How Orthanc is told of it."""
        return {"AET": self.name.upper(), "Host": LOOPBACK, "Port": self.port, "Timeout": 8}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Listen."""
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._action)]
        server = self._ae.start_server((LOOPBACK, self.port), block=False, evt_handlers=handlers)
        try:
            yield
        finally:
            self._released.set()
            server.shutdown()

    def commit(self) -> None:
        """Send the reports that are late."""
        self._released.set()

    def _store(self, event: Event) -> int:
        if self.behaviour == "aborts":
            event.assoc.abort()
            return OUT_OF_RESOURCES
        if self.behaviour == "fails":
            return OUT_OF_RESOURCES
        if self.behaviour == "slow":
            time.sleep(SLOW_SECONDS)
        self.received.take(str(event.request.AffectedSOPInstanceUID), str(event.context.transfer_syntax))
        return 0

    def _action(self, event: Event) -> tuple[int, None]:
        asked = event.action_information
        self.asked += 1
        threading.Thread(target=self._report, args=(asked, self.asked), daemon=True).start()
        return 0, None

    def _report(self, asked: Dataset, number: int) -> None:
        if self.behaviour == "commits never":
            return
        if self.behaviour == "commits late":
            self._released.wait()
        report = Dataset()
        report.TransactionUID = asked.TransactionUID
        refuses = self.behaviour == "refuses to commit" and number == 1
        if refuses:
            for one in asked.ReferencedSOPSequence:
                one.FailureReason = 0x0112
            report.FailedSOPSequence = asked.ReferencedSOPSequence
        else:
            report.ReferencedSOPSequence = asked.ReferencedSOPSequence
        ae = AE(self.name.upper())
        ae.add_requested_context(StorageCommitmentPushModel)
        association = ae.associate(
            LOOPBACK,
            self._node.dicom_port,
            ae_title=self._node.aet,
            ext_neg=[build_role(StorageCommitmentPushModel, scp_role=True)],
        )
        assert association.is_established, "the node does not take reports of commitment"
        association.send_n_event_report(report, 2 if refuses else 1, StorageCommitmentPushModel, _PUSH_MODEL_INSTANCE)
        association.release()


class Web:
    """An HTTP server that takes STOW-RS, and what one Orthanc sends another.

    Parameters
    ----------
    name
        What Orthanc knows it by.
    behaviour
        ``accepts``, ``hangs``, ``slow``, ``aborts`` (hangs up in place of an answer), or a status: ``401``.
    """

    def __init__(self, name: str, behaviour: str) -> None:
        self.name, self.behaviour, self.received = name, behaviour, Received()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, {"ApiVersion": 17, "Version": "1.10.1", "DatabaseVersion": 6})

            def do_POST(self) -> None:
                body = _body_of(self)
                if web.behaviour == "hangs":
                    time.sleep(3600)
                if web.behaviour == "aborts":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if web.behaviour == "slow":
                    time.sleep(SLOW_SECONDS)
                if web.behaviour.isdigit():
                    self._answer(int(web.behaviour), {})
                else:
                    self._answer(200, web._take(self.path, self.headers.get("Content-Type", ""), body))

            def _answer(self, status: int, content: dict[str, Any]) -> None:
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{LOOPBACK}:{self._server.server_address[1]}/"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Listen."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            self._server.shutdown()
            self._server.server_close()

    def _take(self, path: str, kind: str, body: bytes) -> dict[str, Any]:
        if path.endswith("/instances"):
            self._note(body)
            return {"ID": "0", "Status": "Success"}
        boundary = kind.partition("boundary=")[2].split(";")[0].strip('"').encode()
        stored = []
        for part in body.split(b"--" + boundary)[1:-1]:
            header = self._note(part.partition(b"\r\n\r\n")[2])
            stored.append(
                {
                    "00081150": {"vr": "UI", "Value": [str(header.SOPClassUID)]},
                    "00081155": {"vr": "UI", "Value": [str(header.SOPInstanceUID)]},
                }
            )
        return {"00081199": {"vr": "SQ", "Value": stored}}

    def _note(self, content: bytes) -> Dataset:
        header = pydicom.dcmread(BytesIO(content), stop_before_pixels=True)
        self.received.take(str(header.SOPInstanceUID), str(header.file_meta.TransferSyntaxUID))
        return header


def _body_of(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "") != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length", 0)))
    chunks = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        chunks.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(chunks)


@contextmanager
def hanging() -> Iterator[int]:
    """A port on which every connection is accepted and nothing is ever said."""
    held = []

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                held.append(server.accept()[0])

    with socket.create_server((LOOPBACK, 0)) as server:
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
