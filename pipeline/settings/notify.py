"""Whom the node tells what."""

from collections.abc import Mapping
from string import Template
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, SecretStr, Tag, field_validator, model_validator
from pydantic.alias_generators import to_pascal

from pipeline.names import Event
from pipeline.settings.destinations import Name

#: What a template may name.
TEMPLATE_FIELDS: Final = frozenset(
    {
        "node", "event", "title", "code", "message", "detail", "hint", "study", "study_instance_uid", "job", "model",
        "flags", "volumes", "at", "link", "patient_name", "patient_id",
    }
)  # fmt: skip
#: A file that every worker sees.
_Pem = Annotated[str, Field(pattern=r"^/", max_length=1024)]
_CONFIGURATION = ConfigDict(extra="forbid", alias_generator=to_pascal, populate_by_name=True)


class Channel(BaseModel):
    """Someone who is told; the kinds are below.

    Attributes
    ----------
    name
        By which it is listed.
    events
        What they are told.
    patient_name
        Whether name and number of the patient are told; never unless this says so.
    title, text
        Templates (``$event``, ``$message`` …) in place of the usual words.
    retry_seconds
        Waits between tries.
    """

    model_config = _CONFIGURATION

    name: Name
    events: tuple[Event, ...] = (Event.REFUSED, Event.FAILED, Event.UNWELL)
    patient_name: bool = False
    title: str | None = Field(default=None, max_length=500)
    text: str | None = Field(default=None, max_length=20_000)
    retry_seconds: tuple[Annotated[float, Field(ge=0)], ...] = (60, 300, 1800, 3600, 7200, 14_400, 43_200)

    @field_validator("title", "text")
    @classmethod
    def _known_fields(cls, value: str | None) -> str | None:
        if value is not None:
            template = Template(value)
            unknown = sorted(set(template.get_identifiers()) - TEMPLATE_FIELDS)
            if unknown or not template.is_valid():
                raise ValueError(f"a template knows no {', '.join(unknown) or '$ without a name; write $$'}")
        return value


class Webhook(Channel):
    """A server that gets a POST with a JSON document.

    Attributes
    ----------
    webhook
        Its address.
    secret
        By which what is sent is signed: HMAC-SHA256 of the body.
    """

    webhook: str = Field(pattern=r"^https?://[^\s]+$", max_length=2000)
    secret: SecretStr = SecretStr("")


class Mail(Channel):
    """People who get an e-mail.

    Attributes
    ----------
    mail
        Their addresses.
    host, port, encryption, user, password
        The server that takes it.
    sender
        From whom it is.
    """

    mail: tuple[Annotated[str, Field(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$", max_length=254)], ...] = Field(min_length=1)
    host: str = Field(min_length=1, max_length=253)
    port: int = Field(default=587, ge=1, le=65_535)
    encryption: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: SecretStr = SecretStr("")
    sender: str = Field(pattern=r"^[^@\s,;<>]+@[^@\s,;<>]+$", max_length=254)


class Fhir(Channel):
    """A FHIR R4 server that gets results: the patient's number, never the name.

    Attributes
    ----------
    fhir
        Its base address.
    token
        Of its ``Authorization: Bearer``; empty: none is sent.
    """

    events: tuple[Literal[Event.DONE, Event.TEST], ...] = (Event.DONE,)
    fhir: str = Field(pattern=r"^https?://[^\s]+$", max_length=2000)
    token: SecretStr = SecretStr("")


class Hl7(Channel):
    """A server that gets results as HL7 v2 messages over MLLP: the patient's number, never the name.

    Attributes
    ----------
    hl7, port, encryption
        Its host, and how it is reached.
    trusted_certificates
        PEM of those whom its certificate has to come from, with TLS; the usual authorities where none is named.
    certificate, private_key
        PEM of the certificate, with those between it and its authority, by which the node shows who it is, with TLS;
        its key may be in the same file.
    application, facility
        What it calls itself: MSH-5 and MSH-6.
    """

    events: tuple[Literal[Event.DONE, Event.TEST], ...] = (Event.DONE,)
    hl7: str = Field(min_length=1, max_length=253)
    port: int = Field(default=2575, ge=1, le=65_535)
    encryption: Literal["tls", "none"] = "none"
    trusted_certificates: _Pem | None = None
    certificate: _Pem | None = None
    private_key: _Pem | None = None
    application: str = Field(default="", max_length=180, pattern=r"^[^|^~\\&\r\n]*$")
    facility: str = Field(default="", max_length=180, pattern=r"^[^|^~\\&\r\n]*$")

    @model_validator(mode="after")
    def _certificates_with_tls(self) -> "Hl7":
        if self.encryption != "tls" and (self.trusted_certificates or self.certificate or self.private_key):
            raise ValueError('certificates are for "Encryption": "tls"')
        if self.private_key and not self.certificate:
            raise ValueError("a PrivateKey needs its Certificate")
        return self


AnyChannel = Webhook | Mail | Fhir | Hl7


def _kind_of(value: object) -> str:
    keys = {str(one).lower() for one in value} if isinstance(value, Mapping) else set()
    for kind in (Mail, Fhir, Hl7):
        if isinstance(value, kind) or kind.__name__.lower() in keys:
            return kind.__name__
    return Webhook.__name__


class Notify(BaseModel):
    """Whom the node tells what, and when the queue is late.

    Attributes
    ----------
    channels
        Those who are told.
    queue_minutes
        A study that has waited for so long is told of.
    digest
        When the digest of a day is sent, hours and minutes, UTC.
    url
        Address of the node as people reach it, for links; empty where there are none.
    """

    model_config = _CONFIGURATION

    channels: tuple[
        Annotated[
            Annotated[Webhook, Tag("Webhook")]
            | Annotated[Mail, Tag("Mail")]
            | Annotated[Fhir, Tag("Fhir")]
            | Annotated[Hl7, Tag("Hl7")],
            Discriminator(_kind_of),
        ],
        ...,
    ] = ()
    queue_minutes: float = Field(default=60, gt=0)
    digest: str = Field(default="06:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")

    url: str = Field(default="", max_length=500, pattern=r"^(https?://[^\s]+)?$")

    @field_validator("channels")
    @classmethod
    def _names_once(cls, value: tuple[AnyChannel, ...]) -> tuple[AnyChannel, ...]:
        names = [one.name for one in value]
        if len(names) != len(set(names)):
            raise ValueError("two channels have the same name")
        return value

    def channel(self, name: str) -> AnyChannel | None:
        """The channel of a name; None where it is no longer configured."""
        return next((one for one in self.channels if one.name == name), None)

    def wants(self, *events: Event) -> bool:
        """Whether anybody is told of one of these."""
        return any(event in one.events for one in self.channels for event in events)
