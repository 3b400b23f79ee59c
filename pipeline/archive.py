"""The archive as the pipeline sees it: Orthanc's REST API, over HTTP or from inside the plugin."""

import ssl
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import httpx

from pipeline.errors import GlioLoopError
from pipeline.settings import Settings

#: How long an idle connection is used again: less than Orthanc keeps it (0.5 s in 1.10, 1 s later). One that Orthanc
#: closes at the moment of a request fails that request.
KEPT_SECONDS: Final = 0.4


class Archive(Protocol):
    """What identification and job submission need of Orthanc, wherever they run."""

    def get(self, path: str) -> Any:
        """Return the parsed JSON answer of ``GET path``; None where there is no such resource."""

    def post(self, path: str, body: str | bytes) -> Any:
        """Return the parsed JSON answer of ``POST path``."""


def _trust(settings: Settings) -> ssl.SSLContext | bool:
    """Trust the named certificate and nothing else, or the system's authorities where none is named.

    On this machine the certificate itself is the identity (it bears the hospital's name for the host, not
    127.0.0.1); elsewhere the name must match, too.
    """
    if settings.orthanc_certificate is None:
        return True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=settings.orthanc_certificate)
    except OSError as error:
        raise GlioLoopError("CONFIGURATION_INVALID", f"OrthancCertificate: {error.strerror or error}") from error
    # A leaf is enough of an anchor: it is pinned.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = urlsplit(settings.orthanc_url).hostname not in ("127.0.0.1", "localhost", "::1")
    return context


class HttpArchive:
    """Orthanc over HTTP, for workers.

    Parameters
    ----------
    settings
        Takes ``orthanc_url`` and the token or user of it.
    """

    def __init__(self, settings: Settings) -> None:
        token = settings.token.get_secret_value()
        self._client = httpx.Client(
            base_url=settings.orthanc_url,
            timeout=settings.http_timeout_seconds,
            headers={"Authorization": token} if token else {},
            auth=None if token else (settings.orthanc_user, settings.orthanc_password.get_secret_value()),
            trust_env=False,
            verify=_trust(settings),
            limits=httpx.Limits(keepalive_expiry=KEPT_SECONDS),
        )

    def get(self, path: str) -> Any:
        """See :class:`Archive`.

        Raises
        ------
        GlioLoopError
            ORTHANC_UNREACHABLE.
        """
        response = self._request("GET", path)
        return None if response is None else response.json()

    def post(self, path: str, body: str | bytes) -> Any:
        """See :class:`Archive`.

        Raises
        ------
        GlioLoopError
            ORTHANC_UNREACHABLE; STORE_FAILED where Orthanc refuses what was posted.
        """
        response = self._request("POST", path, content=body)
        return None if response is None else response.json()

    def download(self, path: str, target: Path, most_bytes: int | None = None) -> bool:
        """Write the answer of ``GET path`` to a file, streamed; False where there is no such resource.

        Raises
        ------
        GlioLoopError
            ORTHANC_UNREACHABLE; INPUT_TOO_LARGE for more than ``most_bytes``.
        """
        try:
            with self._client.stream("GET", path) as response:
                if response.status_code == httpx.codes.NOT_FOUND:
                    return False
                response.raise_for_status()
                with target.open("wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
                        if most_bytes is not None and file.tell() > most_bytes:
                            raise GlioLoopError("INPUT_TOO_LARGE", f"{path}: more than {most_bytes} bytes")
        except httpx.HTTPError as error:
            raise GlioLoopError("ORTHANC_UNREACHABLE", f"GET {path}: {type(error).__name__}") from error
        return True

    def _request(self, method: str, path: str, content: str | bytes | None = None) -> httpx.Response | None:
        try:
            response = self._client.request(method, path, content=content)
        except httpx.HTTPError as error:
            raise GlioLoopError("ORTHANC_UNREACHABLE", f"{method} {path}: {type(error).__name__}") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN) or response.is_server_error:
            # Orthanc answers 500 and 503 while it starts, stops, or its disk is full: worth another try.
            raise GlioLoopError("ORTHANC_UNREACHABLE", f"{method} {path}: HTTP {response.status_code}")
        if response.is_error:
            raise GlioLoopError("STORE_FAILED", f"{method} {path}: HTTP {response.status_code}")
        return response
