"""Results as HL7 v2 messages: valid by the library, taken by its listener, the same at every try."""

import socket
import threading

import pytest

from pipeline.errors import GlioLoopError
from pipeline.names import Event
from pipeline.node import LOOPBACK, free_port
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


def _channel(port: int) -> AnyChannel:
    written = {"Name": "his", "Hl7": LOOPBACK, "Port": port, "Application": "HIS", "Facility": "WARD"}
    return load_settings({"Notify": {"Channels": [written]}}).notify.channels[0]


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
