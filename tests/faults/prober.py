"""Whether Orthanc answers, asked all the time."""

import contextlib
import threading
import time
from collections.abc import Iterator

import httpx

from tests.orthanc.conftest import Pair


class Prober:
    """Asks Orthanc for its name, over and over, and remembers when it did not answer in time."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._stop = threading.Event()
        self._meant_to_run = threading.Event()
        self._meant_to_run.set()
        self.failures: list[str] = []
        self.slowest = 0.0
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        self._thread.join(30)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """For as long as Orthanc itself is what is broken."""
        self._meant_to_run.clear()
        time.sleep(0.3)
        try:
            yield
        finally:
            self._meant_to_run.set()

    def _ask(self) -> None:
        with self._pair.node.client(timeout_seconds=20) as client:
            while not self._stop.wait(0.4):
                if not self._meant_to_run.is_set():
                    continue
                start = time.monotonic()
                try:
                    client.get("/system").raise_for_status()
                except httpx.HTTPError as error:
                    if self._meant_to_run.is_set():
                        self.failures.append(type(error).__name__)
                else:
                    self.slowest = max(self.slowest, time.monotonic() - start)
