"""The connection to Orthanc: what was idle too long is not used again."""

import socket
import threading
import time

from pipeline.archive.client import KEPT_SECONDS, HttpArchive
from pipeline.node import LOOPBACK
from pipeline.settings import Settings

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}"


def test_a_connection_that_orthanc_is_about_to_close() -> None:
    """A server that answers each connection once, and closes it the moment it is used again."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.recv(65536)
                connection.sendall(_ANSWER)
                connection.recv(65536)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        archive = HttpArchive(Settings(orthanc_url=f"http://{LOOPBACK}:{server.getsockname()[1]}"))
        for _ in range(3):
            assert archive.get("/system") == {}
            time.sleep(KEPT_SECONDS + 0.1)
