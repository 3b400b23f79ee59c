"""Roles: what each may do, whom a proxy speaks for, and that what was refused is on record."""

import json
from collections.abc import Iterator

import httpx
import pytest

from pipeline.audit import AuditTrail
from pipeline.database.engine import database_in
from pipeline.settings import Role, Roles
from plugin.routes.table import ROUTES
from tests.orthanc.conftest import Pair, make_pair

ROLES = {
    "Users": {"glioloop": "administrator", "doctor": "operator"},
    "Otherwise": "reader",
    "ProxyUser": "proxy",
    "Groups": {"radiology": "operator", "it": "administrator"},
}
JOB = f"/glioloop/jobs/{'0' * 32}"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A node with several users."""
    made = make_pair(tmp_path_factory.mktemp("roles"), Roles=ROLES)
    file = made.node.configuration.credentials_file
    users = json.loads(file.read_text())
    users["RegisteredUsers"] |= dict.fromkeys(("doctor", "guest", "proxy"), "password")
    file.write_text(json.dumps(users))
    with made.node:
        made.wait_ready()
        yield made


def _asked(pair: Pair, user: str, method: str, path: str, **headers: str) -> int:
    password = pair.node.configuration.password if user == "glioloop" else "password"
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = httpx.request(
        method, pair.node.configuration.url + path, auth=(user, password), headers=sent, trust_env=False
    )
    if answer.status_code == httpx.codes.FORBIDDEN:
        assert answer.json()["error"]["code"] == "ROLE_MISSING"
    return answer.status_code


def test_users(pair: Pair) -> None:
    for user in ("glioloop", "doctor", "guest"):
        assert _asked(pair, user, "GET", "/glioloop/jobs") == 200
        assert _asked(pair, user, "GET", "/glioloop/app/") == 200
    assert _asked(pair, "guest", "POST", f"{JOB}/cancel") == 403
    assert _asked(pair, "doctor", "POST", f"{JOB}/cancel") == 404
    assert _asked(pair, "doctor", "POST", "/glioloop/models/rollback") == 403
    assert _asked(pair, "glioloop", "POST", "/glioloop/models/rollback") == 404
    for user, role in (("glioloop", "administrator"), ("doctor", "operator"), ("guest", "reader")):
        password = pair.node.configuration.password if user == "glioloop" else "password"
        url = f"{pair.node.configuration.url}/glioloop/user"
        answer = httpx.get(url, auth=(user, password), trust_env=False).json()
        assert answer == {"name": user, "role": role}
    # Only the proxy speaks for others.
    assert _asked(pair, "guest", "POST", f"{JOB}/cancel", X_Forwarded_Groups="it", X_Forwarded_User="ann") == 403


def test_a_proxy_speaks_for_others(pair: Pair) -> None:
    promote = "/glioloop/models/a/1/promote"
    assert _asked(pair, "proxy", "POST", f"{JOB}/cancel") == 403
    assert _asked(pair, "proxy", "POST", f"{JOB}/cancel", X_Forwarded_User="ann") == 403
    radiology = {"X_Forwarded_User": "bob@example.org", "X_Forwarded_Groups": "all, radiology"}
    assert _asked(pair, "proxy", "POST", f"{JOB}/cancel", **radiology) == 404
    assert _asked(pair, "proxy", "POST", promote, **radiology) == 403
    assert _asked(pair, "proxy", "POST", promote, X_Forwarded_User="eve", X_Forwarded_Groups="radiology,it") == 404
    entries = list(AuditTrail(database_in(pair.node.configuration.state_folder)).entries())
    denied = [(one.subject, one.who, one.data["role"]) for one in entries if one.event == "denied"]
    assert (promote, "bob@example.org", "operator") in denied
    asked = [(one.subject, one.who) for one in entries if one.event == "asked"]
    assert (promote, "eve") in asked
    assert (promote, "bob@example.org") not in asked


def test_what_is_the_administrators() -> None:
    needed = {(route.method, route.path): route.role for route in ROUTES}
    for path in (
        "models/{name}/{version}/promote",
        "models/rollback",
        "feedback/{case}/trust",
        "feedback/{case}/delete",
    ):
        assert needed["POST", f"/glioloop/{path}"] is Role.ADMINISTRATOR
    assert {role for (method, _), role in needed.items() if method == "POST"} > {Role.OPERATOR}
    assert Roles().who("anybody", {}) == ("anybody", Role.ADMINISTRATOR)  # as before there were roles
    for given in ({"users": {"ann": "operator"}}, {"groups": {"it": "administrator"}}, {"proxy_user": "proxy"}):
        assert Roles.model_validate(given).who("anybody", {}) == ("anybody", Role.READER), given
