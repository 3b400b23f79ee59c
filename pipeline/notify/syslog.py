"""The audit trail as DICOM audit messages (PS3.15, A.5) over syslog (RFC 5424)."""

import os
import socket
import ssl
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from pipeline.audit.trail import Entry
from pipeline.errors import GlioLoopError
from pipeline.settings.syslog import AuditSyslog

_TIMEOUT_SECONDS: Final = 20.0
#: Security or authorisation messages (10), notice (5): 10 * 8 + 5.
_PRIORITY: Final = 85
_SUCCESS, _MINOR_FAILURE = "0", "4"


class _Code(NamedTuple):
    """A code of DICOM's (PS3.16, CID 400 to 403)."""

    value: str
    meaning: str


class _Kind(NamedTuple):
    """EventID, EventActionCode (create, read, update, delete, execute) and EventTypeCode."""

    event: _Code
    action: str
    type: _Code | None = None


_TRANSFERRED: Final = _Code("110104", "DICOM Instances Transferred")
_ACCESSED: Final = _Code("110103", "DICOM Instances Accessed")
_ALERT: Final = _Code("110113", "Security Alert")
_KINDS: Final[dict[str, _Kind]] = {
    "received": _Kind(_TRANSFERRED, "C"),
    "fetched": _Kind(_TRANSFERRED, "C"),
    "forwarded": _Kind(_TRANSFERRED, "R"),
    "stored": _Kind(_ACCESSED, "C"),
    "segmented": _Kind(_ACCESSED, "C"),
    "followed": _Kind(_ACCESSED, "C"),
    "corrected": _Kind(_ACCESSED, "U"),
    "approved": _Kind(_ACCESSED, "C"),
    "decided": _Kind(_ACCESSED, "R"),
    "removed": _Kind(_ACCESSED, "D"),
    "denied": _Kind(_ALERT, "E", _Code("110132", "Use of Restricted Function")),
    "promoted": _Kind(_ALERT, "U", _Code("110131", "Software Configuration")),
    "repaired": _Kind(_ALERT, "U", _Code("110135", "Object Security Attributes Changed")),
}
_OTHER: Final = _Kind(_Code("110100", "Application Activity"), "E")
_STUDY: Final = _Code("110180", "Study Instance UID")
_NODE: Final = _Code("110182", "Node ID")


def message(entry: Entry, source: str) -> str:
    """An entry as an AuditMessage; it holds what the trail holds, and so no patient."""
    kind = _KINDS.get(entry.event, _OTHER)
    root = Element("AuditMessage")
    outcome = _MINOR_FAILURE if entry.event == "denied" or "failed" in entry.data else _SUCCESS
    event = SubElement(
        root,
        "EventIdentification",
        {"EventActionCode": kind.action, "EventDateTime": entry.at, "EventOutcomeIndicator": outcome},
    )
    _coded(event, "EventID", kind.event)
    if kind.type is not None:
        _coded(event, "EventTypeCode", kind.type)
    SubElement(root, "ActiveParticipant", {"UserID": entry.who, "UserIsRequestor": "true"})
    SubElement(root, "ActiveParticipant", {"UserID": source, "UserIsRequestor": "false"})
    SubElement(root, "AuditSourceIdentification", {"AuditSourceID": source})
    study = entry.data.get("study_instance_uid")
    about = {
        "ParticipantObjectID": str(study or entry.subject),
        "ParticipantObjectTypeCode": "2",  # a system object
        "ParticipantObjectTypeCodeRole": "3" if study else "20",  # a report; a job
    }
    found = SubElement(root, "ParticipantObjectIdentification", about)
    _coded(found, "ParticipantObjectIDTypeCode", _STUDY if study else _NODE)
    SubElement(found, "ParticipantObjectDetail", {"type": "event", "value": _encoded(f"{entry.event} {entry.subject}")})
    SubElement(found, "ParticipantObjectDetail", {"type": "sha256", "value": _encoded(entry.digest)})
    return tostring(root, encoding="unicode", xml_declaration=False)


def _encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _coded(parent: Element, name: str, code: _Code) -> None:
    attributes = {"csd-code": code.value, "codeSystemName": "DCM", "originalText": code.meaning}
    SubElement(parent, name, attributes)


def framed(entry: Entry, source: str) -> bytes:
    """An entry as a syslog message: RFC 5424, with the message id that PS3.15 asks for."""
    host = "".join(one for one in socket.gethostname() if "!" <= one <= "~")[:255] or "-"
    head = f"<{_PRIORITY}>1 {entry.at} {host} {source[:48]} {os.getpid()} DICOM+RFC3881 - "
    return head.encode() + b"\xef\xbb\xbf" + message(entry, source).encode()


def send(entries: Iterable[Entry], target: AuditSyslog) -> None:
    """Send entries in their order.

    Raises
    ------
    GlioLoopError
        NOTIFY_FAILED.
    """
    try:
        with _connected(target) as connection:
            for entry in entries:
                content = framed(entry, target.source)
                # RFC 5425: what follows a stream's length is one message.
                connection.sendall(content if target.transport == "udp" else b"%d %s" % (len(content), content))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise GlioLoopError("NOTIFY_FAILED", f"audit messages: {reason}") from error


@contextmanager
def _connected(target: AuditSyslog) -> Iterator[socket.socket]:
    address = (target.host, target.port)
    if target.transport == "udp":
        family, kind, protocol, _, resolved = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as datagrams:
            datagrams.connect(resolved)
            yield datagrams
        return
    with socket.create_connection(address, _TIMEOUT_SECONDS) as plain:
        if target.transport == "tcp":
            yield plain
        else:
            with ssl.create_default_context().wrap_socket(plain, server_hostname=target.host) as secure:
                yield secure
