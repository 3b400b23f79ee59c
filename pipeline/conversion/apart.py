"""A conversion in a process of its own, so that nothing of a foreign file is read where the node's secrets are."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from pipeline.conversion.request import ConversionRequest, Converted, Reply
from pipeline.errors import GlioLoopError
from pipeline.registry import CARD, ModelCard, Registry

#: All that the process is given of the environment.
_PASSED_ON: Final = ("PATH", "LANG", "LC_ALL", "TMPDIR", "OMP_NUM_THREADS")
#: Beyond the brain's surface: less than what lies between it and the skull.
MARGIN_MM: Final = 1.0
_ROOT: Final = Path(__file__).resolve().parents[2]


def convert_apart(request: ConversionRequest) -> Converted:
    """Convert a network of another tool; afterwards its folder can be installed like any other.

    Parameters
    ----------
    request
        What to convert; ``out`` gets the folder.

    Raises
    ------
    GlioLoopError
        What :func:`pipeline.conversion.__main__.convert` raises; IMPORT_UNREADABLE where the process dies.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pipeline.conversion"],
            input=request.model_dump_json(),
            capture_output=True,
            text=True,
            cwd=home,
            env=environment | {"HOME": home, "PYTHONPATH": str(_ROOT)},
            check=False,
        )
    if done.returncode or not done.stdout:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), f"status {done.returncode}")
        raise GlioLoopError("IMPORT_UNREADABLE", last)
    reply = Reply.model_validate_json(done.stdout)
    if reply.refused is not None:
        raise GlioLoopError(reply.refused.code, reply.refused.detail)
    if reply.converted is None:
        raise GlioLoopError("IMPORT_UNREADABLE", "no answer")
    return reply.converted


def add_brain(folder: Path, registry: Registry) -> str:
    """Let the brain be found before a converted network looks; returns whose first stage finds it.

    Raises
    ------
    GlioLoopError
        MODEL_UNKNOWN where no installed network finds it.
    """
    models = [registry.get(None), *reversed(registry.installed())]
    finder = next((one for one in models if one.card.brain is not None), None)
    if finder is None or finder.card.brain is None:
        raise GlioLoopError("MODEL_UNKNOWN", "none that finds the brain is installed")
    stage = finder.card.brain
    file = stage.file.model_copy(update={"name": "brain.onnx"})
    shutil.copyfile(finder.path(stage.file), folder / file.name)
    card = ModelCard.model_validate_json((folder / CARD).read_text())
    own = stage.model_copy(update={"file": file, "margin_mm": MARGIN_MM})
    (folder / CARD).write_text(card.model_copy(update={"brain": own}).model_dump_json(indent=2) + "\n")
    return finder.card.identity
