"""Alert rules and dashboard: checked by Debian's promtool, and held against the metrics that the node has."""

import json
import re
import subprocess

import pytest
import yaml  # type: ignore[import-untyped]

from pipeline.settings import ROOT
from tests.prometheus import FOLDER, program

SOURCES = [path for part in ("plugin", "pipeline") for path in (ROOT / part).rglob("*.py")]


def _metrics() -> set[str]:
    pattern = r"Gauge\(\s*\"(glioloop_\w+)\""
    return {name for path in SOURCES for name in re.findall(pattern, path.read_text())}


@pytest.mark.parametrize("arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts-test.yml")])
def test_promtool_takes_the_rules_and_each_fires_where_it_should(arguments: tuple[str, ...]) -> None:
    if (promtool := program("promtool")) is None:
        pytest.skip("Debian's package prometheus, which has promtool, is not there")
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_ask_for_metrics_that_there_are() -> None:
    rules = [
        rule["expr"]
        for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
        for rule in group["rules"]
    ]
    dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    shown = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = set(re.findall(r"glioloop_\w+", " ".join(rules + shown)))
    assert asked <= _metrics()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
