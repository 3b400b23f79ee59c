"""The archive from inside: Orthanc's REST API through the plugin SDK."""

from collections.abc import Callable
from typing import Any, Final

import orthanc

from pipeline.archive.client import parsed
from pipeline.errors import GlioLoopError

#: The only errors that say that something is not there; Orthanc's HTTP server answers them with 404.
_ABSENT: Final = (
    orthanc.ErrorCode.UNKNOWN_RESOURCE,
    orthanc.ErrorCode.INEXISTENT_ITEM,
    orthanc.ErrorCode.INEXISTENT_FILE,
)


class PluginArchive:
    """:class:`pipeline.archive.protocol.Archive` for code that runs inside Orthanc.

    Every call holds the interpreter's lock for as long as Orthanc takes (plugin 4.0), so that only
    short ones may be made here: records and tags of single resources, never pixel data.
    """

    def get(self, path: str) -> Any:
        """See :class:`pipeline.archive.protocol.Archive`."""
        # Those of other plugins have to be asked for by name.
        ask = orthanc.RestApiGetAfterPlugins if path.startswith("/dicom-web/") else orthanc.RestApiGet
        return _answer(f"GET {path}", lambda: ask(path))

    def post(self, path: str, body: str | bytes) -> Any:
        """See :class:`pipeline.archive.protocol.Archive`."""
        return _answer(f"POST {path}", lambda: orthanc.RestApiPost(path, body))


def _answer(asked: str, ask: Callable[[], bytes]) -> Any:
    try:
        content = ask()
    except orthanc.OrthancException as error:
        code = error.args[0] if error.args else None
        if code in _ABSENT:
            return None
        raise GlioLoopError("ORTHANC_UNREACHABLE", f"{asked}: Orthanc's error {code}") from error
    return parsed(content, asked)
