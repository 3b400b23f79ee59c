"""docker-compose.yml as far as it can be checked without a container engine: tests/containers runs it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from sqlalchemy.engine import make_url

from pipeline.node import read_commented_json
from pipeline.node.container import configuration, database_url
from pipeline.settings import ROOT, load_settings


def _substituted(text: str) -> str:
    """Do what compose does with ``${NAME:-default}`` and ``${NAME:?message}``."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: found.group(2) or "", text)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(_substituted((ROOT / "docker-compose.yml").read_text()))
    return dict(content["services"])


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A folder of secrets, of which one holds what an address must not."""
    for name in ("glioloop", "workstation", "postgres"):
        (tmp_path / f"{name}_password").write_text(f"secret of {name}/@:\n")
    return tmp_path


@pytest.mark.parametrize(("service", "kind"), [("orthanc", "node"), ("workstation", "workstation")])
def test_the_overlay_opens_the_container_and_keeps_authentication(
    services: dict[str, Any], secrets: Path, service: str, kind: str
) -> None:
    assert services[service]["command"][-1] == kind
    environment = {key: str(value) for key, value in services[service]["environment"].items()}
    if kind == "node":
        environment.pop("DATABASE_HOST")  # this machine may lack the plugin
    made = configuration(kind, environment, secrets)
    assert made["AuthenticationEnabled"] is True
    assert all(password.startswith("secret of") for password in made["RegisteredUsers"].values())
    assert made["HttpBindAddresses"] == ["0.0.0.0"]
    assert Path(made["StorageDirectory"]).is_absolute()
    assert str(made["HttpPort"]) in services[service]["ports"][0]
    assert str(made["DicomPort"]) in services[service]["ports"][1]
    assert all(port.startswith("127.0.0.1:") for port in services[service]["ports"])
    assert set(json.loads(environment["ORTHANC_JSON"])["DicomModalities"]) == set(made["DicomModalities"])


def test_no_secret_is_in_the_environment(services: dict[str, Any], secrets: Path) -> None:
    for service in services.values():
        assert not [name for name in service.get("environment", {}) if "PASSWORD" in name or "TOKEN" in name]
    url = make_url(database_url("postgres", secrets))
    assert (url.password, url.host, url.database) == ("secret of postgres/@:", "postgres", "glioloop")


def test_node_and_worker_have_the_same_settings(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for service in ("orthanc", "worker"):
        with monkeypatch.context() as patch:
            for name, value in services[service]["environment"].items():
                patch.setenv(name, str(value))
            settings = load_settings(read_commented_json(ROOT / "orthanc.json")["GlioLoop"])
        seen.append(settings.model_dump(exclude={"orthanc_url", "orthanc_user", "orthanc_password"}))
    assert seen[0] == seen[1]
    assert seen[0]["workers"] == 0
    assert services["orthanc"]["environment"]["DATABASE_HOST"] == services["worker"]["environment"]["DATABASE_HOST"]
    modalities = json.loads(services["orthanc"]["environment"]["ORTHANC_JSON"])["DicomModalities"]
    assert {one["modality"] for one in seen[0]["destinations"]} <= set(modalities)


def test_containers_have_no_rights_that_they_do_not_need(services: dict[str, Any]) -> None:
    assert set(services) == {"orthanc", "worker", "workstation", "postgres"}
    for name, service in services.items():
        assert service["user"] == "999:999", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        writable = [volume for volume in service.get("volumes", []) if ":" in volume and not volume.endswith(":ro")]
        assert all(not volume.startswith((".", "/")) for volume in writable), f"{name} writes to the host: {writable}"


def test_no_image_ends_as_root(services: dict[str, Any]) -> None:
    stages = re.split(r"^FROM .* AS ", (ROOT / "deploy" / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    users = {stage.split()[0]: re.findall(r"^USER (.*)$", stage, re.MULTILINE)[-1:] for stage in stages}
    for service in services.values():
        assert users[service["build"]["target"]] == ["999:999"]


def test_every_file_that_is_copied_exists_and_is_let_through() -> None:
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (.*)", (ROOT / "deploy" / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in copied for source in line.split()[:-1]]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert f"!{Path(source).parts[0]}" in let_through, source
