"""Start of a container: the documented configuration, what this container differs in, and the secrets.

``python -m pipeline.node.container node | workstation | worker | health``. Secrets are files in /run/secrets; what is
made of them lies in memory (/tmp) or in the environment of the process that takes this one's place.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pipeline.archive.connection import connect
from pipeline.errors import GlioLoopError
from pipeline.node.configuration import (
    LOOPBACK,
    NODE_CONFIGURATION,
    PLUGIN_SCRIPT,
    USER,
    WORKSTATION_CONFIGURATION,
    read_commented_json,
)
from pipeline.node.installation import (
    DICOMWEB_PLUGIN,
    EXPLORER_2_PLUGIN,
    POSTGRESQL_PLUGIN,
    PYTHON_PLUGIN,
    SERVE_FOLDERS_PLUGIN,
    orthanc_executable,
    orthanc_plugin,
)
from pipeline.node.viewer import serve_folders_configuration
from pipeline.settings import ROOT

_SECRETS: Final = Path("/run/secrets")
_MADE: Final = Path("/tmp/orthanc.json")  # nosec B108 - the container's own
_ARCHIVE: Final = "/var/lib/glioloop-archive"
_EXPLORER_2: Final = ROOT / "deploy" / "orthanc-explorer-2.json"
_VIEWER: Final = Path("/opt/ohif")
#: Laid over the documented configuration, as JSON.
_OVERLAY_VARIABLE: Final = "ORTHANC_JSON"
_DATABASE_HOST_VARIABLE: Final = "DATABASE_HOST"
_HEALTH_SECONDS: Final = 10
#: A worker gives a sign of life every second; a machine that is busy is no reason to take it for dead.
_SILENCE_SECONDS: Final = 60


def secret(name: str, folder: Path = _SECRETS) -> str:
    """Return a secret; an end of line, which editors add, is none of it."""
    return (folder / name).read_text().rstrip("\r\n")


def configuration(kind: str, environment: Mapping[str, str], secrets: Path = _SECRETS) -> dict[str, Any]:
    """Return Orthanc's configuration in a container.

    Parameters
    ----------
    kind
        ``node`` or ``workstation``.
    environment
        ``ORTHANC_JSON``: keys that differ from the documented ones; ``DATABASE_HOST``: where the index is PostgreSQL's.
    secrets
        Folder of the secrets.
    """
    node = kind == "node"
    content = read_commented_json(NODE_CONFIGURATION if node else WORKSTATION_CONFIGURATION)
    content |= {
        # Reached by other containers only, and by what the host publishes.
        "RemoteAccessAllowed": True,
        "HttpBindAddresses": ["0.0.0.0"],  # nosec B104 - of the container
        # The host of a modality is not known by its address there; titles are checked.
        "DicomCheckModalityHost": False,
        "StorageDirectory": f"{_ARCHIVE}/storage",
        "IndexDirectory": f"{_ARCHIVE}/index",
        "Plugins": [str(orthanc_plugin(DICOMWEB_PLUGIN))],
    }
    if node:
        content["Plugins"].append(str(orthanc_plugin(PYTHON_PLUGIN)))
        content["PythonScript"] = str(PLUGIN_SCRIPT)
        with suppress(GlioLoopError):  # in the Orthanc team's image, in no Debian
            content["Plugins"].append(str(orthanc_plugin(EXPLORER_2_PLUGIN)))
            content |= read_commented_json(_EXPLORER_2)
    elif _VIEWER.is_dir():
        content["Plugins"].append(str(orthanc_plugin(SERVE_FOLDERS_PLUGIN)))
        content |= serve_folders_configuration(_VIEWER)
    host = environment.get(_DATABASE_HOST_VARIABLE)
    if node and host:
        content["Plugins"].append(str(orthanc_plugin(POSTGRESQL_PLUGIN)))
        content["PostgreSQL"] = {
            "EnableIndex": True,
            "EnableStorage": False,
            "Host": host,
            "Database": "orthanc",
            "Username": USER,
            "Password": secret("postgres_password", secrets),
        }
    content |= json.loads(environment.get(_OVERLAY_VARIABLE, "{}"))
    user, password = (USER, "glioloop_password") if node else ("workstation", "workstation_password")
    content["RegisteredUsers"] = {user: secret(password, secrets)}
    return content


def database_url(host: str, secrets: Path = _SECRETS) -> str:
    """Return where the node's own tables lie."""
    return f"postgresql://{USER}:{quote(secret('postgres_password', secrets), safe='')}@{host}:5432/glioloop"


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    host = environment.get(_DATABASE_HOST_VARIABLE)
    return {"GLIOLOOP_DATABASE_URL": database_url(host)} if host else {}


def _start_orthanc(kind: str) -> None:
    _MADE.touch(mode=0o600)
    _MADE.write_text(json.dumps(configuration(kind, os.environ)))
    executable = str(orthanc_executable())
    os.execve(executable, [executable, str(_MADE)], os.environ | _settings(os.environ))


def _start_worker() -> None:
    environment = os.environ | _settings(os.environ)
    environment |= {"GLIOLOOP_ORTHANC_USER": USER, "GLIOLOOP_ORTHANC_PASSWORD": secret("glioloop_password")}
    os.execve(sys.executable, [sys.executable, "-m", "pipeline.worker"], environment)


def _healthy() -> bool:
    """Whether this container's Orthanc answers, or its worker lives."""
    heartbeat = os.environ.get("GLIOLOOP_HEARTBEAT")
    if heartbeat:
        return time.time() - Path(heartbeat).stat().st_mtime < _SILENCE_SECONDS
    content = json.loads(_MADE.read_text())
    ((user, password),) = content["RegisteredUsers"].items()
    with connect(f"http://{LOOPBACK}:{content['HttpPort']}", user, password, _HEALTH_SECONDS) as client:
        return client.get("/system").is_success


def main(kind: str) -> None:
    """Take the place of what a container runs, or tell its health by the exit status."""
    os.umask(0o077)
    os.chdir(ROOT)
    if kind == "health":
        sys.exit(0 if _healthy() else 1)
    if kind == "worker":
        _start_worker()
    _start_orthanc(kind)


if __name__ == "__main__":
    main(sys.argv[1])
