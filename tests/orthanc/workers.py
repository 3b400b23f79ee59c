"""Workers on hosts of their own: they share the database and Orthanc with the node, and no disk."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.settings import ROOT
from tests.orthanc.conftest import Pair

#: Far below the product's own, so that a test need not wait for it.
SILENCE = 10


@contextmanager
def worker_elsewhere(
    pair: Pair, folder: Path, name: str, *, root: Path = ROOT, settings: dict[str, object] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker whose files lie in ``folder / name`` and whose log beside.

    Parameters
    ----------
    root
        Checkout that it runs from; another one is another version.
    settings
        More of the node's section, by its keys' names in the environment.
    """
    node = pair.node.configuration
    section = json.loads((node.folder / "orthanc.json").read_text())["GlioLoop"]
    environment = os.environ | {
        "GLIOLOOP_DATABASE_URL": section["DatabaseUrl"],
        "GLIOLOOP_STATE_FOLDER": str(folder / name),
        "GLIOLOOP_EXECUTOR": name,
        "GLIOLOOP_ORTHANC_URL": node.url,
        "GLIOLOOP_ORTHANC_USER": node.user,
        "GLIOLOOP_ORTHANC_PASSWORD": node.password,
        "GLIOLOOP_WORKER_SILENCE_SECONDS": str(SILENCE),
        "GLIOLOOP_DESTINATIONS": json.dumps([{"Modality": "workstation", "Send": ["inputs", "rtstruct", "seg"]}]),
        **{f"GLIOLOOP_{key}": str(value) for key, value in (settings or {}).items()},
    }
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "pipeline.worker"]
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
