"""What benchmarks need around them: the peers' own environment, and real data."""

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NoReturn

import structlog

from pipeline.cli.bench import EXIT_SKIPPED
from pipeline.database.engine import database_of
from pipeline.registry import InstalledModel, Registry
from pipeline.settings import load_settings

# Standard output is the benchmark's document; what the node would log goes beside it.
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

ROOT = Path(__file__).resolve().parent.parent
PEERS_LOCK = ROOT / "requirements" / "peers.lock"


def skip(reason: str) -> NoReturn:
    """End this benchmark: something that it needs is not on this machine."""
    print(reason, file=sys.stderr)
    sys.exit(EXIT_SKIPPED)


def _shared(*parts: str) -> Path:
    return Path(os.environ.get("GLIOLOOP_SHARED", ROOT.parent / "shared")) / "data" / Path(*parts)


def shared_data_or(shipped: Path, *parts: str) -> Path:
    """Return a path below the folder of real data, or what ships where it is not there."""
    path = _shared(*parts)
    return path if path.exists() else shipped


def shared_data(*parts: str) -> Path:
    """Return a path below the folder of real data (GLIOLOOP_SHARED, else beside the repository), or skip."""
    path = _shared(*parts)
    if not path.exists():
        skip(f"real data not there: {'/'.join(parts)} of GLIOLOOP_SHARED/data")
    return path


def installed_model(identity: str | None) -> InstalledModel:
    """Return a network as ``name@version``, or the one in use."""
    settings = load_settings()
    return Registry(settings.models_folder, settings.state_folder, database_of(settings)).get(identity)


def peers_python(lock: Path = PEERS_LOCK, complete: bool = True, borrow: bool = False) -> Path:
    """Return the interpreter of an environment that holds a lock file's packages, made where it is missing.

    A lock that is not ``complete`` leaves out what its packages want and the benchmark does not use. What ``borrow``
    does not find in it (PyTorch) is that of this environment.

    Peers stay out of the product's environment: rt-utils brings a ``dataclasses`` of its own, which breaks the
    interpreter inside Orthanc.
    """
    site = sysconfig.get_path("purelib") if borrow else ""
    fingerprint = hashlib.sha256(lock.read_bytes() + sys.version.encode() + site.encode()).hexdigest()[:12]
    folder = ROOT / ".state" / f"{lock.stem}-{fingerprint}"
    python, ready = folder / "bin" / "python", folder / "ready"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / f"{lock.stem}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if ready.exists():
            return python
        print(f"making the environment of {lock.name} (first time only)", file=sys.stderr, flush=True)
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "-qq", "install"]
        for command in (
            [sys.executable, "-m", "venv", "--clear", folder],
            [*pip, "--require-hashes", *(() if complete else ("--no-deps",)), "-r", lock],
        ):
            if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
                skip(f"the environment of the peers could not be made from requirements/{lock.name}")
        if borrow:
            next(folder.glob("lib/python*/site-packages")).joinpath("zz_borrowed.pth").write_text(
                f"import site; site.addsitedir({site!r})\n"
            )
        ready.touch()
    return python
