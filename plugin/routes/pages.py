"""The dashboard's files and the pictures of a job's result, with headers that keep a browser out of trouble."""

from pathlib import Path
from typing import Final

import orthanc

from pipeline.errors import GlioLoopError
from plugin.node import Node
from plugin.routes.answers import RESULT_HEADERS, SURFACES_TYPE, Content, Method, answered_by
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import PAGE_ROUTES

_FOLDER: Final = Path(__file__).resolve().parents[1] / "app"
#: Libraries as they are published, each in a folder with its version and licence.
_LIBRARIES: Final = Path(__file__).resolve().parents[1] / "libraries"

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

#: Nothing from elsewhere, nothing inline: a PatientName that holds markup stays text.
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
}
#: Another version of a library has another address.
_LIBRARY_HEADERS: Final = _HEADERS | {"Cache-Control": "private, max-age=31536000, immutable"}

_OPENAPI: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


class Pages(Handlers):
    """Handlers of the pages."""

    routes = PAGE_ROUTES

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        # A name that is not in this table cannot be asked for, whatever its dots and slashes.
        self._files = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}
        self._files |= {f"{path.parent.name}/{path.name}": path for path in _LIBRARIES.glob("*/*.js")}

    def register(self) -> None:
        """Register every page with Orthanc.

        Orthanc drops a trailing slash before the callback sees it, so the page cannot know against which
        of its two addresses the browser resolves a link. It links to ``app/…``; both readings answer.
        """
        super().register()
        orthanc.RegisterRestCallback(
            r"/glioloop/app(?:/app)?(?:/((?:[a-z0-9.-]+/)?[a-z0-9.-]*))?", answered_by({"GET": Method(self.page)})
        )

    def page(self, request: Request) -> tuple[int, Content]:
        """Answer one of the dashboard's files; the dashboard itself where none is named."""
        name = next(iter(request.groups), None) or "index.html"
        path = self._files.get(name)
        if path is None:
            raise GlioLoopError("PAGE_UNKNOWN", name)
        headers = _LIBRARY_HEADERS if _LIBRARIES in path.parents else _HEADERS
        return 200, Content(path.read_bytes(), _TYPES[path.suffix], headers)

    def openapi(self, _request: Request) -> tuple[int, Content]:
        """Answer the description of the REST API."""
        return 200, Content(_OPENAPI.read_bytes(), "application/json", _HEADERS)

    def contours(self, request: Request) -> tuple[int, Content]:
        """Answer the contours of a job in pixels of the reference series."""
        return self._result(request.groups[0], "contours.json", "application/json")

    def slices(self, request: Request) -> tuple[int, Content]:
        """Answer the slices of an aligned sequence, all in one picture."""
        job, name = request.groups
        return self._result(job, f"{name}.jpg", "image/jpeg")

    def surfaces(self, request: Request) -> tuple[int, Content]:
        """Answer the surfaces of a job's regions, see :func:`pipeline.dashboard.surfaces.encoded`."""
        (identity,) = request.groups
        path = self._node.folders.file(f"jobs/{identity}", "browse/surfaces.bin")
        if not path.is_file():
            raise GlioLoopError("SURFACES_LACKING", f"The job is {self.shown_job(identity).state}.")
        return 200, Content(path.read_bytes(), SURFACES_TYPE, RESULT_HEADERS)

    def _result(self, job: str, name: str, kind: str) -> tuple[int, Content]:
        path = self._node.folders.file(f"jobs/{job}", f"browse/{name}")
        if not path.is_file():
            raise GlioLoopError("JOB_UNKNOWN", f"no {name}")
        return 200, Content(path.read_bytes(), kind, RESULT_HEADERS)
