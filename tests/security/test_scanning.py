"""What linters for security say of the product's own code."""

import re
import subprocess
import sys

import pytest

from pipeline.settings import ROOT

SOURCES = sorted(path for folder in ("pipeline", "plugin") for path in (ROOT / folder).rglob("*.py"))
#: What runs code that stands in a file, or takes an object's type from it.
_UNPICKLING = re.compile(
    r"^\s*(?:import|from)\s+(?:pickle|dill|cloudpickle|shelve|marshal|joblib)\b"
    r"|allow_pickle\s*=\s*True|weights_only\s*=\s*False|\byaml\.(?:load|unsafe_load)\(|(?<![\w.])(?:eval|exec)\(",
    re.MULTILINE,
)


def test_bandit_finds_nothing_of_weight() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "bandit", "-q", "-ll", "-r", "pipeline", "plugin"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout


def test_nothing_is_unpickled() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in SOURCES
        for match in _UNPICKLING.finditer(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "call", ["import pickle", "np.load(path, allow_pickle=True)", "torch.load(p, weights_only=False)"]
)
def test_the_search_would_find_it(call: str) -> None:
    assert _UNPICKLING.search(call)
