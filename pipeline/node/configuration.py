"""The run-time configuration of an Orthanc, made from the documented one and this installation's secrets."""

import json
import re
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic.alias_generators import to_pascal

from pipeline.errors import GlioLoopError
from pipeline.node.installation import DICOMWEB_PLUGIN, PYTHON_PLUGIN, SERVE_FOLDERS_PLUGIN, orthanc_plugin
from pipeline.node.viewer import serve_folders_configuration
from pipeline.settings import ROOT, Settings, load_settings

#: The product's default configuration; every key that differs from Orthanc's own default is explained there.
NODE_CONFIGURATION = ROOT / "orthanc.json"
WORKSTATION_CONFIGURATION = ROOT / "deploy" / "workstation.json"
PLUGIN_SCRIPT = ROOT / "plugin" / "glioloop_plugin.py"

LOOPBACK = "127.0.0.1"
USER = "glioloop"

_LOWEST_PORT = 10_000
_EPHEMERAL_PORTS = 32_768  # where Linux begins by default (ip_local_port_range)

_STRING_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)


@dataclass(frozen=True)
class Modality:
    """A DICOM node that Orthanc knows.

    Attributes
    ----------
    aet
        Application entity title, at most 16 characters.
    port
        Its DICOM port.
    host
        Its host; Orthanc takes what this AET sends from there only.
    """

    aet: str
    port: int
    host: str = LOOPBACK

    def as_orthanc(self) -> dict[str, object]:
        """The value of one entry of ``DicomModalities``."""
        return {"AET": self.aet, "Host": self.host, "Port": self.port}


@dataclass(frozen=True)
class NodeConfiguration:
    """A configuration folder, ready for Orthanc, and what its clients need to know.

    Attributes
    ----------
    folder
        Orthanc's argument: it reads every ``.json`` in there.
    state_folder
        What this Orthanc remembers: archive, index, logs.
    user, password
        A registered user, generated once per installation.
    environment
        Settings of this node that must win over variables of the caller's own environment.
    """

    folder: Path
    state_folder: Path
    aet: str
    http_port: int
    dicom_port: int
    user: str
    password: str
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Root of the REST API as seen from this machine."""
        return f"http://{LOOPBACK}:{self.http_port}"

    @property
    def log(self) -> Path:
        """Where Orthanc's log goes."""
        return self.state_folder / "logs" / "orthanc.log"

    @property
    def credentials_file(self) -> Path:
        """The file (mode 0600) that holds user and password."""
        return self.folder / "credentials.json"

    def __repr__(self) -> str:
        return f"NodeConfiguration({self.aet} at {self.url}, {self.folder})"


def free_port() -> int:
    """Return a TCP port of the loopback interface that was free a moment ago.

    Below the range from which systems draw the ports of outgoing connections, so that none of those takes it before
    it is used, and drawn by lot, so that two nodes that are set up at the same moment hardly ever draw the same.
    """
    while True:
        port = _LOWEST_PORT + secrets.randbelow(_EPHEMERAL_PORTS - _LOWEST_PORT)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port


