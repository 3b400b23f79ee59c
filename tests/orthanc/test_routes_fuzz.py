"""Every route of the OpenAPI description with what it does not expect: refused with a reason, never a 500."""

import json
import random
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from plugin.routes.table import PARAMETERS
from tests.orthanc.conftest import Pair

ROOT = Path(__file__).resolve().parent.parent.parent
ROUNDS = 12
EXAMPLES = {
    "study": "1.2.3",
    "job": "0" * 32,
    "case": f"{0:016x}-v1",
    "edit": f"edit-{0:016x}",
    "run": f"finetune-{0:012x}",
    "which": "now",
    "fetch": "fetch-1",
}
WORDS = (
    "", "0", "-1", "1.2.3", "a" * 64, "f" * 32, "..", "../..", "%00", "\n", "é", "'; --", "<script>", "{}", "None",
    "00000000-00000000-00000000-00000000-00000000", "9" * 40, "٣", "\ud7ff", "NaN",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**30, 1e308, "", "x" * 5000, [], {}, [[]], {"t1": 1}, {"t1": "x"}, ["nowhere"], "a@b", "\x00",
)  # fmt: skip


def _body(rng: random.Random) -> bytes:
    keys = ("force", "model", "series", "destinations", "priority", "steps", "learn_from", "patient", "other")
    body = {rng.choice(keys): rng.choice(VALUES) for _ in range(rng.randrange(4))}
    content = json.dumps(body).encode()
    return rng.choice((content, content, content[: len(content) // 2], bytes(rng.randbytes(40)), b"null", b"[1]"))


def test_no_route_breaks(shared_pair: Pair) -> None:
    """A seeded few hundred requests; schemathesis runs against the same description."""
    rng = random.Random(8)
    with shared_pair.node.client() as client:
        description = client.get("/glioloop/openapi.json").raise_for_status().json()
        assert description == json.loads((ROOT / "docs" / "openapi.json").read_text())
        for template, methods in description["paths"].items():
            for method in methods:
                for _ in range(ROUNDS):
                    path = template
                    for name in PARAMETERS:
                        path = path.replace(f"{{{name}}}", quote(rng.choice(WORDS[1:]), safe=""))
                    query = {rng.choice(("study", "limit", "offset")): rng.choice(WORDS)}
                    content = _body(rng) if method == "post" else None
                    answer = client.request(method.upper(), path, params=query, content=content)
                    assert answer.status_code != httpx.codes.INTERNAL_SERVER_ERROR, (method, path, query, content)
                    if method != "get":
                        assert answer.status_code < 600
        assert client.get("/system").status_code == httpx.codes.OK


def test_every_route_is_described(shared_pair: Pair) -> None:
    """Other methods than those described are refused."""
    with shared_pair.node.client() as client:
        for template, methods in client.get("/glioloop/openapi.json").json()["paths"].items():
            path = re.sub(r"\{(\w+)\}", lambda found: EXAMPLES.get(found[1], "t1"), template)
            for method in {"get", "post", "put", "delete"} - set(methods):
                assert client.request(method.upper(), path).status_code == 405, (method, path)
