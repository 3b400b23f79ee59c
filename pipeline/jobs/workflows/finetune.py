"""The durable workflow of a fine-tuning: its phases one by one, never while a clinical job is at work.

One that waits for quiet hours does nothing outside of them, and goes on in the next ones.
"""

import importlib.util
from pathlib import Path

import structlog
from dbos import DBOS

from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import coded
from pipeline.finetune.phases import Phase, tidy
from pipeline.finetune.supervise import PhaseOutcome, run_phase
from pipeline.finetune.verdict import Registered
from pipeline.jobs import finetune_tasks
from pipeline.jobs.finetuning import FinetuneOptions, FinetuneOutput, FinetuneResult, FinetuneRuns
from pipeline.jobs.queues import FINETUNE_WORKFLOW
from pipeline.jobs.resources import settings
from pipeline.jobs.workflows.children import InChild, Job, talking
from pipeline.jobs.workflows.resources import queue
from pipeline.jobs.workflows.steps import step
from pipeline.names import JobState

log = structlog.get_logger()


def _folder(identity: str) -> Path:
    return settings().finetune_folder / identity


@step("finetune-plan")
def _plan(identity: str, options: FinetuneOptions) -> FinetuneResult:
    """Return what is known beforehand of the result: what is learnt from, and what it will be called."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("onnx") is None:
        raise GlioLoopError("TRAINING_UNAVAILABLE")
    with talking().lend() as lent:
        plan = InChild(Job(identity, lent), "finetune-plan")(finetune_tasks.plan, identity, options)
    return FinetuneResult(parent=plan.parent, version=plan.version, learn=plan.learn, held_back=plan.held_back)


@step("finetune-phase")
def _phase(identity: str, phase: str) -> PhaseOutcome:
    runs = FinetuneRuns(queue(), settings().turns)
    runs.report(identity, phase=phase, progress=0.0, waits_for=None)
    with coded(phase):
        outcome = run_phase(
            _folder(identity),
            Phase(phase),
            waits_for=lambda: runs.waits_for(identity),
            cancelled=lambda: runs.is_cancelled(identity),
            report=lambda **values: runs.report(identity, **values),
            silence_seconds=settings().stage_deadline_seconds,
        )
    log.info("fine-tuning", run=identity, phase=phase, **outcome.as_json())
    return outcome


@step("finetune-register")
def _register(identity: str) -> Registered:
    """Install the candidate; put it to use only where the guard let it pass and the site wants that unasked."""
    with talking().lend() as lent:
        return InChild(Job(identity, lent), "promote")(finetune_tasks.register, _folder(identity))


@DBOS.workflow(name=FINETUNE_WORKFLOW, max_recovery_attempts=20)
def finetune(options: object) -> FinetuneOutput:
    """Learn from the corrections; ends ``done`` with a candidate and the guard's decision, or ``refused``."""
    identity = str(DBOS.workflow_id)
    try:
        with coded("between phases"):
            plan = _plan(identity, FinetuneOptions.model_validate(options))
            phases = {phase.value: _phase(identity, phase.value) for phase in Phase}
            registered = _register(identity)
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            raise
        return FinetuneOutput(state=JobState.REFUSED, error=ErrorRecord.of(error))
    finally:
        # Not reached where the worker dies: that run goes on, and needs them.
        tidy(_folder(identity))
    taken = {phase: outcome.as_json() for phase, outcome in phases.items()}
    result = plan.model_copy(update=registered.as_json() | {"phases": taken})
    return FinetuneOutput(state=JobState.DONE, result=result)