def read_commented_json(path: Path) -> dict[str, Any]:
    """Read JSON with ``//`` and ``/* */`` comments, as Orthanc does.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID with file and line.
    """

    def blank(match: re.Match[str]) -> str:
        token = match.group()
        # Line ends stay, so that the line of an error is the line in the file.
        return token if token.startswith('"') else re.sub(r"[^\n]", " ", token)

    try:
        content = json.loads(_STRING_OR_COMMENT.sub(blank, path.read_text()))
    except OSError as error:
        raise GlioLoopError("CONFIGURATION_INVALID", f"{path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise GlioLoopError("CONFIGURATION_INVALID", f"{path}, line {error.lineno}: {error.msg}") from error
    if not isinstance(content, dict):
        raise GlioLoopError("CONFIGURATION_INVALID", f"{path}: not a JSON object")
    return content


def settings_of(base: Path) -> Settings:
    """Return the settings that a configuration file has; the environment wins."""
    return load_settings(read_commented_json(base).get("GlioLoop", {}))


def state_folder_of(base: Path) -> Path:
    """Return the state folder that a configuration file (or the environment, which wins) names."""
    return settings_of(base).state_folder


def write_configuration(
    state_folder: Path,
    *,
    base: Path = NODE_CONFIGURATION,
    http_port: int | None = None,
    dicom_port: int | None = None,
    modalities: Mapping[str, Modality] | None = None,
    settings: Mapping[str, object] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> NodeConfiguration:
    """Write the configuration folder of the processing node.

    Parameters
    ----------
    state_folder
        Gets ``configuration/``, ``orthanc/`` (archive and index) and ``logs/``, readable by the owner only.
    base
        The documented configuration to start from.
    http_port, dicom_port
        None takes what ``base`` says.
    modalities
        Added to ``DicomModalities``, by name.
    settings
        Added to section ``GlioLoop``, keys in PascalCase; they win over the environment, too.
    overrides
        Orthanc's own keys that win over ``base``.

    Raises
    ------
    GlioLoopError
        CONFIGURATION_INVALID for a wrong file or key, NODE_NOT_STARTED where a plugin is not installed.
    """
    content = read_commented_json(base)
    pinned = {**(settings or {}), "StateFolder": str(state_folder.resolve())}
    content["GlioLoop"] = content.get("GlioLoop", {}) | pinned
    load_settings(content["GlioLoop"])
    content["PythonScript"] = str(PLUGIN_SCRIPT)
    plugins = [orthanc_plugin(PYTHON_PLUGIN), orthanc_plugin(DICOMWEB_PLUGIN)]
    written = _write(state_folder, content, plugins, http_port, dicom_port, modalities or {}, overrides or {})
    return replace(written, environment=_as_environment(pinned))


def write_workstation_configuration(
    state_folder: Path,
    *,
    http_port: int,
    dicom_port: int,
    modalities: Mapping[str, Modality] | None = None,
    overrides: Mapping[str, object] | None = None,
    viewer: Path | None = None,
) -> NodeConfiguration:
    """Write the configuration folder of a workstation: an Orthanc with DICOMweb and no script.

    Parameters and errors are those of :func:`write_configuration`; ``viewer`` is the folder of the OHIF
    viewer that it serves (:mod:`pipeline.node.viewer`).
    """
    content = read_commented_json(WORKSTATION_CONFIGURATION)
    plugins = [orthanc_plugin(DICOMWEB_PLUGIN)]
    if viewer is not None:
        plugins.append(orthanc_plugin(SERVE_FOLDERS_PLUGIN))
        content |= serve_folders_configuration(viewer)
    return _write(state_folder, content, plugins, http_port, dicom_port, modalities or {}, overrides or {})


def _write(
    state_folder: Path,
    content: dict[str, Any],
    plugins: list[Path],
    http_port: int | None,
    dicom_port: int | None,
    modalities: Mapping[str, Modality],
    overrides: Mapping[str, object],
) -> NodeConfiguration:
    state_folder = state_folder.resolve()
    folder = state_folder / "configuration"
    archive = state_folder / "orthanc"
    for private in (folder, archive, state_folder / "logs"):
        private.mkdir(parents=True, exist_ok=True, mode=0o700)
    if http_port is not None:
        content["HttpPort"] = http_port
    if dicom_port is not None:
        content["DicomPort"] = dicom_port
    content["Plugins"] = [str(plugin) for plugin in plugins] + content.get("Plugins", [])
    content["DicomModalities"] = content.get("DicomModalities", {}) | {
        name: modality.as_orthanc() for name, modality in modalities.items()
    }
    content |= overrides
    for key in ("StorageDirectory", "IndexDirectory"):
        content[key] = str(archive / content.get(key, "."))
    user, password = _credentials(folder / "credentials.json")
    _write_private(folder / "orthanc.json", json.dumps(content, indent=2))
    return NodeConfiguration(
        folder=folder,
        state_folder=state_folder,
        aet=content["DicomAet"],
        http_port=content["HttpPort"],
        dicom_port=content["DicomPort"],
        user=user,
        password=password,
    )


def _as_environment(section: Mapping[str, object]) -> dict[str, str]:
    """Return keys of section ``GlioLoop`` as the variables that override them."""
    names = {to_pascal(name): name for name in Settings.model_fields}
    return {
        f"GLIOLOOP_{names[key].upper()}": value if isinstance(value, str) else json.dumps(value)
        for key, value in section.items()
    }


def _credentials(file: Path) -> tuple[str, str]:
    """Return the installation's user and password, made on first use.

    The file is a part of Orthanc's configuration, so that the secret lies in one place only.
    """
    if not file.exists():
        _write_private(file, json.dumps({"RegisteredUsers": {USER: secrets.token_urlsafe(24)}}, indent=2))
    users = read_commented_json(file).get("RegisteredUsers")
    if not isinstance(users, dict) or not users:
        raise GlioLoopError("CONFIGURATION_INVALID", f"{file}: RegisteredUsers is empty")
    return next((str(name), str(password)) for name, password in users.items())


def _write_private(file: Path, text: str) -> None:
    """Write a file that only its owner reads, and that is never seen half written."""
    partial = file.with_name(f".{file.name}.part")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(file)
