"""Orthanc's HTTP on a bad day: a proxy of our own that answers some requests wrongly, and passes on the rest."""

import re
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

import httpx

from pipeline.node import LOOPBACK

HANG_SECONDS: Final = 4.0
#: What a request can meet beside its answer: a status, or what happens to the connection.
FAULTS: Final = ("503", "500", "401", "429", "302", "cut off", "no JSON", "closed", "hangs")


class FaultyProxy:
    """Stands before an Orthanc; start it with ``with``."""

    def __init__(self) -> None:
        self.upstream = ""
        #: Regular expression of the paths that meet a fault, the faults of each path in turn, and how often each does.
        self.pattern, self.faults, self.times = "$^", ("503",), 1
        self.met: Counter[str] = Counter()
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy._answer(self)

            do_POST = do_GET  # noqa: N815 - the name that http.server looks for

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _fault(self, path: str) -> str | None:
        if not re.fullmatch(self.pattern, path):
            return None
        with self._lock:
            if self.met[path] >= self.times:
                return None
            self.met[path] += 1
            return self.faults[(len(self.met) + self.met[path]) % len(self.faults)]

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        fault = self._fault(handler.path)
        handler.close_connection = True
        if fault == "hangs":
            time.sleep(HANG_SECONDS)
        if fault in ("hangs", "closed"):
            return
        if fault is not None and fault.isdigit():
            _send(handler, int(fault), b"{}", 2)
        elif fault == "no JSON":
            _send(handler, 200, b"<html>", 6)
        elif fault == "cut off":
            _send(handler, 200, b'{"0008,0060', 999)
        else:
            answer = httpx.request(
                handler.command,
                self.upstream + handler.path,
                content=body,
                headers={"Authorization": handler.headers.get("Authorization", "")},
                timeout=30,
                trust_env=False,
            )
            _send(handler, answer.status_code, answer.content, len(answer.content))


def _send(handler: BaseHTTPRequestHandler, status: int, content: bytes, length: int) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(content)
