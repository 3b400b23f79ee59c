"""The dashboard's libraries are what was published."""

import base64
import hashlib
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from pipeline.settings import ROOT

LIBRARIES = ROOT / "plugin" / "libraries"
ROW = re.compile(r"^\| `(\S+)` \| `(\S+)` \| (.*?) \| \w+ \| `(sha512-\S+)` \|$", re.MULTILINE)


def _rows() -> list[tuple[str, ...]]:
    return ROW.findall((LIBRARIES / "README.md").read_text(encoding="utf-8"))


def test_every_library_stands_in_the_table_with_its_licence() -> None:
    assert {folder for folder, *_ in _rows()} == {path.name for path in LIBRARIES.iterdir() if path.is_dir()}
    for folder, _, files, _ in _rows():
        assert {path.name for path in (LIBRARIES / folder).iterdir()} == {
            "LICENSE", *(name.rpartition("/")[2] for name in re.findall(r"`([^`]+)`", files))
        }  # fmt: skip


@pytest.mark.parametrize(("folder", "package", "files", "integrity"), _rows())
def test_files_are_those_of_the_package(folder: str, package: str, files: str, integrity: str, tmp_path: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    fetched = subprocess.run([npm, "pack", package, "--silent"], cwd=tmp_path, capture_output=True, check=False)
    packed = list(tmp_path.glob("*.tgz"))
    if fetched.returncode or not packed:
        pytest.skip(f"{package} could not be fetched by npm")
    assert f"sha512-{base64.b64encode(hashlib.sha512(packed[0].read_bytes()).digest()).decode()}" == integrity
    with tarfile.open(packed[0]) as archive:
        for name in [*re.findall(r"`([^`]+)`", files), "LICENSE"]:
            member = archive.extractfile(f"package/{name}")
            assert member is not None
            assert (LIBRARIES / folder / Path(name).name).read_bytes() == member.read(), name
