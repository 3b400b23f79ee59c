"""docker-compose.yml as far as it can be checked without a container engine."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from pipeline.node import read_commented_json
from pipeline.settings import ROOT, load_settings

_VARIABLES = {"GLIOLOOP_PASSWORD": "secret-1", "WORKSTATION_PASSWORD": "secret-2"}


def _substituted(text: str) -> str:
    """Do what compose does with ``${NAME:-default}`` and ``${NAME:?message}``."""
    return re.sub(
        r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: _VARIABLES.get(found.group(1), found.group(2) or ""), text
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(_substituted((ROOT / "docker-compose.yml").read_text()))
    return dict(content["services"])


@pytest.mark.parametrize(
    ("service", "base"), [("orthanc", ROOT / "orthanc.json"), ("workstation", ROOT / "deploy" / "workstation.json")]
)
def test_the_overlay_opens_the_container_and_keeps_authentication(
    services: dict[str, Any], service: str, base: Path
) -> None:
    merged = read_commented_json(base) | json.loads(services[service]["environment"]["ORTHANC_JSON"])
    assert merged["AuthenticationEnabled"] is True
    assert all(password.startswith("secret") for password in merged["RegisteredUsers"].values())
    assert merged["HttpBindAddresses"] == ["0.0.0.0"]
    assert Path(merged["StorageDirectory"]).is_absolute()
    assert str(merged["HttpPort"]) in services[service]["ports"][0]
    assert str(merged["DicomPort"]) in services[service]["ports"][1]
    assert all(port.startswith("127.0.0.1:") for port in services[service]["ports"])


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
    modalities = json.loads(services["orthanc"]["environment"]["ORTHANC_JSON"])["DicomModalities"]
    assert {one["modality"] for one in seen[0]["destinations"]} <= set(modalities)


def test_containers_have_no_rights_that_they_do_not_need(services: dict[str, Any]) -> None:
    assert set(services) == {"orthanc", "worker", "workstation", "postgres"}
    for name, service in services.items():
        # Where compose says nothing, the image's own user counts (below).
        assert service.get("user", "999:999" if "build" in service else "root") == "999:999", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        writable = [volume for volume in service.get("volumes", []) if not volume.endswith(":ro")]
        assert all(not volume.startswith((".", "/")) for volume in writable), f"{name} writes to the host: {writable}"


def test_no_image_ends_as_root() -> None:
    for dockerfile in (ROOT / "deploy").glob("Dockerfile.*"):
        users = re.findall(r"^USER (.*)$", dockerfile.read_text(), re.MULTILINE)
        assert users[-1:] == ["999:999"], dockerfile.name


def test_every_file_that_is_mounted_or_copied_exists(services: dict[str, Any]) -> None:
    mounted = [volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])]
    sources = [source for source in mounted if source.startswith("./")]
    for dockerfile in (ROOT / "deploy").glob("Dockerfile.*"):
        for line in re.findall(r"^COPY (.*)", dockerfile.read_text(), re.MULTILINE):
            sources += line.split()[:-1]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source


def test_the_plugins_packages_are_those_of_the_product() -> None:
    product = (ROOT / "pyproject.toml").read_text()
    for line in (ROOT / "deploy" / "plugin-requirements.txt").read_text().splitlines():
        assert line.startswith("#") or f'"{line}"' in product, line
