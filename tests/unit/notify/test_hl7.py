"""Results as HL7 v2 messages: valid by the library, taken by its listener, the same at every try."""

import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import GlioLoopError
from pipeline.names import Event
from pipeline.node import LOOPBACK, free_port
from pipeline.notify.hl7 import trust
from pipeline.notify.message import Notice, Person
from pipeline.notify.send import tell
from pipeline.settings import AnyChannel, load_settings

pytest.importorskip("hl7apy", reason="the extra hl7 is not installed")

from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_message

NOTICE = Notice(
    event=Event.DONE,
    key="k",
    at="2026-01-01T00:00:00+00:00",
    study_instance_uid="1.2.3",
    job="0" * 32,
    model="gliounet@1.0.0",
    flags=("LARGE_MOTION",),
    volumes_ml={"WT": 30.0412, "cavity": 0.0},
)
PERSON = Person(name="Nobody Known", number="P|1 山")


def _channel(port: int, **more: str) -> AnyChannel:
    written = {"Name": "his", "Hl7": LOOPBACK, "Port": port, "Application": "HIS", "Facility": "WARD"}
    return load_settings({"Notify": {"Channels": [written | more]}}).notify.channels[0]


def test_a_listener_takes_them_or_is_told_of() -> None:
    taken: list[str] = []
    said = ["AE", "AA"]

    class Handler(AbstractHandler):  # type: ignore[misc]
        def reply(self) -> str:
            taken.append(self.incoming_message)
            control = parse_message(self.incoming_message).msh.msh_10.value
            return f"\x0bMSH|^~\\&|HIS||||||ACK^R01|1|P|2.5.1\rMSA|{said.pop(0)}|{control}\r\x1c\r"

    with MLLPServer(LOOPBACK, 0, {"ORU^R01^ORU_R01": (Handler,)}) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        channel = _channel(server.server_address[1])
        with pytest.raises(GlioLoopError, match="HL7 AE"):
            tell(NOTICE, channel, "Node & 1", "", PERSON)
        tell(NOTICE, channel, "Node & 1", "", PERSON)
        tell(NOTICE.model_copy(update={"event": Event.TEST}), channel, "Node & 1", "", None)
        server.shutdown()
    assert len(taken) == 2
    assert taken[0] == taken[1]
    assert "Nobody" not in taken[0]
    read = parse_message(taken[0])
    assert read.validate()
    assert (read.msh.msh_4.value, read.msh.msh_5.value, read.msh.msh_6.value) == ("Node 1", "HIS", "WARD")
    result = read.oru_r01_patient_result
    assert result.oru_r01_patient.pid.pid_3.value == "P 1 山"
    order = result.oru_r01_order_observation
    assert (order.obr.obr_3.value, order.obr.obr_25.value) == (f"{'0' * 32}^GlioLoop", "P")
    seen = [one.obx for one in order.oru_r01_observation]
    assert [one.obx_3.obx_3_1.value for one in seen] == ["113014", "WT", "cavity", "FLAG", "NOTE"]
    assert (seen[1].obx_2.value, seen[1].obx_5.value, seen[1].obx_6.value) == ("NM", "30.041", "mL^^UCUM")
    assert (seen[0].obx_5.value, seen[3].obx_5.value) == ("1.2.3", "LARGE_MOTION")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400\r\n\r\n", b"\x0bMSA|AA|another\r\x1c\r"])
def test_no_acknowledgement_is_told(answer: bytes) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve() -> None:
            connection = server.accept()[0]
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(GlioLoopError) as told:
            tell(NOTICE, _channel(server.getsockname()[1]), "Node", "", PERSON)
    assert told.value.code == "NOTIFY_FAILED"


