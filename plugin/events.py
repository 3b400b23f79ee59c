"""Orthanc's events into the durable queue.

``OnChange`` runs on the one thread that drains Orthanc's list of changes, and a shutdown waits for it:
it may only note the event and return. A thread of ours writes it to the queue. What dies between the
two (a crash, a queue that is not there yet) is found again by the rescan at the next start.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orthanc

from pipeline.archive.protocol import Archive
from pipeline.jobs.queue import JobQueue
from pipeline.settings import Settings
from plugin.arrivals import Arrivals

_AGAIN_SECONDS: Final = 1.0


@dataclass(frozen=True)
class _Event:
    study: str
    kind: str
    at: float


class EventIntake:
    """Notes events and writes them to the queue.

    Parameters
    ----------
    settings
        The node's settings.
    connect
        Returns the queue, or raises while the worker has not made its tables.
    archive
        Where studies arrive.
    """

    def __init__(self, settings: Settings, connect: Callable[[], JobQueue], archive: Archive) -> None:
        self._settings = settings
        self._connect = connect
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._arrivals: Arrivals | None = None
        if settings.automatic and settings.ready_after_seconds:
            self._arrivals = Arrivals(archive, settings.ready_after_seconds, self._note_ready)
        self._thread = threading.Thread(target=self._drain, name="glioloop-events", daemon=True)

    def start(self) -> None:
        """Start writing; the first thing written asks for a rescan."""
        if self._settings.automatic:
            self._events.put(_Event("", "rescan", time.time()))
        self._thread.start()
        if self._arrivals is not None:
            self._arrivals.start()

    def stop(self) -> None:
        """Stop; events not yet written are left to the next start's rescan."""
        self._stop.set()
        if self._arrivals is not None:
            self._arrivals.stop()
        self._events.put(None)
        self._thread.join(_AGAIN_SECONDS * 2)

    def note(self, change: int, level: int, resource: str) -> None:
        """Note one of Orthanc's changes; returns at once."""
        if change == orthanc.ChangeType.DELETED and level == orthanc.ResourceType.STUDY:
            self._events.put(_Event(resource, "deleted", time.time()))
        if not self._settings.automatic:
            return
        if change == orthanc.ChangeType.STABLE_STUDY:
            self._events.put(_Event(resource, "stable", time.time()))
        elif change == orthanc.ChangeType.NEW_STUDY:
            self._events.put(_Event(resource, "forced", time.time()))
        elif self._arrivals is None:
            return
        elif change == orthanc.ChangeType.NEW_INSTANCE:
            self._arrivals.note_image()
        elif change == orthanc.ChangeType.NEW_SERIES:
            self._arrivals.note_series(resource)

    def _note_ready(self, study: str) -> None:
        self._events.put(_Event(study, "ready", time.time()))

    def _drain(self) -> None:
        while (event := self._events.get()) is not None and not self._stop.is_set():
            while not self._write(event) and not self._stop.wait(_AGAIN_SECONDS):
                pass

    def _write(self, event: _Event) -> bool:
        name = f"{event.kind}-{int(event.at * 1000)}"
        try:
            jobs = self._connect()
            if event.kind == "rescan":
                jobs.enqueue_rescan(name)
            elif event.kind == "deleted":
                jobs.enqueue_course(event.study, name)
            elif event.kind == "forced":
                jobs.enqueue_intake(event.study, name, "forced", self._settings.forced_seconds)
            else:
                jobs.enqueue_intake(event.study, name, event.kind)
        except Exception as error:
            # Whatever the database raises, the event must not be lost: it is tried again.
            orthanc.LogWarning(f"GlioLoop: event not queued yet ({type(error).__name__})")
            return False
        return True
