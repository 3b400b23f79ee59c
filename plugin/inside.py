"""The archive from inside: Orthanc's REST API through the plugin SDK."""

import json
from typing import Any

import orthanc


class PluginArchive:
    """:class:`pipeline.archive.Archive` for code that runs inside Orthanc.

    Every call holds the interpreter's lock for as long as Orthanc takes (plugin 4.0), so that only
    short ones may be made here: records and tags of single resources, never pixel data.
    """

    def get(self, path: str) -> Any:
        """See :class:`pipeline.archive.Archive`."""
        try:
            return json.loads(orthanc.RestApiGet(path))
        except orthanc.OrthancException:
            return None

    def post(self, path: str, body: str | bytes) -> Any:
        """See :class:`pipeline.archive.Archive`."""
        try:
            return json.loads(orthanc.RestApiPost(path, body))
        except orthanc.OrthancException:
            return None
