"""A connection to the REST API of an Orthanc that this machine runs, for whoever started it."""

import ssl
from typing import Final

import httpx

from pipeline.archive.client import KEPT_SECONDS, usual_trust

#: A client whose paths begin at the server's root.
Connection = httpx.Client
#: What a connection raises where nobody answers.
Unreachable: Final = httpx.TransportError
#: What it raises whatever went wrong.
Failed: Final = httpx.HTTPError


def connect(
    url: str, user: str, password: str, timeout_seconds: float, trust: ssl.SSLContext | None = None
) -> Connection:
    """Return a connection with these credentials; proxies of the environment play no part."""
    return httpx.Client(
        base_url=url,
        auth=(user, password),
        timeout=timeout_seconds,
        trust_env=False,
        verify=trust or usual_trust(),
        limits=httpx.Limits(keepalive_expiry=KEPT_SECONDS),
    )
