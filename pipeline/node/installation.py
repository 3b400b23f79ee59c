"""Where this machine has Orthanc and its plugins."""

import os
import shutil
from pathlib import Path

from pipeline.errors import GlioLoopError
from pipeline.settings import ROOT

PYTHON_PLUGIN = "libOrthancPython.so"
DICOMWEB_PLUGIN = "libOrthancDicomWeb.so"
SERVE_FOLDERS_PLUGIN = "libServeFolders.so"
EXPLORER_2_PLUGIN = "libOrthancExplorer2.so"
POSTGRESQL_PLUGIN = "libOrthancPostgreSQLIndex.so"

#: Plugins that the launcher unpacked for this node alone, beside a system-wide Orthanc it left as it was.
_OWN_PLUGINS = ROOT / ".state" / "orthanc-plugins" / "usr" / "share" / "orthanc" / "plugins"
_PLUGIN_FOLDERS = (_OWN_PLUGINS, Path("/usr/share/orthanc/plugins"), Path("/usr/local/share/orthanc/plugins"))


def orthanc_executable() -> Path:
    """Return Orthanc's executable: ``GLIOLOOP_ORTHANC``, or the one on the path or in /usr/sbin.

    Raises
    ------
    GlioLoopError
        NODE_NOT_STARTED where there is none.
    """
    named = os.environ.get("GLIOLOOP_ORTHANC")
    search = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
    found = shutil.which(named) if named else shutil.which("Orthanc", path=search)
    if found is None:
        raise GlioLoopError("NODE_NOT_STARTED", f"no Orthanc executable{f' at {named}' if named else ''}")
    return Path(found)


def orthanc_plugin(name: str) -> Path:
    """Return the path of an Orthanc plugin, looked for in ``GLIOLOOP_ORTHANC_PLUGINS`` first.

    Raises
    ------
    GlioLoopError
        NODE_NOT_STARTED where it is not installed.
    """
    named = os.environ.get("GLIOLOOP_ORTHANC_PLUGINS")
    folders = (Path(named), *_PLUGIN_FOLDERS[1:]) if named else _PLUGIN_FOLDERS
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise GlioLoopError("NODE_NOT_STARTED", f"Orthanc's plugin {name} is in none of {', '.join(map(str, folders))}")
