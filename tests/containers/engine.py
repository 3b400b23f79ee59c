"""podman on this machine: the images of docker-compose.yml built, and its containers run."""

import json
import os
import resource
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pipeline.node import LOOPBACK, SCANNER, NodeConfiguration, OrthancProcess, free_port
from pipeline.settings import ROOT
from tests.orthanc.conftest import Pair

TARGETS: Final = ("archive", "worker", "postgres")
BASE: Final = "docker.io/library/debian:bookworm-slim"
_CODENAME: Final = "bookworm"
_SECRETS: Final = ("glioloop_password", "workstation_password", "postgres_password")
#: Fewer than any machine allows: a container may not raise its limits above those of who starts it.
_MOST_FILES: Final = 10_000


def package_settings(pip: str, environment: Mapping[str, str], os_release: str) -> list[str]:
    """What this machine's pip and apt are set to use, as volumes for a build: read there, and never copied.

    Parameters
    ----------
    pip
        What ``pip config debug`` and ``pip config list`` say.
    environment
        Variables for pip among them.
    os_release
        This machine's /etc/os-release: apt's settings serve the same release only.
    """
    paths = {Path(line.partition(",")[0].strip()) for line in pip.splitlines() if line.endswith("exists: True")}
    values = [line.partition("=")[2].strip("'\"") for line in pip.splitlines() if "='" in line]
    values += [value for name, value in environment.items() if name.startswith("PIP_")]
    for word in (word for value in values for word in value.split()):
        # An index on this disk names files beside it.
        place = Path(word.removeprefix("file://")).parent if word.startswith("file:///") else Path(word)
        if place.is_absolute() and len(place.parts) > 2:
            paths.add(place)
    certificates = Path("/etc/ssl/certs")
    found = sorted(path for path in paths if path.exists() and not path.is_relative_to(certificates))
    volumes = [f"{path}:{_inside(path)}:ro" for path in found]
    if certificates.is_dir():
        volumes.append(f"{certificates}:{certificates}:O")  # what the build writes there is dropped
    if f"VERSION_CODENAME={_CODENAME}" in os_release and Path("/etc/apt").is_dir():
        volumes.append("/etc/apt:/etc/apt:O")
    return volumes


def _inside(path: Path) -> Path:
    """Where the builder, who is root there, looks for a file of this user's."""
    home = Path.home()
    return Path("/root") / path.relative_to(home) if path.is_relative_to(home) else path


def _volumes_of_this_machine() -> list[str]:
    said = ""
    for about in ("debug", "list"):
        command = ["python3", "-m", "pip", "config", about]
        said += subprocess.run(command, capture_output=True, text=True, check=False).stdout
    release = Path("/etc/os-release")
    return package_settings(said, os.environ, release.read_text() if release.exists() else "")


@dataclass
class Containers:
    """The containers of docker-compose.yml under a project's name.

    Attributes
    ----------
    project
        Part of every name.
    folder
        Of secrets and of podman's configuration.
    variables
        For docker-compose.yml.
    file
        Another in the place of docker-compose.yml.
    """

    project: str
    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    file: Path = ROOT / "docker-compose.yml"

    @property
    def environment(self) -> dict[str, str]:
        """Of podman and podman-compose."""
        return os.environ | self.variables | {"CONTAINERS_CONF": str(self.folder / "containers.conf")}

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman; return what it says."""
        return self._run(["podman", *arguments], check)

    def compose(self, *arguments: str) -> str:
        """Run podman-compose; return what it says."""
        return self._run(["podman-compose", "-p", self.project, "-f", str(self.file), *arguments], check=True)

    def _run(self, command: list[str], check: bool) -> str:
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, cwd=ROOT, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command[:6])} …: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout.strip()

    def name(self, service: str, number: int = 1) -> str:
        """Name of a service's container."""
        return f"{self.project}_{service}_{number}"

    def logs(self, service: str) -> str:
        """What a container's processes said."""
        command = ["podman", "logs", self.name(service)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment, check=False)
        return done.stdout + done.stderr

    def healthy(self, service: str, number: int = 1) -> bool:
        """Whether a container's own check of its health says so now."""
        command = ["podman", "healthcheck", "run", self.name(service, number)]
        return subprocess.run(command, capture_output=True, env=self.environment, check=False).returncode == 0

    def inspected(self, service: str) -> dict[str, Any]:
        """What podman knows of a container."""
        (found,) = json.loads(self.podman("inspect", self.name(service)))
        return dict(found)

    def pair(self) -> Pair:
        """The node and the workstation, as other tests know them."""
        return Pair(
            self._orthanc("GLIOLOOP", "glioloop", "", "glioloop_password"),
            self._orthanc("WORKSTATION", "workstation", "WORKSTATION_", "workstation_password"),
        )

    def _orthanc(self, aet: str, user: str, prefix: str, secret: str) -> OrthancProcess:
        configuration = NodeConfiguration(
            folder=self.folder,
            state_folder=self.folder,
            aet=aet,
            http_port=int(self.variables[f"{prefix}HTTP_PORT"]),
            dicom_port=int(self.variables[f"{prefix}DICOM_PORT"]),
            user=user,
            password=(self.folder / secret).read_text(),
        )
        return OrthancProcess(configuration)


