"""The page about the house against the house."""

import ast
import runpy
from pathlib import Path

from pipeline.settings import ROOT


def test_the_pictures_are_those_of_the_code() -> None:
    drawn = runpy.run_path(str(ROOT / "docs" / "architecture.py"))
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert drawn["page"](text) == text, "run: python docs/architecture.py"


def test_no_array_is_a_view_of_an_image_that_nobody_holds() -> None:
    """SimpleITK's views don't keep their image: what is read of a freed one is whatever lies there now."""
    folders = ("pipeline", "plugin", "benchmarks", "tests")
    code = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert [place for path in code for place in _views_of_what_is_just_made(path)] == []


def _views_of_what_is_just_made(path: Path) -> list[str]:
    return [
        f"{path}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "GetArrayViewFromImage"
        and any(isinstance(inner, ast.Call | ast.BinOp | ast.Compare) for one in node.args for inner in ast.walk(one))
    ]
