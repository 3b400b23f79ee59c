"""Which workers are there, where several hosts share the queue: what one that vanishes leaves is taken up by another.

A worker adds one to its row again and again. That the number changes is the sign of life: no host's clock is compared
with another's.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update

from pipeline.database.tables import WORKERS

#: Of a worker that ended in order: nobody need wait for it.
_LEFT: Final = -1


@dataclass(frozen=True)
class _Seen:
    beat: int | None
    since: float


class Presence:
    """This worker among those of a queue.

    Parameters
    ----------
    engine
        The database.
    executor
        This worker's name.
    silence_seconds
        One that gives no sign of life for so long counts as vanished.
    clock
        Seconds that only go forward.
    """

    def __init__(
        self, engine: Engine, executor: str, silence_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._executor = executor
        self._silence_seconds = silence_seconds
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def arrive(self) -> None:
        """Be there from now on."""
        with self._engine.begin() as connection:
            connection.execute(delete(WORKERS).where(WORKERS.c.executor == self._executor))
            connection.execute(insert(WORKERS).values(executor=self._executor, beat=0))

    def beat(self) -> bool:
        """Give a sign of life; False where others took this worker for vanished, and have its jobs."""
        mine = update(WORKERS).where(WORKERS.c.executor == self._executor).values(beat=WORKERS.c.beat + 1)
        with self._engine.begin() as connection:
            return bool(connection.execute(mine).rowcount)

    def leave(self) -> None:
        """End in order: others take up at once what is left."""
        with self._engine.begin() as connection:
            connection.execute(update(WORKERS).where(WORKERS.c.executor == self._executor).values(beat=_LEFT))

    def vanished(self, with_jobs: list[str]) -> list[str]:
        """Names of the others that left, or were silent for too long.

        Parameters
        ----------
        with_jobs
            Names of all for which jobs count as at work; one that has no row never came, or was taken over by half.
        """
        with self._engine.connect() as connection:
            rows = {row.executor: row.beat for row in connection.execute(select(WORKERS))}
        now, beats = self._clock(), dict.fromkeys(with_jobs, None) | rows
        beats.pop(self._executor, None)
        unchanged = {name: seen for name, seen in self._seen.items() if name in beats and beats[name] == seen.beat}
        self._seen = {name: unchanged.get(name) or _Seen(beat, now) for name, beat in beats.items()}
        return [
            name for name, seen in self._seen.items() if seen.beat == _LEFT or now - seen.since > self._silence_seconds
        ]

    def forget(self, executor: str) -> None:
        """Strike out one whose jobs were taken up, unless it has come back meanwhile."""
        seen = self._seen.pop(executor, None)
        if seen is not None and seen.beat is not None:
            same = (WORKERS.c.executor == executor, WORKERS.c.beat == seen.beat)
            with self._engine.begin() as connection:
                connection.execute(delete(WORKERS).where(*same))

    def look_anew(self) -> None:
        """Take nobody's silence for anything: the database was away, and nobody could give a sign."""
        self._seen.clear()
