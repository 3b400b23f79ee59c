"""What the archive's answers to an upload become, over real HTTP on loopback."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.archive.client import HttpArchive
from pipeline.archive.store import store
from pipeline.errors import GlioLoopError
from pipeline.node import LOOPBACK
from pipeline.settings import Settings


@contextmanager
def archive_that(answers: dict[str, tuple[int, object]]) -> Iterator[HttpArchive]:
    """An archive that answers each POST with a status and JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status, content = answers[self.path]
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield HttpArchive(Settings(orthanc_url=f"http://{LOOPBACK}:{server.server_port}"))
        server.shutdown()


@pytest.fixture(scope="module")
def structure_set(sample_study: Path) -> Path:
    """Any DICOM file will do."""
    return sorted((sample_study / "t1c").iterdir())[0]


@pytest.mark.parametrize(
    ("status", "answer", "code"),
    [
        (400, {}, "STORE_FAILED"),
        (415, {}, "STORE_FAILED"),
        (422, {}, "STORE_FAILED"),
        (200, {"Status": "FilteredOut"}, "STORE_FAILED"),
        (200, {}, "STORE_FAILED"),
        (404, {}, "STORE_FAILED"),
        (413, {}, "ARCHIVE_FULL"),
        (507, {}, "ARCHIVE_FULL"),
        (401, {}, "ORTHANC_DENIED"),
        (403, {}, "ORTHANC_DENIED"),
        (405, {}, "ORTHANC_REFUSED"),
        (500, {}, "ORTHANC_UNREACHABLE"),
        (503, {}, "ORTHANC_UNREACHABLE"),
    ],
)
def test_each_answer_has_its_code(structure_set: Path, status: int, answer: object, code: str) -> None:
    with archive_that({"/instances": (status, answer)}) as archive, pytest.raises(GlioLoopError) as caught:
        store(archive, [structure_set])
    assert caught.value.code == code
    assert status in {200, 404} or f"HTTP {status}" in caught.value.detail


@pytest.mark.parametrize("status", ["Success", "AlreadyStored"])
def test_what_was_taken_is_told_by_its_id(structure_set: Path, status: str) -> None:
    with archive_that({"/instances": (200, {"Status": status, "ID": "abc"})}) as archive:
        assert store(archive, [structure_set]) == {structure_set.stem: "abc"}


def test_a_conflict_is_settled_by_a_look(structure_set: Path) -> None:
    """409: the archive has the object already. Where it has not, that is told."""
    conflict = (409, {})
    found = [{"Type": "Series", "ID": "no"}, {"Type": "Instance", "ID": "yes"}]
    with archive_that({"/instances": conflict, "/tools/lookup": (200, found)}) as archive:
        assert store(archive, [structure_set]) == {structure_set.stem: "yes"}
    with archive_that({"/instances": conflict, "/tools/lookup": (200, [])}) as archive:
        with pytest.raises(GlioLoopError) as caught:
            store(archive, [structure_set])
        assert (caught.value.code, "409" in caught.value.detail) == ("STORE_FAILED", True)
