"""Orthanc Explorer 2's buttons, held against what its documentation asks of them and against the node's own routes.

The plugin is in no Debian release, so it is not run here. The keys are those of its ``DefaultConfiguration.json``.
"""

import json
import re
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from pipeline.jobs.request import ProcessOptions
from pipeline.settings import ROOT
from plugin.routes.table import ROUTES, pattern_of

STUDY = "27f7126f-4f66fb14-03f4081b-f9341db2-53925988"
#: What a button of each kind must have, and may have besides.
KEYS = {
    "GET": ({"HttpMethod", "Id", "Tooltip", "Icon", "Url"}, {"Target"}),
    "POST": ({"HttpMethod", "Id", "Tooltip", "Icon", "Url", "Payload", "Refresh"}, set()),
}


def _buttons() -> list[dict[str, Any]]:
    section = json.loads((ROOT / "deploy" / "orthanc-explorer-2.json").read_text())["OrthancExplorer2"]
    assert list(section) == ["UiOptions"] and list(section["UiOptions"]) == ["CustomButtons"]
    assert set(section["UiOptions"]["CustomButtons"]) == {"study"}
    return list(section["UiOptions"]["CustomButtons"]["study"])


def test_each_has_an_id_of_its_own() -> None:
    identities = [one["Id"] for one in _buttons()]
    assert len(set(identities)) == len(identities) >= 3


@pytest.mark.parametrize("button", _buttons(), ids=lambda one: one["Id"])
def test_a_button_has_the_keys_that_are_documented(button: dict[str, Any]) -> None:
    needed, allowed = KEYS[button["HttpMethod"]]
    assert needed <= set(button) <= needed | allowed
    assert re.fullmatch(r"bi bi-[a-z0-9-]+", button["Icon"])  # bootstrap icons, the only ones it has
    assert button["Tooltip"] and button.get("Target", "_blank") == "_blank"
    assert isinstance(button.get("Refresh", True), bool)


@pytest.mark.parametrize("root", ["http://node:8042/", "https://hospital/orthanc/"])
@pytest.mark.parametrize("button", _buttons(), ids=lambda one: one["Id"])
def test_a_button_reaches_a_route_of_the_node(button: dict[str, Any], root: str) -> None:
    """Its page lies at ui/app/, also behind a proxy that puts a prefix before it."""
    url = urljoin(f"{root}ui/app/", button["Url"].replace("{UUID}", STUDY))
    assert url.startswith(f"{root}glioloop/") and "{" not in url
    path = f"/{url.removeprefix(root)}"
    if button["HttpMethod"] == "POST":
        assert any(one.method == "POST" and re.fullmatch(pattern_of(one.path), path) for one in ROUTES)
        assert ProcessOptions.model_validate(button["Payload"])
    else:
        assert urlsplit(path).path == "/glioloop/app/"
        pages = (ROOT / "plugin" / "app" / "main.js").read_text()
        study = next(line for line in pages.splitlines() if "new StudyPage" in line)
        pattern = re.search(r"\[/(.*)/, ", study)
        assert pattern is not None and re.fullmatch(pattern.group(1).replace("\\/", "/"), f"#{urlsplit(path).fragment}")
