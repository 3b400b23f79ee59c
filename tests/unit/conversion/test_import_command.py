"""``models import --nnunet`` and ``--monai``: installed, and shown the brain alone where training was."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.registry import CARD, ModelCard
from pipeline.settings import ROOT
from tests.unit.conversion.folders import monai_bundle, nnunet_folder


def _run(state: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"GLIOLOOP_STATE_FOLDER": str(state)}
    command = [sys.executable, "-P", "-m", "pipeline", "models", "import", *words, "--json"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=600, check=False)


def test_it_is_installed_as_any_other(tmp_path: Path) -> None:
    state = tmp_path / "state"
    folder = nnunet_folder(tmp_path / "results")
    done = _run(state, "--nnunet", str(folder), "--name", "site", "--channel", "T1ce=t1c", "--no-mirror")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["imported"] == "site@1" and any("brain alone" in note for note in answer["notes"])
    installed = state / "models" / "site" / "1"
    card = ModelCard.model_validate_json((installed / CARD).read_text())
    assert card.brain is not None and (installed / card.brain.file.name).is_file()
    again = _run(state, "--nnunet", str(folder), "--name", "site")
    assert again.returncode == 3 and json.loads(again.stdout)["error"]["code"] == "MODEL_INVALID"


def test_a_folder_can_be_written_instead(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = _run(tmp_path / "state", "--monai", str(monai_bundle(tmp_path / "bundle")), "--skull", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert ModelCard.model_validate_json((out / CARD).read_text()).brain is None
    imported = _run(tmp_path / "state", str(out))
    assert json.loads(imported.stdout) == {"imported": "BRATS-MRI-segmentation@1"}


def test_one_of_three_and_known_words(tmp_path: Path) -> None:
    for words in ((), (str(tmp_path), "--monai", str(tmp_path)), ("--nnunet", str(tmp_path), "--channel", "T9=t9")):
        done = _run(tmp_path / "state", *words)
        assert done.returncode == 2, done.stdout
