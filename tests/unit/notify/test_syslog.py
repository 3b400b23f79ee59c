"""The audit trail as DICOM audit messages over syslog."""

import re
import socket
from xml.etree import ElementTree

import pytest

from pipeline.audit.trail import Entry
from pipeline.errors import GlioLoopError
from pipeline.node import LOOPBACK, free_port
from pipeline.notify.syslog import framed, message, send
from pipeline.settings.syslog import AuditSyslog

STORED = Entry(7, "2026-01-01T00:00:00.000000+00:00", "stored", "job-1", "worker", {"study_instance_uid": "1.2.3"})
DENIED = Entry(8, "2026-01-01T00:00:01.000000+00:00", "denied", "/glioloop/x", 'eve<"&>', {"role": "reader"})


def test_messages_are_those_of_dicom() -> None:
    root = ElementTree.fromstring(message(STORED, "Node1"))
    event = root.find("EventIdentification")
    assert event is not None
    assert event.attrib == {"EventActionCode": "C", "EventDateTime": STORED.at, "EventOutcomeIndicator": "0"}
    identity = event.find("EventID")
    assert identity is not None
    assert (identity.get("csd-code"), identity.get("codeSystemName")) == ("110103", "DCM")
    about = root.find("ParticipantObjectIdentification")
    assert about is not None
    assert about.get("ParticipantObjectID") == "1.2.3"
    denied = ElementTree.fromstring(message(DENIED, "Node1"))
    assert [one.get("UserID") for one in denied.findall("ActiveParticipant")] == ['eve<"&>', "Node1"]
    assert denied.find("EventIdentification").get("EventOutcomeIndicator") == "4"  # type: ignore[union-attr]


def test_frames_are_those_of_syslog() -> None:
    head, _, text = framed(STORED, "Node1").partition(b"\xef\xbb\xbf")
    assert re.fullmatch(rb"<85>1 2026-01-01T00:00:00.000000\+00:00 \S+ Node1 \d+ DICOM\+RFC3881 - ", head)
    assert text.startswith(b"<AuditMessage>")


def test_udp_sends_one_datagram_each() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((LOOPBACK, 0))
        server.settimeout(10)
        send([STORED, DENIED], AuditSyslog(host=LOOPBACK, port=server.getsockname()[1], transport="udp"))
        assert [server.recv(65_535) for _ in range(2)] == [framed(STORED, "GlioLoop"), framed(DENIED, "GlioLoop")]


def test_nobody_there_is_told() -> None:
    with pytest.raises(GlioLoopError, match="NOTIFY_FAILED"):
        send([STORED], AuditSyslog(host=LOOPBACK, port=free_port(), transport="tcp"))
