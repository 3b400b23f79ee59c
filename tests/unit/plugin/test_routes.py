"""The table of routes, the OpenAPI description and the page for readers name the same routes."""

import json
import re
from pathlib import Path

import pytest

from plugin.routes.table import PARAMETERS, ROUTES, pattern_of

DOCS = Path(__file__).resolve().parents[3] / "docs"
#: Files of the dashboard, which are no table of routes.
APP = ("GET", "/glioloop/app/")


def _table() -> set[tuple[str, str]]:
    return {(route.method, route.path) for route in ROUTES} | {APP}


def test_openapi_describes_every_route_and_no_other() -> None:
    paths = json.loads((DOCS / "openapi.json").read_text())["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == _table()


def test_openapi_gives_the_parameters_that_a_path_names() -> None:
    paths = json.loads((DOCS / "openapi.json").read_text())["paths"]
    for path, methods in paths.items():
        for operation in methods.values():
            given = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
            assert given == re.findall(r"\{(\w+)\}", path), path


def test_the_page_lists_every_route_and_no_other() -> None:
    rows = re.findall(r"^\| `(GET|POST) (/glioloop/[^`?]*)", (DOCS / "rest.md").read_text(), re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == _table()


def test_no_path_is_answered_twice() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    example = {
        "study": "1.2.3",
        "patient": "P 1",
        "job": "0" * 32,
        "case": f"{1:016x}-v1",
        "edit": f"edit-{1:016x}",
        "run": f"finetune-{1:012x}",
        "sequence": "t1",
        "which": "now",
        "fetch": "fetch-1",
    }
    assert PARAMETERS.keys() - example.keys() == {"name", "version"}
    for path in {route.path for route in ROUTES}:
        filled = re.sub(r"\{(\w+)\}", lambda found: example.get(found[1], "a"), path)
        matching = {other for other in {route.path for route in ROUTES} if re.fullmatch(pattern_of(other), filled)}
        assert matching == {path}, filled


@pytest.mark.parametrize("path", ["/glioloop/jobs/..", "/glioloop/feedback/x", "/glioloop/finetune/finetune-1"])
def test_what_is_no_identifier_is_no_route(path: str) -> None:
    assert not any(re.fullmatch(pattern_of(route.path), path) for route in ROUTES)