@contextmanager
def containers(project: str, viewer: Path | None, file: Path | None = None) -> Iterator[Containers]:
    """Build the images and run the containers while the context lasts; nothing of a run stays but the images."""
    with tempfile.TemporaryDirectory(prefix=f"{project}-") as folder:
        made = Containers(project, Path(folder))
        made.file = file or made.file
        _configure(made, viewer)
        _build(made)
        made.compose("up", "-d", "--no-build")
        try:
            yield made
        finally:
            made.compose("down", "--volumes")


def _configure(made: Containers, viewer: Path | None) -> None:
    # The engine that podman prefers refuses where cgroups of both versions are mounted.
    unified = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    runtime = "" if unified or not shutil.which("runc") else '[engine]\nruntime = "runc"\n'
    limits = {
        name: min(_MOST_FILES, *(one for one in resource.getrlimit(number) if one > 0))
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC))
    }
    listed = ", ".join(f'"{name}={most}:{most}"' for name, most in limits.items())
    (made.folder / "containers.conf").write_text(
        f'[containers]\ndefault_ulimits = [{listed}]\n{runtime}[network]\nnetwork_backend = "netavark"\n'
    )
    for name in _SECRETS:
        # Readable inside for another user; here by who may enter the folder.
        (made.folder / name).write_text(secrets.token_hex(24))
        (made.folder / name).chmod(0o444)
    empty = made.folder / "no-viewer"
    empty.mkdir()
    made.variables |= {
        name: str(free_port())
        for name in ("HTTP_PORT", "DICOM_PORT", "WORKSTATION_HTTP_PORT", "WORKSTATION_DICOM_PORT")
    }
    made.variables |= {
        "BIND": LOOPBACK,
        "SECRETS_FOLDER": str(made.folder),
        "SCANNER_AET": SCANNER,
        "VIEWER_FOLDER": str(viewer or empty),
    }


def _build(made: Containers) -> None:
    if subprocess.run(["podman", "image", "exists", BASE], env=made.environment, check=False).returncode:
        try:
            made.podman("pull", BASE)
        except RuntimeError:
            _make_base(made)
    volumes = [argument for one in _volumes_of_this_machine() for argument in ("--volume", one)]
    for target in TARGETS:
        # The host's network: a mirror that only this machine reaches serves the build, too.
        arguments = ["--network", "host", *volumes, "-f", "deploy/Dockerfile", "--target", target]
        made.podman("build", *arguments, "--build-arg", f"BASE={BASE}", "-t", f"localhost/glioloop-{target}", ".")


def _make_base(made: Containers) -> None:
    """Make the base image from Debian's packages where no registry is reached."""
    root, archive = made.folder / "root", made.folder / "root.tar"
    subprocess.run(["debootstrap", "--variant=minbase", _CODENAME, root], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["tar", "-C", root, "-cf", archive, "."], check=True)
    made.podman("import", str(archive), BASE)
    shutil.rmtree(root)
    archive.unlink()
