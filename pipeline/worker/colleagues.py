"""The other workers of a queue that hosts share: what one that vanishes leaves is taken over."""

import structlog
from sqlalchemy.exc import SQLAlchemyError

from pipeline.jobs.presence import Presence
from pipeline.jobs.queue import JobQueue

log = structlog.get_logger()


class Colleagues:
    """This worker's sign of life, and its look at those of the others.

    Parameters
    ----------
    queue
        The queue that they share.
    executor
        This worker's name in it.
    silence_seconds
        A worker that gives no sign of life for so long counts as vanished.
    """

    def __init__(self, queue: JobQueue, executor: str, silence_seconds: float) -> None:
        self._queue = queue
        self._presence = Presence(queue.engine, executor, silence_seconds)
        self._presence.arrive()

    def look(self) -> bool:
        """Give a sign of life, and take over what others left; False where this worker's own was taken over."""
        try:
            if not self._presence.beat():
                return False
            self._queue.adopt_queued()  # those that run on may queue more
            for executor in self._presence.vanished(self._queue.executors_at_work()):
                jobs = self._queue.take_over(executor)
                self._presence.forget(executor)
                log.warning("taken over from a worker that is gone", worker=executor, jobs=jobs)
        except SQLAlchemyError as error:  # the database is away: it passes, and nobody else could give a sign either
            log.warning("other workers not looked at", error=type(error).__name__)
            self._presence.look_anew()
        return True

    def leave(self) -> None:
        """End in order: what is left is taken over at once."""
        try:
            self._presence.leave()
        except SQLAlchemyError as error:
            log.warning("leave not taken", error=type(error).__name__)
