"""Studies that are on their way: tells when nothing new has come for one for a while, long before it counts as stable.

What is told is only a reason to look sooner. Nothing here is kept over a restart: the stable event, and the scan at the
start, find every study, too.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Final

from pipeline.archive.orthanc import Arrival, SeriesRecord
from pipeline.archive.protocol import Archive
from pipeline.errors import GlioLoopError

_TICK_SECONDS: Final = 0.5
#: Orthanc writes down the second of an arrival, not the moment.
_GRAIN_SECONDS: Final = 1.0


@dataclass
class _Watched:
    """A study on its way: when to look next, for how long it must be quiet, and what was there when it last was."""

    due: float
    quiet_seconds: float
    told: frozenset[tuple[str, int]] = frozenset()


class Arrivals:
    """Looks at studies that arrive until they are quiet.

    Parameters
    ----------
    archive
        Where they arrive.
    quiet_seconds
        For how long nothing may have come for any series of a study. Twice as long after each time that it went on all
        the same: a sender with long pauses is not taken for one that has ended again and again.
    tell
        Told Orthanc's id of a study that is quiet and not stable yet.
    clock, now
        Seconds that only go forward; the time of day in UTC, by the archive's clock.
    """

    def __init__(
        self,
        archive: Archive,
        quiet_seconds: float,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._archive = archive
        self._quiet_seconds = quiet_seconds
        self._tell = tell
        self._clock, self._now = clock, now
        self._series: SimpleQueue[str] = SimpleQueue()
        self._watched: dict[str, _Watched] = {}
        self._latest = clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="glioloop-arrivals", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; what is on its way is left to the stable events."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2 * _TICK_SECONDS)

    def note_image(self) -> None:
        """Note that an image of some study has arrived; called for each, and returns at once."""
        self._latest = self._clock()

    def note_series(self, series: str) -> None:
        """Note that a series has begun to arrive; returns at once."""
        self._series.put(series)

    def _run(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            self.look()

    def look(self) -> None:
        """Look at every study that is due."""
        self._learn()
        for study, watched in list(self._watched.items()):
            if self._clock() < watched.due:
                continue
            try:
                goes_on = self._look(study, watched)
            except GlioLoopError:  # Orthanc is busy or stops: asked again at the next turn
                watched.due = self._clock() + self._quiet_seconds
                continue
            if not goes_on:
                del self._watched[study]

    def _learn(self) -> None:
        try:
            while True:
                series = self._series.get_nowait()
                record = self._archive.get(f"/series/{series}")
                # What was made of a study, or was drawn on it, is no reason to look at its images.
                if record and SeriesRecord.model_validate(record).modality == "MR":
                    first = _Watched(self._clock() + self._quiet_seconds, self._quiet_seconds)
                    self._watched.setdefault(str(record["ParentStudy"]), first)
        except (Empty, GlioLoopError):
            return

    def _look(self, study: str, watched: _Watched) -> bool:
        """Look at one study; return whether to look again."""
        found = self._archive.get(f"/studies/{study}")
        if found is None:
            return False
        arrival = Arrival.model_validate(found)
        if arrival.stable:
            return False
        quiet = (self._now() - arrival.latest).total_seconds()
        # Where nothing else arrives the last event tells the moment; the record beside it, should events be late.
        since = self._clock() - self._latest
        if since < watched.quiet_seconds and quiet < watched.quiet_seconds + _GRAIN_SECONDS:
            watched.due = self._clock() + watched.quiet_seconds - max(since, quiet - _GRAIN_SECONDS)
            return True
        if quiet < watched.quiet_seconds - _GRAIN_SECONDS:
            watched.due = self._clock() + watched.quiet_seconds - quiet
            return True
        listed = self._archive.get(f"/studies/{study}/series") or []
        series = [one for one in map(SeriesRecord.model_validate, listed) if one.modality == "MR"]
        there = frozenset((one.id, len(one.instances)) for one in series)
        if there != watched.told:
            self._tell(study)
            watched.told = there
            watched.quiet_seconds *= 2
        watched.due = self._clock() + watched.quiet_seconds
        return True
