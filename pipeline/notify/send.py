"""Telling once: a POST to a webhook, an e-mail, a result to a record. Tries and waits are the durable workflow's."""

import hashlib
import hmac
import json
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

import httpx

from pipeline.errors import GlioLoopError
from pipeline.names import Event
from pipeline.notify import hl7
from pipeline.notify.fhir import bundle
from pipeline.notify.message import Notice, Person, document, worded
from pipeline.settings.notify import AnyChannel, Fhir, Hl7, Mail, Webhook

_TIMEOUT_SECONDS: Final = 20.0


def tell(notice: Notice, channel: AnyChannel, node: str, link: str, person: Person | None) -> None:
    """Tell once.

    Parameters
    ----------
    node
        What the node is called.
    link
        To a page about it; empty where there is none.
    person
        The patient, where the channel may know.

    Raises
    ------
    GlioLoopError
        NOTIFY_FAILED.
    """
    try:
        match channel:
            case Webhook():
                _post(notice, channel, node, link, person)
            case Mail():
                _mail(notice, channel, node, link, person)
            case Fhir():
                _transact(notice, channel, node, person)
            case Hl7():
                hl7.send(notice, channel, node, person, _TIMEOUT_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, OSError, smtplib.SMTPException, ValueError) as error:
        raise GlioLoopError("NOTIFY_FAILED", f"{channel.name}: {_reason(error)}") from error


def signature(secret: str, body: bytes) -> str:
    """What ``X-GlioLoop-Signature-256`` holds.

    Examples
    --------
    >>> signature("It's a Secret to Everybody", b"Hello, World!")
    'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
    """
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def _post(notice: Notice, channel: Webhook, node: str, link: str, person: Person | None) -> None:
    body = json.dumps(document(notice, channel, node, link, person)).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GlioLoop",
        "X-GlioLoop-Event": notice.event.value,
        # The same at every try: a receiver that has it already knows it by this.
        "X-GlioLoop-Delivery": notice.key,
    }
    secret = channel.secret.get_secret_value()
    if secret:
        headers["X-GlioLoop-Signature-256"] = signature(secret, body)
    response = httpx.post(
        channel.webhook, content=body, headers=headers, timeout=_TIMEOUT_SECONDS, follow_redirects=False
    )
    response.raise_for_status()


def _transact(notice: Notice, channel: Fhir, node: str, person: Person | None) -> None:
    headers = {"Content-Type": "application/fhir+json", "Accept": "application/fhir+json"}
    token = channel.token.get_secret_value()
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if notice.event is Event.TEST:  # nothing is made of it
        httpx.get(f"{channel.fhir.rstrip('/')}/metadata", headers=headers, timeout=_TIMEOUT_SECONDS).raise_for_status()
        return
    body = bundle(notice, node, person).model_dump_json().encode()
    httpx.post(channel.fhir, content=body, headers=headers, timeout=_TIMEOUT_SECONDS).raise_for_status()


def _mail(notice: Notice, channel: Mail, node: str, link: str, person: Person | None) -> None:
    title, text = worded(notice, channel, node, link, person)
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = title, channel.sender, ", ".join(channel.mail)
    message["Date"] = formatdate()
    name = hashlib.blake2b(f"{channel.name} {notice.key}".encode(), digest_size=16).hexdigest()
    message["Message-ID"] = f"<{name}@{channel.sender.rpartition('@')[2]}>"  # the same at every try
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    trust = ssl.create_default_context()
    with (
        smtplib.SMTP_SSL(channel.host, channel.port, timeout=_TIMEOUT_SECONDS, context=trust)
        if channel.encryption == "tls"
        else smtplib.SMTP(channel.host, channel.port, timeout=_TIMEOUT_SECONDS)
    ) as server:
        if channel.encryption == "starttls":
            server.starttls(context=trust)
        if channel.user:
            server.login(channel.user, channel.password.get_secret_value())
        server.send_message(message)


def _reason(error: Exception) -> str:
    """Why, without what was to be told."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f"SMTP {error.smtp_code}"
    return getattr(error, "strerror", None) or type(error).__name__
