"""A result as an HL7 v2.5.1 message, ORU^R01, to a server that speaks MLLP and acknowledges it."""

import hashlib
import socket
import ssl
from datetime import datetime
from typing import TYPE_CHECKING, Final

from pipeline.errors import GlioLoopError
from pipeline.names import MANUFACTURER, REGION_MEANING, RESEARCH_USE, Event, Region
from pipeline.notify.message import Notice, Person
from pipeline.settings.notify import Hl7

if TYPE_CHECKING:
    from hl7apy.core import Message

#: What begins and ends a message in MLLP.
_BEGIN, _END = b"\x0b", b"\x1c\r"
_MOST_BYTES: Final = 65_536
_TAKEN: Final = ("AA", "CA")


def send(notice: Notice, channel: Hl7, node: str, person: Person | None, timeout: float) -> None:
    """Send a result and wait until it is acknowledged; of a test, nothing but the connection is tried.

    Parameters
    ----------
    node
        What the node is called.
    person
        The patient, of whom the number is told.
    timeout
        Most seconds of silence.

    Raises
    ------
    GlioLoopError
        NOTIFY_FAILED where the message is not taken, or the library that models HL7 is not installed;
        CONFIGURATION_INVALID where a certificate cannot be read.
    OSError
        Where nobody answers, or one of both does not trust the other.
    """
    made = None if notice.event is Event.TEST else message(notice, channel, node, person)
    with socket.create_connection((channel.hl7, channel.port), timeout) as plain:
        tls = trust(channel) if channel.encryption == "tls" else None
        stream = tls.wrap_socket(plain, server_hostname=channel.hl7) if tls else plain
        with stream:
            if made is None:
                return
            stream.sendall(_BEGIN + made.to_er7().encode() + _END)
            said = _acknowledgement(_answer(stream), str(made.msh.msh_10.value))
    if said not in _TAKEN:
        raise GlioLoopError("NOTIFY_FAILED", f"{channel.name}: HL7 {said}")


def trust(channel: Hl7) -> ssl.SSLContext:
    """Whom a channel trusts, and how the node shows who it is.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID with the name of the key whose file cannot be read.
    """
    key = "TrustedCertificates"
    try:
        context = ssl.create_default_context(cafile=channel.trusted_certificates)
        if channel.trusted_certificates:
            # The server's own certificate is enough of an anchor: it is pinned.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if channel.certificate:
            key = "Certificate and PrivateKey"
            # A key under a password is refused: nobody is there to be asked for it.
            context.load_cert_chain(channel.certificate, channel.private_key, password=lambda: "")
    except OSError as error:
        raise GlioLoopError("CONFIGURATION_INVALID", f"{channel.name}: {key}: {error.strerror or error}") from error
    return context


def message(notice: Notice, channel: Hl7, node: str, person: Person | None) -> "Message":
    """The message of a notice about a result; the same at every try.

    Raises
    ------
    GlioLoopError
        NOTIFY_FAILED where the library is not installed.
    """
    try:
        from hl7apy.core import Message  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise GlioLoopError("NOTIFY_FAILED", "hl7apy is not installed: docs/notify.md") from error
    made, at = Message("ORU_R01", version="2.5.1"), f"{datetime.fromisoformat(notice.at):%Y%m%d%H%M%S%z}"
    made.msh.msh_3.hd_1, made.msh.msh_4.hd_1 = MANUFACTURER, _line(node)
    made.msh.msh_5.hd_1, made.msh.msh_6.hd_1 = channel.application, channel.facility
    made.msh.msh_7.ts_1, made.msh.msh_11, made.msh.msh_18 = at, "P", "UNICODE UTF-8"
    made.msh.msh_9.msg_1, made.msh.msh_9.msg_2, made.msh.msh_9.msg_3 = "ORU", "R01", "ORU_R01"
    made.msh.msh_10 = hashlib.blake2b(f"{channel.name} {notice.key}".encode(), digest_size=10).hexdigest()
    result = made.add_group("ORU_R01_PATIENT_RESULT")
    patient = result.add_group("ORU_R01_PATIENT").add_segment("PID")
    patient.pid_1, patient.pid_3.cx_1 = "1", _line(person.number) if person else ""
    patient.pid_5.xpn_7 = "U"  # a name has to be there: unspecified
    group = result.add_group("ORU_R01_ORDER_OBSERVATION")
    order = group.add_segment("OBR")
    order.obr_1, order.obr_3.ei_1, order.obr_3.ei_2, order.obr_25 = "1", notice.job, MANUFACTURER, "P"
    order.obr_4.ce_1, order.obr_4.ce_2, order.obr_4.ce_3 = "24590-2", "MR brain", "LN"
    order.obr_7.ts_1 = order.obr_22.ts_1 = at
    for number, (kind, code, value, unit) in enumerate(_observations(notice), 1):
        seen = group.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
        seen.obx_1, seen.obx_2, seen.obx_11 = str(number), kind, "P"
        seen.obx_3.ce_1, seen.obx_3.ce_2, seen.obx_3.ce_3 = code
        seen.obx_5, seen.obx_14.ts_1 = _line(value), at
        if unit:
            seen.obx_6.ce_1, seen.obx_6.ce_3 = unit, "UCUM"
    return made


def _observations(notice: Notice) -> list[tuple[str, tuple[str, str, str], str, str]]:
    """Type, code, value and unit of each."""
    found = [("ST", ("113014", "DICOM Study", "DCM"), notice.study_instance_uid, "")]
    for region, size in notice.volumes_ml.items():
        meaning = REGION_MEANING[Region(region)] if region in Region.__members__.values() else region
        found.append(("NM", (region, f"Volume of {meaning}", "L"), f"{size:.3f}", "mL"))
    found += (("ST", ("FLAG", "Quality flag", "L"), flag, "") for flag in notice.flags)
    return [*found, ("ST", ("NOTE", "Note", "L"), f"{notice.model}: {RESEARCH_USE}", "")]


def _line(text: str) -> str:
    """On one line, and without what parts fields, components and repetitions."""
    return " ".join("".join(" " if one in "|^~\\&" else one for one in text).split())


def _answer(stream: socket.socket) -> str:
    """What is said up to the end of a message."""
    said = b""
    while not said.endswith(_END):
        more = stream.recv(4096)
        if not more or len(said) > _MOST_BYTES:
            raise ConnectionError("no acknowledgement")
        said += more
    return said.removeprefix(_BEGIN).removesuffix(_END).decode(errors="replace")


def _acknowledgement(said: str, control: str) -> str:
    """MSA-1 of an answer to the message of that control id; what is none is ``no acknowledgement``."""
    parts = next((line.split(said[3:4] or "|") for line in said.split("\r") if line.startswith("MSA")), [])
    return parts[1] if len(parts) > 2 and parts[2] == control else "no acknowledgement"
