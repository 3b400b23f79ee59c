"""The archive as the pipeline sees it: Orthanc's REST API, over HTTP or from inside the plugin."""

import functools
import json
import shutil
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from pydantic import JsonValue

from pipeline.errors import GlioLoopError
from pipeline.settings import Settings

#: How long an idle connection is used again: less than Orthanc keeps it (0.5 s in 1.10, 1 s later). One that Orthanc
#: closes at the moment of a request fails that request.
KEPT_SECONDS: Final = 0.4

_FETCHED_AT_ONCE: Final = 4

#: The only answers that say that something is not there; all else says nothing about it.
_ABSENT: Final = (httpx.codes.NOT_FOUND, httpx.codes.GONE)
#: What other answers than success mean. Errors of the server are worth another try: Orthanc gives them while it starts,
#: stops, or its disk is full.
_CODES: Final[dict[int, str]] = {
    httpx.codes.UNAUTHORIZED: "ORTHANC_DENIED",
    httpx.codes.FORBIDDEN: "ORTHANC_DENIED",
    httpx.codes.PROXY_AUTHENTICATION_REQUIRED: "ORTHANC_DENIED",
    httpx.codes.REQUEST_TIMEOUT: "ORTHANC_UNREACHABLE",
    httpx.codes.LOCKED: "ORTHANC_UNREACHABLE",
    httpx.codes.TOO_EARLY: "ORTHANC_UNREACHABLE",
    httpx.codes.TOO_MANY_REQUESTS: "ORTHANC_UNREACHABLE",
    httpx.codes.REQUEST_ENTITY_TOO_LARGE: "ARCHIVE_FULL",
    httpx.codes.INSUFFICIENT_STORAGE: "ARCHIVE_FULL",
}


@functools.cache
def usual_trust() -> ssl.SSLContext:
    """Trust the usual authorities; reading them takes longer than most requests, so they are read once."""
    return httpx.create_ssl_context(trust_env=False)


def trust(settings: Settings) -> ssl.SSLContext:
    """Trust the named certificate and nothing else, or the usual authorities where none is named.

    On this machine the certificate itself is the identity (it bears the hospital's name for the host, not
    127.0.0.1); elsewhere the name must match, too.
    """
    if settings.orthanc_certificate is None:
        return usual_trust()
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
            verify=trust(settings),
            limits=httpx.Limits(keepalive_expiry=KEPT_SECONDS),
        )

    def get(self, path: str) -> Any:
        """See :class:`Archive`."""
        return self._request("GET", path)

    def post(self, path: str, body: str | bytes) -> Any:
        """See :class:`Archive`."""
        return self._request("POST", path, content=body)

    def delete(self, path: str) -> None:
        """Remove a resource; one that is not there any more is as good.

        Raises
        ------
        GlioLoopError
            As :meth:`get`.
        """
        self._request("DELETE", path)

    def download(
        self, path: str, target: Path, most_bytes: int | None = None, body: Mapping[str, JsonValue] | None = None
    ) -> bool:
        """Write the answer of ``GET path`` to a file, streamed; False where there is no such resource.

        With a body it is ``POST path``.

        Raises
        ------
        GlioLoopError
            As :meth:`get`; INPUT_TOO_LARGE for more than ``most_bytes``.
        """
        try:
            with self._client.stream("GET" if body is None else "POST", path, json=body) as response:
                if not _is_there(response):
                    return False
                with target.open("wb") as file:
                    for chunk in response.iter_bytes():
                        file.write(chunk)
                        if most_bytes is not None and file.tell() > most_bytes:
                            raise GlioLoopError("INPUT_TOO_LARGE", f"{path}: more than {most_bytes} bytes")
        except httpx.HTTPError as error:
            raise GlioLoopError("ORTHANC_UNREACHABLE", f"GET {path}: {type(error).__name__}") from error
        return True

    def _request(self, method: str, path: str, content: str | bytes | None = None) -> Any:
        try:
            response = self._client.request(method, path, content=content)
        except httpx.HTTPError as error:
            raise GlioLoopError("ORTHANC_UNREACHABLE", f"{method} {path}: {type(error).__name__}") from error
        # Orthanc answers some deletions with nothing at all.
        there = _is_there(response) and (method != "DELETE" or response.content)
        return parsed(response.content, f"{method} {path}") if there else None


def _is_there(response: httpx.Response) -> bool:
    """Tell whether an answer holds what was asked for, or says that it is not there; raise for every other one."""
    status = response.status_code
    if response.is_success:
        return True
    if status in _ABSENT:
        return False
    code = _CODES.get(status) or ("ORTHANC_UNREACHABLE" if response.is_server_error else "ORTHANC_REFUSED")
    detail = f"{response.request.method} {response.request.url.path}: HTTP {status}"
    raise GlioLoopError(code, detail, {"http_status": status})


def fetch_image(archive: HttpArchive, instance: str, target: Path, most_bytes: int) -> None:
    """Write one instance to a file; an image that is being sent again is gone for a moment and comes back.

    Raises
    ------
    GlioLoopError
        STUDY_GONE where it is not there any more, IMAGE_WITHHELD where the archive lists it and does not hand it out;
        what :meth:`HttpArchive.download` raises.
    """
    for wait in (0.0, 0.5, 2.0, 5.0):
        time.sleep(wait)
        if archive.download(f"/instances/{instance}/file", target, most_bytes):
            return
    listed = archive.get(f"/instances/{instance}") is not None
    raise GlioLoopError("IMAGE_WITHHELD" if listed else "STUDY_GONE", f"instance {instance}")


def fetch_series(
    archive: HttpArchive,
    instances: Iterable[str],
    folder: Path,
    most_bytes: int,
    fetched: Callable[[], None] = lambda: None,
) -> None:
    """Write the instances of a series to a folder, in place of what lies there; ``fetched`` is called after each.

    Several are asked for at once: of one after the other, most of the time is waiting.

    Raises
    ------
    GlioLoopError
        What :func:`fetch_image` raises.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def fetch(instance: str) -> None:
        fetch_image(archive, instance, folder / f"{instance}.dcm", most_bytes)

    pool = ThreadPoolExecutor(_FETCHED_AT_ONCE)
    try:
        for _ in pool.map(fetch, instances):
            fetched()
    finally:
        pool.shutdown(cancel_futures=True)


def parsed(content: bytes | str, asked: str) -> Any:
    """Return an answer's JSON; one that is cut off, or a proxy's page, says nothing about what was asked.

    Raises
    ------
    GlioLoopError
        ORTHANC_UNREACHABLE.
    """
    try:
        return json.loads(content)
    except ValueError as error:
        raise GlioLoopError("ORTHANC_UNREACHABLE", f"{asked}: the answer is not JSON") from error
