"""The OHIF viewer beside a workstation Orthanc: fetched once, fitted to its address, served by ServeFolders.

The npm package ``@ohif/app`` (MIT) carries a ready build made for the root of a server. Below a prefix it
works once four things say so: ``PUBLIC_URL``, the links of its page and style sheets, and the public path of every
bundle.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from pydantic import JsonValue

from pipeline.errors import GlioLoopError

VERSION: Final = "3.13.2"
#: ``dist.integrity`` of that version: what is fetched is what was tried.
_INTEGRITY: Final = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
_FETCH_SECONDS: Final = 300

PREFIX: Final = "/ohif"
#: Pages without file name extension: React's router wants these paths, ServeFolders files. Contours are read-only in
#: the first (see app-config.js), and drawn and stored in the second.
_VIEWER: Final = "viewer"
_EDITOR: Final = "segmentation"
_CONFIGURATION: Final = Path(__file__).with_name("app-config.js")

_BUNDLE_PATH: Final = '__webpack_require__.p = "/"'
_PUBLIC_URL: Final = 'window.PUBLIC_URL="/"'
_ROOTED_LINK: Final = re.compile(r'\b(href|src|content)="/(?!/)')
_ROOTED_FONT: Final = "url(/"


def ohif_folder(state_folder: Path) -> Path:
    """Return where the fitted viewer lies, or will lie, in a state folder."""
    return state_folder / "viewer" / f"ohif-{VERSION}"


def prepare_ohif(state_folder: Path) -> Path:
    """Fetch and fit the viewer, unless it is there already.

    Parameters
    ----------
    state_folder
        Where it is kept (some 200 MB).

    Returns
    -------
    Path
        The folder to serve.

    Raises
    ------
    GlioLoopError
        VIEWER_UNAVAILABLE where npm is missing, the package cannot be fetched, is not the known one, or is
        not built as expected.
    """
    folder = ohif_folder(state_folder)
    if folder.is_dir():
        _configure(folder)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".ohif-") as scratch:
        package = _fetch(Path(scratch))
        _check(package)
        build = _unpack(package, Path(scratch))
        _fit(build)
        try:
            build.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster
                raise
    return folder


def serve_folders_configuration(folder: Path) -> dict[str, JsonValue]:
    """Return section ``ServeFolders`` of the Orthanc that serves the viewer; the folder may be filled later."""
    # Up to Orthanc 1.10 at least, the plugin takes what follows the last dot of the whole path for the
    # extension, also where that dot is in a folder's name.
    extensions: dict[str, JsonValue] = {"": "text/html"}
    if "." in str(folder):
        extensions |= {f"{folder}/{page}".rpartition(".")[2]: "text/html" for page in (_VIEWER, _EDITOR)}
    return {
        "ServeFolders": {
            "AllowCache": True,
            "GenerateETag": True,
            "Folders": {PREFIX: str(folder)},
            "Extensions": extensions | {"woff2": "font/woff2", "ico": "image/x-icon", "mjs": "text/javascript"},
        }
    }


def viewer_url(
    orthanc: str, study_instance_uid: str, structure_set_series_uid: str = "", editable: bool = False
) -> str:
    """Return the address that opens a study.

    Parameters
    ----------
    orthanc
        Root of the Orthanc that serves the viewer.
    study_instance_uid
        The study.
    structure_set_series_uid
        Series of the structure set to show at once over the images it was drawn on.
    editable
        With OHIF's tools for contours and its menu that stores them.
    """
    query = {"StudyInstanceUIDs": study_instance_uid}
    if editable:
        query["hangingProtocolId"] = "default"  # one viewport with the structure set, not four without
    if structure_set_series_uid:
        query["initialSeriesInstanceUID"] = structure_set_series_uid
    return f"{orthanc}{PREFIX}/{_EDITOR if editable else _VIEWER}?{urlencode(query, safe='{}')}"


def viewer_template(orthanc: str, editable: bool = False) -> str:
    """Return that address as ``ViewerUrl`` and ``EditorUrl`` want it, with places for study and structure set."""
    return viewer_url(orthanc, "{study}", "{rtstruct}", editable)


def _fetch(folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise GlioLoopError("VIEWER_UNAVAILABLE", "npm is not installed")
    command = [npm, "pack", f"@ohif/app@{VERSION}", "--pack-destination", str(folder), "--silent"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise GlioLoopError("VIEWER_UNAVAILABLE", f"npm took more than {_FETCH_SECONDS} s") from error
    packages = list(folder.glob("*.tgz"))
    if done.returncode or len(packages) != 1:
        said = done.stderr.strip().splitlines()
        raise GlioLoopError("VIEWER_UNAVAILABLE", f"npm could not fetch it: {said[-1] if said else done.returncode}")
    return packages[0]


def _check(package: Path) -> None:
    with package.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if f"sha512-{digest}" != _INTEGRITY:
        raise GlioLoopError("VIEWER_UNAVAILABLE", f"{package.name} is not the package that was tried")


def _unpack(package: Path, folder: Path) -> Path:
    """Take the build out; a package is not trusted to name its files well, although its hash is known."""
    build = folder / "package" / "dist"
    with tarfile.open(package) as archive:
        for member in archive:
            path = (folder / member.name).resolve()
            if member.isfile() and path.is_relative_to(build.resolve()) and (content := archive.extractfile(member)):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    shutil.copyfileobj(content, file)
    return build


def _fit(build: Path) -> None:
    """Make the build work below the prefix."""
    page = build / "index.html"
    text, links = _ROOTED_LINK.subn(rf'\1="{PREFIX}/', page.read_text())
    fitted = 0
    for bundle in build.glob("*.js"):
        code = bundle.read_text()
        if _BUNDLE_PATH in code:
            bundle.write_text(code.replace(_BUNDLE_PATH, f'__webpack_require__.p = "{PREFIX}/"'))
            fitted += 1
    if not (links and fitted and _PUBLIC_URL in text):
        raise GlioLoopError("VIEWER_UNAVAILABLE", "the package is not built as expected")
    text = text.replace(_PUBLIC_URL, f'window.PUBLIC_URL="{PREFIX}/"')
    for file in (page, build / _VIEWER, build / _EDITOR):
        file.write_text(text)
    for sheet in build.glob("*.css"):
        sheet.write_text(sheet.read_text().replace(_ROOTED_FONT, f"{_ROOTED_FONT[:-1]}{PREFIX}/"))
    _configure(build)


def _configure(build: Path) -> None:
    """Put this version's configuration in; the one that is there may be of an earlier version."""
    target = build / "app-config.js"
    if target.read_bytes() != _CONFIGURATION.read_bytes():
        part = target.with_suffix(".part")
        shutil.copyfile(_CONFIGURATION, part)
        part.replace(target)


if __name__ == "__main__":  # for docker-compose.yml, which mounts it
    print(prepare_ohif(Path(sys.argv[1]).resolve()))
