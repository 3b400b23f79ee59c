"""A request as Orthanc hands it over, typed: words of its path and query, its user, its body."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from pipeline.errors import GlioLoopError
from pipeline.settings import Role
from plugin.bodies import MAX_BODY, parse_object

_LONGEST_USER: Final = 64
#: Of the keys of a body that are wrong, how many are told, and how much of each.
_MOST_TOLD: Final = 10
_LONGEST_KEY: Final = 100


_Body = TypeVar("_Body", bound=BaseModel)


class Output(Protocol):
    """What Orthanc takes an answer with; the names are Orthanc's."""

    def AnswerBuffer(self, content: str | bytes, kind: str) -> None:  # noqa: N802
        """Answer 200 with content of a type."""

    def SendHttpStatus(self, status: int, text: str, *length: int) -> None:  # noqa: N802
        """Answer a status with a text."""

    def SendMethodNotAllowed(self, allowed: str) -> None:  # noqa: N802
        """Answer 405."""

    def SetHttpHeader(self, name: str, value: str) -> None:  # noqa: N802
        """Add a header."""


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes
    ----------
    uri
        Its path.
    method
        ``GET`` or ``POST``.
    groups
        The variable parts of the path, in their order.
    query
        The query string.
    headers
        Names in small letters.
    body
        As it came.
    named
        Who asks, where that was found out: a proxy may speak for others.
    role
        Theirs, where that was found out.
    """

    uri: str
    method: str
    groups: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    named: str = ""
    role: Role = Role.READER

    @property
    def user(self) -> str:
        """Who asks: Orthanc's user, whose password Orthanc has checked before, or whom its proxy speaks for."""
        if self.named:
            return self.named[:_LONGEST_USER]
        kind, _, credentials = self.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return kind.lower() or "anonymous"
        try:
            return b64decode(credentials).decode().partition(":")[0][:_LONGEST_USER]
        except ValueError:
            return "unreadable"

    def number(self, name: str, default: int, highest: int) -> int:
        """Return a whole number from the query string.

        Raises
        ------
        GlioLoopError
            REQUEST_INVALID.
        """
        text = self.query.get(name, str(default))
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > highest:
            raise GlioLoopError("REQUEST_INVALID", f"{name}: a number from 0 to {highest}")
        return int(text)

    def options(self, kind: type[_Body], most: int = MAX_BODY) -> _Body:
        """Return the body, of so many bytes at most, as a typed record; an empty body is one without keys.

        Raises
        ------
        GlioLoopError
            REQUEST_INVALID, with the keys that are wrong.
        """
        try:
            return kind.model_validate(parse_object(self.body, most))
        except ValidationError as error:
            found = error.errors(include_input=False)
            wrong = [f"{'.'.join(map(str, e['loc']))[:_LONGEST_KEY]}: {e['msg']}" for e in found[:_MOST_TOLD]]
            wrong += [f"and {len(found) - _MOST_TOLD} more"] if len(found) > _MOST_TOLD else []
            raise GlioLoopError("REQUEST_INVALID", "; ".join(wrong)) from None

    def refuse_foreign_pages(self) -> None:
        """Refuse what a page of another origin makes a logged-in browser send.

        Browsers tell where a request comes from (Fetch Metadata: ``Sec-Fetch-Site``; older ones: ``Origin``)
        and let no script change it; programs send neither.

        Raises
        ------
        GlioLoopError
            REQUEST_FOREIGN.
        """
        site = self.headers.get("sec-fetch-site")
        origin = self.headers.get("origin")
        same = site in ("same-origin", "none") if site else not origin or _host_of(origin) == self.headers.get("host")
        if not same:
            raise GlioLoopError("REQUEST_FOREIGN", f"from {origin or site}")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:  # brackets that hold no address
        return "no host at all"
