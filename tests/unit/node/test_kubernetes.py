"""deploy/kubernetes/: the containers of docker-compose.yml, as hardened, and by Kubernetes' own schemas."""

from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from pipeline.settings import ROOT

FILE = ROOT / "deploy" / "kubernetes" / "glioloop.yaml"


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(FILE.read_text()))


def test_every_resource_is_what_its_schema_says(resources: list[dict[str, Any]]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate brings the schemas")
    for resource in resources:
        validate.validate(resource, "1.37", strict=True)


def test_containers_are_hardened_and_have_the_settings_of_compose(resources: list[dict[str, Any]]) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    pods = [one["spec"]["template"]["spec"] for one in resources if one["kind"] in ("Deployment", "StatefulSet")]
    assert sorted(pod["containers"][0]["name"] for pod in pods) == ["orthanc", "postgres", "worker"]
    for pod in pods:
        (container,) = pod["containers"]
        assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsNonRoot"]) == (999, True)
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not container["securityContext"]["allowPrivilegeEscalation"]
        service = services[container["name"]]
        assert container["image"].rpartition("/")[2] == service["image"].rpartition("/")[2]
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        wanted = {volume.rpartition(":")[2] for volume in service["volumes"]} | {"/tmp", "/run/secrets"}
        assert mounted == wanted
    (shared,) = [one["data"] for one in resources if one["kind"] == "ConfigMap"]
    assert shared.items() <= services["worker"]["environment"].items()
