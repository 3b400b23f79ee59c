"""What benchmarks need around them: the peers' own environment, and real data."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from pipeline.cli.bench import EXIT_SKIPPED
from pipeline.database.engine import database_of
from pipeline.registry import InstalledModel, Registry
from pipeline.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
PEERS_LOCK = ROOT / "requirements" / "peers.lock"


def skip(reason: str) -> NoReturn:
    """End this benchmark: something that it needs is not on this machine."""
    print(reason, file=sys.stderr)
    sys.exit(EXIT_SKIPPED)


def shared_data(*parts: str) -> Path:
    """Return a path below the folder of real data (GLIOLOOP_SHARED, else beside the repository), or skip."""
    path = Path(os.environ.get("GLIOLOOP_SHARED", ROOT.parent / "shared")) / "data" / Path(*parts)
    if not path.exists():
        skip(f"real data not there: {'/'.join(parts)} of GLIOLOOP_SHARED/data")
    return path


def installed_model(identity: str | None) -> InstalledModel:
    """Return a network as ``name@version``, or the one in use."""
    settings = load_settings()
    return Registry(settings.models_folder, settings.state_folder, database_of(settings)).get(identity)


def peers_python(lock: Path = PEERS_LOCK, complete: bool = True) -> Path:
    """Return the interpreter of an environment that holds a lock file's packages, made where it is missing.

    A lock that is not ``complete`` leaves out what its packages want and the benchmark does not use.

    Peers stay out of the product's environment: rt-utils brings a ``dataclasses`` of its own, which breaks the
    interpreter inside Orthanc.
    """
    fingerprint = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]
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
        ready.touch()
    return python
