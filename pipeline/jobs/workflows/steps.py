"""A stage as a step whose outcome DBOS records: reported, timed, and every error with its code."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import wraps
from typing import ParamSpec, TypeVar, get_type_hints

import structlog
from dbos import DBOS
from dbos import error as dbos_error
from pydantic import TypeAdapter

from pipeline.case.outcomes import StageOutcome, timed
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import coded
from pipeline.jobs.workflows.children import InChild, Job
from pipeline.jobs.workflows.resources import queue
from pipeline.names import Stage

_Given = ParamSpec("_Given")
_Outcome = TypeVar("_Outcome")
_StageOutcome = TypeVar("_StageOutcome", bound=StageOutcome)


def step(
    name: str, talks_to_orthanc: bool = False, waits_for: tuple[str, ...] = ()
) -> Callable[[Callable[_Given, _Outcome]], Callable[_Given, _Outcome]]:
    """Make a step of a workflow; one that talks to Orthanc is tried again where its error may pass by itself.

    Its outcome is recorded as JSON. A workflow that is recovered gets from the row what the function is annotated to
    return, whichever version wrote it.

    Parameters
    ----------
    name
        Recorded with the step's outcome.
    talks_to_orthanc
        Whether it is tried again at all.
    waits_for
        Further codes that are waited for, beside those that are transient by the table.
    """

    def transient(error: BaseException) -> bool:
        return isinstance(error, GlioLoopError) and (error.reason.transient or error.code in waits_for)

    durable = DBOS.step(
        name=str(name),
        retries_allowed=talks_to_orthanc,
        max_attempts=9,  # 1, 2, 4 … 128 s: an Orthanc that restarts is waited for
        interval_seconds=1,
        backoff_rate=2,
        should_retry=transient,
    )

    def typed(function: Callable[_Given, _Outcome]) -> Callable[_Given, _Outcome]:
        recorded = durable(function)
        outcome: TypeAdapter[_Outcome] = TypeAdapter(get_type_hints(function)["return"])

        @wraps(function)
        def called(*arguments: _Given.args, **named: _Given.kwargs) -> _Outcome:
            return outcome.validate_python(recorded(*arguments, **named))

        return called

    return typed


@contextmanager
def last_error() -> Iterator[None]:
    """Let what a step ended with at its last try stand for all of them."""
    try:
        yield
    except dbos_error.DBOSMaxStepRetriesExceeded as error:
        raise error.errors[-1] from error


log = structlog.get_logger()

_REPORT_EVERY_SECONDS = 0.5


class Reporter:
    """Tells how far a stage of a job is, a few times a second at most."""

    def __init__(self, identity: str, stage: Stage) -> None:
        self._identity = identity
        self._last = time.monotonic()
        self._report(stage=stage.value, progress=0.0, stage_started=datetime.now(UTC).isoformat())

    def __call__(self, fraction: float) -> None:
        """Tell how far the stage is."""
        now = time.monotonic()
        if now - self._last >= _REPORT_EVERY_SECONDS:
            self._last = now
            self._report(progress=round(fraction, 3))

    def _report(self, **values: object) -> None:
        try:
            queue().report(self._identity, **values)
        except Exception as error:
            # A database that is locked or full for a moment: what people see of a job is late, the job goes on.
            log.warning("progress not reported", job=self._identity, error=type(error).__name__)


def run(job: Job, stage: Stage, work: Callable[[InChild], _StageOutcome]) -> _StageOutcome:
    """Run a stage: report it, time it, and give every unforeseen error its code."""
    child = InChild(job, stage.value, Reporter(job.identity, stage))
    try:
        with coded(stage.value):
            outcome = timed(lambda: work(child))
    except GlioLoopError as error:
        log.warning("stage ended", job=job.identity, stage=stage.value, code=error.code, detail=error.detail)
        raise
    log.info("stage done", job=job.identity, stage=stage.value, seconds=outcome.seconds)
    return outcome
