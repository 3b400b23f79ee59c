"""Where the audit trail is told, too."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_pascal


class AuditSyslog(BaseModel):
    """An Audit Record Repository: a syslog server that takes DICOM audit messages.

    Attributes
    ----------
    host
        Empty: none.
    transport
        ``tls`` (RFC 5425), ``tcp``, or ``udp`` (RFC 5426), which loses what nobody hears.
    source
        AuditSourceID of this node.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)

    host: str = Field(default="", max_length=253)
    port: int = Field(default=6514, ge=1, le=65_535)
    transport: Literal["tls", "tcp", "udp"] = "tls"
    source: str = Field(default="GlioLoop", min_length=1, max_length=64, pattern=r"^[!-~]+$")
