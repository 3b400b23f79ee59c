"""schemathesis over the real node, from its own OpenAPI description: no answer is a 500.

It lives in an environment of its own below `.state`, made here: a dozen packages that the product has no use for.
For a long run with its systematic phase, too, set ``GLIOLOOP_ROUTES_EXAMPLES=500``.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.settings import ROOT
from tests.orthanc.conftest import Pair, send

VERSION = "4.32.5"
EXAMPLES = os.environ.get("GLIOLOOP_ROUTES_EXAMPLES", "5")
PHASES = "examples,coverage,fuzzing" if "GLIOLOOP_ROUTES_EXAMPLES" in os.environ else "examples,fuzzing"


@pytest.fixture(scope="module")
def schemathesis() -> Path:
    """The command; skips where it can't be installed."""
    folder = ROOT / ".state" / f"schemathesis-{VERSION}"
    command = folder / "bin" / "schemathesis"
    if not command.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "-qq", "--disable-pip-version-check", "install"]
        installed = subprocess.run([*pip, f"schemathesis=={VERSION}"], capture_output=True, text=True, check=False)
        if installed.returncode:
            pytest.skip(f"schemathesis could not be installed: {installed.stderr.strip()[-200:]}")
    return command


def _with_examples(description: dict[str, Any], known: dict[str, list[str]]) -> dict[str, Any]:
    """The description with what is really there as examples: random ids only ever meet a 404."""
    for methods in description["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", []):
                values = known.get(parameter["name"], [])
                if values:
                    parameter["examples"] = {str(n): {"value": value} for n, value in enumerate(values)}
    return description


def test_no_route_answers_500(
    shared_pair: Pair, schemathesis: Path, tmp_path: Path, sample_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = send(shared_pair, sample_study)
    node = shared_pair.node
    job = shared_pair.wait_job("queued", "running", "done", "refused", "failed")
    name, _, version = shared_pair.get("/glioloop/models")[0]["identity"].partition("@")
    known = {"study": [uid, job["study"]], "job": [job["id"]], "name": [name], "version": [version]}
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(_with_examples(shared_pair.get("/glioloop/openapi.json"), known)))
    monkeypatch.chdir(tmp_path)  # where it keeps what it found
    ran = subprocess.run(
        [
            str(schemathesis), "run", str(path), "--url", node.url,
            "--auth", f"{node.configuration.user}:{node.configuration.password}",
            "--checks", "not_a_server_error", "--phases", PHASES, "--max-examples", EXAMPLES,
            "--seed", "8", "--continue-on-failure", "--no-color", "--warnings", "off",
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    print(re.sub(r"\S+:\S+@|Basic \S+", "", ran.stdout)[-6000:])
    assert ran.returncode == 0, ran.stderr[-2000:]
    with node.client() as client:
        assert client.get("/system").status_code == httpx.codes.OK
        assert client.get("/glioloop/health").json()["status"] == "ok"
