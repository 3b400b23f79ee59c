"""The children of a worker: lent to a job for its length, replaced by fresh ones that stand ready."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from pipeline.child.child import Child
from pipeline.child.task import Report, Task

#: So many that nobody uses are kept: two looks and a delivery at once are usual.
_MOST_KEPT: Final = 3


class Children:
    """Children of one kind.

    Parameters
    ----------
    first
        Asked when one is started: what it does before it is given anything.
    ahead
        How many there are, at work and ready, without being asked for.
    kept_megabytes
        One that has more than this in memory is ended when its job ends, and not lent again; 0 for each.
    told
        Given what a first task returned, once its child is used.
    """

    def __init__(
        self,
        first: Callable[[], Task],
        ahead: int,
        kept_megabytes: float = 0.0,
        told: Callable[[Any], None] = lambda _value: None,
    ) -> None:
        self._first = first
        self._told = told
        self._ahead = ahead
        self._kept_megabytes = kept_megabytes
        self._lock = Lock()
        self._ready: list[Future[Child]] = []
        self._at_work = 0
        self._starter = ThreadPoolExecutor(1, "children")
        self.start_ahead(0)

    def start_ahead(self, more: int = 1) -> None:
        """Start so many more than there are without being asked for: before a job ends, for the next one."""
        with self._lock:
            while len(self._ready) + self._at_work < self._ahead + more:
                self._ready.append(self._start())

    def _start(self) -> Future[Child]:
        return self._starter.submit(lambda: Child(self._first(), told=self._told))

    @contextmanager
    def lend(self) -> Iterator["Lent"]:
        """Lend a child for the length of a job; it is taken when the first task comes."""
        lent = Lent(self)
        try:
            yield lent
        finally:
            lent.give_back()

    def take(self) -> Child:
        """Take a child that is ready, or a new one."""
        with self._lock:
            self._at_work += 1
            future = self._ready.pop(0) if self._ready else self._start()
        try:
            return future.result()
        except BaseException:
            self.give_back(None)
            raise

    def give_back(self, child: Child | None) -> None:
        """Give back a child, or say that it is no more."""
        with self._lock:
            self._at_work -= 1
            if child is not None and len(self._ready) < _MOST_KEPT and child.megabytes <= self._kept_megabytes:
                kept: Future[Child] = Future()
                kept.set_result(child)
                self._ready.append(kept)
                return
        if child is not None:
            child.end()
        self.start_ahead(0)


class Lent:
    """A child for the length of a job; one that dies is replaced at the next task."""

    def __init__(self, children: Children) -> None:
        self._children = children
        self._child: Child | None = None

    def run(self, task: Task, deadline_seconds: float, report: Report, cancelled: Callable[[], bool]) -> Any:
        """Do a task: see :meth:`Child.run`."""
        if self._child is not None and self._child.over:
            self.give_back()
        if self._child is None:
            self._child = self._children.take()
        return self._child.run(task, deadline_seconds, report, cancelled)

    def give_back(self) -> None:
        """End the loan."""
        if self._child is not None:
            self._children.give_back(self._child)
            self._child = None
