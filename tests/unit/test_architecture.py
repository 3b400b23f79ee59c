"""The page about the house against the house."""

import runpy

from pipeline.settings import ROOT


def test_the_pictures_are_those_of_the_code() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert drawn["page"](text) == text, "run: python docs/architecture.py"
