"""Draws the pictures of docs/architecture.md from the code: ``python docs/architecture.py`` writes the page anew.

The way of the data is read from the signatures of the stages, the layers from the imports of every module. Packages
stand in the order of the import contract in pyproject.toml.
"""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"

#: The stages, in the order in which a study passes them.
STAGES = (
    ("pipeline/identify/decide.py", "identify"),
    ("pipeline/volume/read.py", "read_volume"),
    ("pipeline/confirm/pairs.py", "settle"),
    ("pipeline/align/aligning.py", "align"),
    ("pipeline/inference/delineate.py", "delineate"),
    ("pipeline/restore/native.py", "restore"),
    ("pipeline/objects/build.py", "build_objects"),
    ("pipeline/archive/store.py", "store"),
    ("pipeline/archive/forward.py", "begin_sending"),
)


def layers() -> list[str]:
    """Packages from the lowest to the highest, as the contract has them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    order = next(one["layers"] for one in contracts if one["type"] == "layers")
    packages = [
        package.removeprefix("pipeline.") for row in reversed(order) for package in row.strip("()").split(" | ")
    ]
    return [package for package in packages if _modules(package)]


def imports(packages: list[str]) -> dict[str, set[str]]:
    """What each package imports of the others."""
    found: dict[str, set[str]] = {package: set() for package in packages}
    for package in packages:
        for path in _modules(package):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
                if isinstance(node, ast.ImportFrom) and node.module == "pipeline":
                    names = [f"pipeline.{alias.name}" for alias in node.names]
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                found[package] |= {one for name in names if (one := _package(name)) in found} - {package}
    return found


def _modules(package: str) -> list[Path]:
    folder = ROOT / package if package == "plugin" else ROOT / "pipeline" / package
    return sorted(folder.rglob("*.py")) or [one for one in (folder.with_suffix(".py"),) if one.is_file()]


def _package(name: str) -> str:
    first, _, rest = name.partition(".")
    return "plugin" if first == "plugin" else rest.partition(".")[0] if first == "pipeline" else ""


def _purpose(package: str) -> str:
    first = _modules(package)[0].parent / "__init__.py" if len(_modules(package)) > 1 else _modules(package)[0]
    words = ast.get_docstring(ast.parse(first.read_text(encoding="utf-8"))) or ""
    return words.partition("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def layers_picture() -> str:
    """The layers as a Mermaid graph: an arrow that a longer way says too is left out."""
    direct = imports(layers())
    reach: dict[str, set[str]] = {}
    for package in layers():
        reach[package] = direct[package] | {far for near in direct[package] for far in reach.get(near, set())}
    lines = ["flowchart TD"]
    for package in reversed(layers()):
        needed = {one for one in direct[package] if not any(one in reach.get(other, ()) for other in direct[package])}
        lines += [f"    {package} --> {one}" for one in reversed(layers()) if one in needed]
    return "\n".join(["```mermaid", *lines, "```"])


def layers_table() -> str:
    """Every package with what it is and what it imports."""
    direct = imports(layers())
    rows = [
        f"| `{package}` | {_purpose(package)} | {', '.join(one for one in layers() if one in direct[package])} |"
        for package in layers()
    ]
    return "\n".join(["| package | what it is | imports |", "| --- | --- | --- |", *rows])


def data_picture() -> str:
    """The way of a study as a Mermaid graph: functions, and the types that travel between them."""
    lines = ["flowchart TD"]
    for number, (path, name) in enumerate(STAGES):
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
        lines.append(f'    s{number}["{path.removeprefix("pipeline/").removesuffix(".py")}: {name}"]')
        if number + 1 < len(STAGES):
            result = re.sub(r"[\[\]\"]", " ", ast.unparse(function.returns) if function.returns else "").strip()
            lines.append(f'    s{number} -- "{result}" --> s{number + 1}')
    return "\n".join(["```mermaid", *lines, "```"])


def page(text: str) -> str:
    """The page with its pictures drawn anew."""
    for name, content in (("data", data_picture()), ("layers", layers_picture()), ("packages", layers_table())):
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", lambda m, c=content: m[1] + c + m[2], text, flags=re.S
        )
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
