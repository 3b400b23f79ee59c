"""Answers of the node's routes: JSON in and out, sizes bounded, every error with its code and hint."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orthanc
from pydantic import BaseModel, JsonValue

from pipeline.audit import AuditTrail
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import exhausted, place_of, trace_of
from pipeline.records import Document, Record
from pipeline.settings import Role, Roles
from plugin.routes.request import Output, Request

_STATUS: Final = {
    "STUDY_UNKNOWN": 404,
    "JOB_UNKNOWN": 404,
    "PATIENT_UNKNOWN": 404,
    "MODEL_UNKNOWN": 404,
    "PAGE_UNKNOWN": 404,
    "CHANNEL_UNKNOWN": 404,
    "FETCH_UNKNOWN": 404,
    "FEEDBACK_UNKNOWN": 404,
    "REQUEST_INVALID": 400,
    "REQUEST_FOREIGN": 403,
    "ROLE_MISSING": 403,
    "JOB_STATE": 409,
    "SURFACES_LACKING": 404,
    "RESULT_LACKING": 409,
    "RESULT_SUPERSEDED": 409,
    "READERS_TOO_FEW": 409,
    "REVIEW_ENDED": 409,
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

#: A job's result is never rewritten with other content under the same id.
RESULT_HEADERS: Final = {"Cache-Control": "private, max-age=3600"}

SURFACES_TYPE: Final = "application/octet-stream"

_MOST_RECORDED: Final = 2048
_trail: Callable[[], AuditTrail] | None = None
_roles = Roles()


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


Answer = BaseModel | Sequence[BaseModel] | Content | bytes | str
#: Takes a request; returns status and answer: a record or a list of them, a PNG's bytes, plain text or a Content.
Handler = Callable[[Request], tuple[int, Answer]]


@dataclass(frozen=True)
class Method:
    """What answers a method of a path, and the role that it needs."""

    handler: Handler
    role: Role = Role.READER


class Failure(Record):
    """The answer to what was refused or went wrong."""

    error: ErrorRecord


def answered_by(methods: Mapping[str, Method]) -> Callable[..., None]:
    """Make Orthanc's REST callback of the handlers of a path.

    Parameters
    ----------
    methods
        By name; others get 405.
    """

    def callback(output: Output, uri: str, **given: Any) -> None:
        method = methods.get(given["method"])
        if method is None:
            output.SendMethodNotAllowed(",".join(methods))
            return
        request = Request(
            uri=uri,
            method=given["method"],
            groups=tuple(given.get("groups", ())),
            query=given.get("get", {}),
            headers=given.get("headers", {}),
            body=bytes(given.get("body") or b""),
        )
        answer: Answer
        try:
            request = _admitted(request, method.role)
            if request.method != "GET":
                request.refuse_foreign_pages()
                _on_record(request)
            status, answer = method.handler(request)
        except GlioLoopError as error:
            status, answer = _failed(error)
        except Exception as error:
            orthanc.LogError(f"GlioLoop: {uri}: {trace_of(error)}")
            status, answer = _failed(exhausted(error, uri) or GlioLoopError("INTERNAL", place_of(error)))
        _send(output, status, answer)

    return callback


def _admitted(request: Request, needed: Role) -> Request:
    """The request with who asks; what their role does not allow is refused, and on record.

    Raises
    ------
    GlioLoopError
        ROLE_MISSING.
    """
    user, role = _roles.who(request.user, request.headers)
    if not role.suffices(needed):
        if _trail is not None:
            _trail().append("denied", request.uri, user, {"role": role.value, "needed": needed.value})
        raise GlioLoopError("ROLE_MISSING", f"{request.method} needs {needed.value}; {user} is {role.value}")
    return replace(request, named=user, role=role)


def _failed(error: GlioLoopError) -> tuple[int, Failure]:
    return _STATUS.get(error.code, _UNPROCESSABLE), Failure(error=ErrorRecord.of(error))


def record_commands(trail: Callable[[], AuditTrail], roles: Roles) -> None:
    """Name who may do what, and the audit trail that every command (POST) is written to before it is obeyed.

    The trail is asked for at every command.
    """
    global _trail, _roles
    _trail, _roles = trail, roles


def _on_record(request: Request) -> None:
    if _trail is not None:
        body = request.body[:_MOST_RECORDED].decode(errors="replace")
        _trail().append("asked", request.uri, request.user, {"body": body} if body else {})


def _send(output: Output, status: int, answer: Answer) -> None:
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
        output.AnswerBuffer(_json(answer), "application/json")
    else:
        output.SetHttpHeader("Content-Type", "application/json")
        _send_status(output, status, _json(answer))


def _json(answer: BaseModel | Sequence[BaseModel]) -> str:
    return json.dumps(_document(answer) if isinstance(answer, BaseModel) else [_document(one) for one in answer])


def _document(answer: BaseModel) -> JsonValue:
    return answer.as_json() if isinstance(answer, Document) else answer.model_dump(mode="json")


def _send_status(output: Output, status: int, text: str) -> None:
    try:
        output.SendHttpStatus(status, text)
    except TypeError:  # plugin 4.0 wants the length, too
        output.SendHttpStatus(status, text, len(text))