def test_nobody_there_is_told() -> None:
    with pytest.raises(GlioLoopError, match="NOTIFY_FAILED"):
        tell(NOTICE, _channel(free_port()), "Node", "", PERSON)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, each with a server for the loopback address and a client; ``.pem`` holds the key, too."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")

    def made(name: str, *more: str) -> None:
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        files = ("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2")
        subprocess.run(["openssl", "req", "-x509", *key, *files, *more], cwd=folder, check=True, capture_output=True)
        (folder / f"{name}.pem").write_text((folder / f"{name}.crt").read_text() + (folder / f"{name}.key").read_text())

    for authority in ("his", "other"):
        made(authority)
        signed = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-addext", "basicConstraints=CA:FALSE")
        for end in ("server", "client"):
            made(f"{authority}-{end}", *signed, "-addext", f"subjectAltName=IP:{LOOPBACK}")
    return folder


@contextmanager
def _listening(certificates: Path) -> Iterator[tuple[int, list[bytes]]]:
    """A listener over TLS that asks for a certificate of its own authority: its port, and what it has got."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "his-server.pem")
    context.load_verify_locations(certificates / "his.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    taken: list[bytes] = []

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                with context.wrap_socket(self.request, server_side=True) as stream:
                    said = b""
                    while more := stream.recv(4096):
                        said += more
                        if said.endswith(b"\x1c\r"):
                            taken.append(said)
                            control = said.split(b"|")[9]
                            stream.sendall(b"\x0bMSH|^~\\&|HIS\rMSA|AA|" + control + b"\r\x1c\r")
            except OSError:
                return  # one of both did not trust the other

    with socketserver.ThreadingTCPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1], taken
        server.shutdown()


def test_over_tls_each_knows_the_other(certificates: Path) -> None:
    def at(name: str) -> str:
        return str(certificates / name)

    own = {"Certificate": at("his-client.crt"), "PrivateKey": at("his-client.key")}
    tls = {"Encryption": "tls", "TrustedCertificates": at("his.crt")}
    test = NOTICE.model_copy(update={"event": Event.TEST})
    with _listening(certificates) as (port, taken):
        tell(NOTICE, _channel(port, **tls | own), "Node", "", PERSON)
        tell(NOTICE, _channel(port, **tls, Certificate=at("his-client.pem")), "Node", "", PERSON)
        pinned = {"TrustedCertificates": at("his-server.crt")}
        tell(NOTICE, _channel(port, **tls | own | pinned), "Node", "", PERSON)
        assert (len(taken), len(set(taken))) == (3, 1)
        tell(test, _channel(port, **tls | own), "Node", "", None)
        strangers: list[tuple[dict[str, str], str | None]] = [
            (tls | own | {"TrustedCertificates": at("other.crt")}, "CERTIFICATE_VERIFY_FAILED"),
            ({"Encryption": "tls"} | own, "CERTIFICATE_VERIFY_FAILED"),  # no usual authority knows it
            (tls | {"Hl7": "localhost"} | own, "CERTIFICATE_VERIFY_FAILED"),  # another name
            (tls, None),  # without a certificate of its own
            (tls | {"Certificate": at("other-client.pem")}, None),
            ({}, None),  # without TLS
        ]
        for settings, why in strangers:
            with pytest.raises(GlioLoopError, match=why) as refused:
                tell(NOTICE, _channel(port, **settings), "Node", "", PERSON)
            assert refused.value.code == "NOTIFY_FAILED"
        with pytest.raises(GlioLoopError, match="CERTIFICATE_VERIFY_FAILED"):
            tell(test, _channel(port, **strangers[0][0]), "Node", "", None)
        assert len(taken) == 3
    unread = {"Certificate": at("none.crt")}
    with pytest.raises(GlioLoopError, match="his: Certificate and PrivateKey: No such file") as refused:
        trust(_channel(1, **tls | unread))  # type: ignore[arg-type]
    assert refused.value.code == "CONFIGURATION_INVALID"


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"TrustedCertificates": "/ca.pem"}, "Encryption"),
        ({"Encryption": "tls", "PrivateKey": "/key.pem"}, "needs its Certificate"),
        ({"Encryption": "tls", "Certificate": "own.pem"}, "Certificate"),
    ],
)
def test_settings_that_would_not_be_heeded_stop_the_start(more: dict[str, str], why: str) -> None:
    with pytest.raises(GlioLoopError, match=why) as refused:
        _channel(2575, **more)
    assert refused.value.code == "CONFIGURATION_INVALID"
