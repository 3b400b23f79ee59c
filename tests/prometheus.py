"""Debian's real Prometheus with the scrape and the rules of deploy/prometheus, for a node of a test's own."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import yaml  # type: ignore[import-untyped]

from pipeline.node import LOOPBACK, NodeConfiguration, free_port
from pipeline.settings import ROOT

FOLDER = ROOT / "deploy" / "prometheus"
#: Where the launcher unpacks the package, whose installation would start a service.
_UNPACKED = ROOT / ".state" / "prometheus" / "usr" / "bin"


def program(name: str) -> str | None:
    """Return a program of the package; None where there is none."""
    return shutil.which(name) or shutil.which(name, path=str(_UNPACKED))


@dataclass(frozen=True)
class Prometheus:
    """A running one."""

    url: str

    def value(self, query: str) -> float | None:
        """Return the value of an expression that has one, None where there is nothing or nobody answers."""
        try:
            answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query})
        except httpx.TransportError:
            return None
        found = answer.raise_for_status().json()["data"]["result"] if answer.is_success else []
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        found = httpx.get(f"{self.url}/api/v1/alerts").raise_for_status().json()["data"]["alerts"]
        return {one["labels"]["alertname"] for one in found if one["state"] == "firing"}


@contextmanager
def running(folder: Path, node: NodeConfiguration) -> Iterator[Prometheus]:
    """Run it as it is shipped, but for the node's address and password, and with a second between looks."""
    port = free_port()
    folder.mkdir()
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (scrape,) = configuration["scrape_configs"]
    (folder / "password").write_text(node.password)
    scrape["basic_auth"] = {"username": node.user, "password_file": str(folder / "password")}
    scrape["static_configs"] = [{"targets": [f"{LOOPBACK}:{node.http_port}"]}]
    scrape["scrape_interval"] = scrape["scrape_timeout"] = "1s"
    configuration["global"] = {"evaluation_interval": "1s"}
    configuration["rule_files"] = [str(FOLDER / name) for name in configuration["rule_files"]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    command = [
        program("prometheus") or "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield Prometheus(f"http://{LOOPBACK}:{port}")
        finally:
            process.terminate()
