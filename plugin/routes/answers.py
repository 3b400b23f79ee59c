"""Answers of the node's routes: JSON in and out, sizes bounded, every error with its code and hint."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import orthanc

from pipeline.audit import AuditTrail
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import exhausted, place_of, trace_of
from plugin.bodies import parse_object

_STATUS: Final = {
    "STUDY_UNKNOWN": 404,
    "JOB_UNKNOWN": 404,
    "MODEL_UNKNOWN": 404,
    "PAGE_UNKNOWN": 404,
    "FEEDBACK_UNKNOWN": 404,
    "REQUEST_INVALID": 400,
    "REQUEST_FOREIGN": 403,
    "JOB_STATE": 409,
    "STUDY_AMBIGUOUS": 409,
    "NODE_STARTING": 503,
    "ORTHANC_UNREACHABLE": 503,
    "ORTHANC_DENIED": 503,
    "ORTHANC_REFUSED": 503,
    "IMAGE_WITHHELD": 503,
    "DISK_FULL": 503,
    "OUT_OF_MEMORY": 503,
    "INTERNAL": 500,
    "CONFIGURATION_INVALID": 500,
}
_UNPROCESSABLE: Final = 422

_MOST_RECORDED: Final = 2048
_LONGEST_USER: Final = 64
_trail: Callable[[], AuditTrail] | None = None


@dataclass(frozen=True)
class Content:
    """An answer that is not JSON.

    Attributes
    ----------
    body
        What is sent.
    kind
        Its Content-Type.
    headers
        Further headers.
    """

    body: bytes
    kind: str
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[dict[str, Any]], tuple[int, Any]]


def answered_by(handlers: Mapping[str, Handler]) -> Callable[..., None]:
    """Make Orthanc's REST callback of the handlers of a path.

    Parameters
    ----------
    handlers
        By method; other methods get 405. Each takes Orthanc's request and returns status and a
        JSON-serialisable answer, bytes of a PNG, plain text or a :class:`Content`.
    """

    def callback(output: Any, uri: str, **request: Any) -> None:
        handler = handlers.get(request["method"])
        if handler is None:
            output.SendMethodNotAllowed(",".join(handlers))
            return
        try:
            if request["method"] != "GET":
                _refuse_foreign_pages(request)
                _on_record(uri, request)
            status, answer = handler(request)
        except GlioLoopError as error:
            status, answer = _STATUS.get(error.code, _UNPROCESSABLE), {"error": error.as_json()}
        except Exception as error:
            orthanc.LogError(f"GlioLoop: {uri}: {trace_of(error)}")
            failure = exhausted(error, uri) or GlioLoopError("INTERNAL", place_of(error))
            status, answer = _STATUS.get(failure.code, _UNPROCESSABLE), {"error": failure.as_json()}
        _send(output, status, answer)

    return callback


def _refuse_foreign_pages(request: dict[str, Any]) -> None:
    """Refuse what a page of another origin makes a logged-in browser send.

    Browsers tell where a request comes from (Fetch Metadata: ``Sec-Fetch-Site``; older ones: ``Origin``)
    and let no script change it; programs send neither.
    """
    headers = request.get("headers", {})
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin")
    same = site in ("same-origin", "none") if site else not origin or _host_of(origin) == headers.get("host")
    if not same:
        raise GlioLoopError("REQUEST_FOREIGN", f"from {origin or site}")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # brackets that hold no address
        return "no host at all"


def record_commands(trail: Callable[[], AuditTrail]) -> None:
    """Name the audit trail that every command (POST) is written to before it is obeyed; asked for at every command."""
    global _trail  # noqa: PLW0603 - one node, one trail; routes are made by several classes
    _trail = trail


def _on_record(uri: str, request: dict[str, Any]) -> None:
    if _trail is not None:
        body = bytes(request.get("body") or b"")[:_MOST_RECORDED].decode(errors="replace")
        _trail().append("asked", uri, user_of(request), {"body": body} if body else {})


def user_of(request: dict[str, Any]) -> str:
    """Return Orthanc's user behind a request; Orthanc has checked the password before."""
    kind, _, credentials = request.get("headers", {}).get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return kind.lower() or "anonymous"
    try:
        return b64decode(credentials).decode().partition(":")[0][:_LONGEST_USER]
    except ValueError:
        return "unreadable"


def _send(output: Any, status: int, answer: Any) -> None:
    # No sniffing: an answer is what its Content-Type says.
    output.SetHttpHeader("X-Content-Type-Options", "nosniff")
    if isinstance(answer, Content):
        for name, value in answer.headers.items():
            output.SetHttpHeader(name, value)
        output.AnswerBuffer(answer.body, answer.kind)
    elif isinstance(answer, bytes):
        output.AnswerBuffer(answer, "image/png")
    elif isinstance(answer, str):
        output.AnswerBuffer(answer, "text/plain; version=0.0.4")
    elif status == 200:
        output.AnswerBuffer(json.dumps(answer), "application/json")
    else:
        output.SetHttpHeader("Content-Type", "application/json")
        _send_status(output, status, json.dumps(answer))


def _send_status(output: Any, status: int, text: str) -> None:
    try:
        output.SendHttpStatus(status, text)
    except TypeError:  # plugin 4.0 wants the length, too
        output.SendHttpStatus(status, text, len(text))


def body_of(request: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON object in a request's body; an empty body is an empty object.

    Raises
    ------
    GlioLoopError
        REQUEST_INVALID.
    """
    return parse_object(bytes(request.get("body") or b""))


def number(request: dict[str, Any], name: str, default: int, highest: int) -> int:
    """Return a whole number from the query string.

    Raises
    ------
    GlioLoopError
        REQUEST_INVALID.
    """
    text = request.get("get", {}).get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > highest:
        raise GlioLoopError("REQUEST_INVALID", f"{name}: a number from 0 to {highest}")
    return int(text)
