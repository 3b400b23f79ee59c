"""The archive as the pipeline sees it, over HTTP or from inside the plugin."""

from typing import Any, Protocol


class Archive(Protocol):
    """What identification and job submission need of Orthanc, wherever they run.

    None is said of what is surely not there. Whatever else keeps an answer from coming is raised: taken for absence, it
    would refuse a good study.
    """

    def get(self, path: str) -> Any:
        """Return the parsed JSON answer of ``GET path``; None where there is no such resource.

        Raises
        ------
        GlioLoopError
            ORTHANC_UNREACHABLE, ORTHANC_DENIED, ORTHANC_REFUSED, ARCHIVE_FULL.
        """

    def post(self, path: str, body: str | bytes) -> Any:
        """Return the parsed JSON answer of ``POST path``; None where there is no such resource.

        Raises
        ------
        GlioLoopError
            As :meth:`get`.
        """
