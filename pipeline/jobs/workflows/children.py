"""The worker's children, and how a step has one of them do its work."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeVar, TypeVarTuple

import structlog
from dbos import DBOS
from dbos import error as dbos_error

from pipeline.child.child import CancelledError, ChildDiedError, OverdueError
from pipeline.child.children import Children, Lent
from pipeline.child.task import Report, Task
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import coded
from pipeline.jobs import tasks
from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.resources import queue, registry
from pipeline.names import Provider

log = structlog.get_logger()

#: How often a stage may run over its deadline before its job fails.
_MOST_OVERRUNS: Final = 2
#: How often the child of a stage may die, as the kernel's killer has it for want of memory.
_MOST_DEATHS: Final = 5
#: A child that only talks to Orthanc serves on while it has no more than this.
_TALKING_MEGABYTES: Final = 200.0

_Arguments = TypeVarTuple("_Arguments")
_Value = TypeVar("_Value")


@cache
def computing() -> Children:
    """The children that compute, one for each job: as many stand ready as jobs run at once."""
    known: dict[str, Provider] = {}

    def first() -> Task:
        try:
            model = registry().get(settings().model or None)
        except GlioLoopError:  # told where a job asks for it
            model = None
        return Task("", "start", tasks.warm, (model, dict(known)))

    return Children(first, settings().concurrency, told=known.update)


@cache
def talking() -> Children:
    """The children that look at studies and send results; they hold no images."""
    return Children(lambda: Task("", "start", tasks.nothing, ()), 0, _TALKING_MEGABYTES)


@dataclass(frozen=True)
class Job:
    """A workflow at work.

    Attributes
    ----------
    identity
        Its id.
    lent
        The child that it has.
    """

    identity: str
    lent: Lent


@dataclass(frozen=True)
class InChild:
    """Calls functions in a job's child, under the deadline of stages.

    Attributes
    ----------
    job
        The job.
    stage
        Its stage.
    report
        Told the progress.
    """

    job: Job
    stage: str
    report: Report = lambda _fraction: None

    def __call__(self, function: Callable[[Report, *_Arguments], _Value], *arguments: *_Arguments) -> _Value:
        """Return what the function returns for a way to report progress and the arguments.

        Raises
        ------
        GlioLoopError
            What the function raises; STAGE_TIMEOUT, WORKER_DIED after so many tries; OUT_OF_MEMORY, DISK_FULL,
            INTERNAL.
        """
        with coded(self.stage):
            return self._tried(function, *arguments)

    def _tried(self, function: Callable[[Report, *_Arguments], _Value], *arguments: *_Arguments) -> _Value:
        overruns = deaths = 0
        workflow = str(DBOS.workflow_id)
        seconds = settings().stage_deadline_seconds
        task = Task(self.job.identity, self.stage, function, arguments)
        while True:
            try:
                value: _Value = self.job.lent.run(task, seconds, self.report, lambda: cancelled(workflow))
                return value
            except OverdueError:
                overruns += 1
                reason = GlioLoopError("STAGE_TIMEOUT", f"{self.stage}: {overruns} times over {seconds:g} s")
            except ChildDiedError as error:
                deaths += 1
                reason = GlioLoopError("WORKER_DIED", f"in stage {self.stage}, {deaths} times: {error}")
            except CancelledError as error:
                raise dbos_error.DBOSWorkflowCancelledError(
                    f"{self.job.identity} was cancelled in stage {self.stage}"
                ) from error
            log.warning("child ended", job=self.job.identity, code=reason.code, detail=reason.detail)
            if overruns >= _MOST_OVERRUNS or deaths >= _MOST_DEATHS:
                raise reason


def cancelled(workflow: str) -> bool:
    """Whether a workflow was cancelled, as far as the database tells."""
    try:
        return queue().is_cancelled(workflow)
    except Exception as error:
        # A database that is locked or away for a moment ends no stage.
        log.warning("not asked whether cancelled", workflow=workflow, error=type(error).__name__)
        return False
