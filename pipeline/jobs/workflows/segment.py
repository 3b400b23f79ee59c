"""The durable workflow of a case.

Each stage is one step whose outcome DBOS records; a worker that dies is started again, finds the
workflow, and goes on after the last recorded step. Steps are idempotent, since the one that was at
work when the worker died runs again: files are rewritten whole, UIDs derive from the job's identity,
and uploads of an object that is there already change nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from pipeline.archive.routing import Routed
from pipeline.case.outcomes import (
    Aligned,
    CaseOutcomes,
    Identified,
    Inferred,
    JobOutput,
    Loaded,
    RestoredVolumes,
    SegmentationResult,
    StageOutcome,
    Stored,
    Written,
    all_flags,
)
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import coded
from pipeline.jobs import tasks
from pipeline.jobs.queues import SEGMENT_WORKFLOW
from pipeline.jobs.request import DeliveryTry, JobRequest
from pipeline.jobs.resources import settings
from pipeline.jobs.tasks import Recipe
from pipeline.jobs.workflows.children import InChild, Job, computing
from pipeline.jobs.workflows.course import enqueue_course
from pipeline.jobs.workflows.deliver import begin_delivery
from pipeline.jobs.workflows.early import await_whole, refuse_overtaken, refused_for_good
from pipeline.jobs.workflows.notify import announce_end
from pipeline.jobs.workflows.priors import enqueue_priors
from pipeline.jobs.workflows.resources import audit, installed, queue
from pipeline.jobs.workflows.routes import routes_by_rules
from pipeline.jobs.workflows.steps import last_error, run, step
from pipeline.jobs.workflows.turns import turn
from pipeline.names import JobState, MRSequence, Stage
from pipeline.settings import ForwardKind

log = structlog.get_logger()

_Outcome = TypeVar("_Outcome", bound=StageOutcome)


@step(Stage.IDENTIFY, talks_to_orthanc=True)
def _identify(job: Job, request: JobRequest) -> Identified:
    def work(child: InChild) -> Identified:
        audit().append(
            "decided",
            job.identity,
            request.asked_by or request.origin,
            {
                "origin": request.origin,
                "study": request.study,
                "study_instance_uid": request.study_instance_uid,
                "series": {sequence.value: uid for sequence, uid in request.identification.chosen.items()},
                "model": request.model,
            },
            once="decision",
        )
        return child(tasks.identify, request)

    return run(job, Stage.IDENTIFY, work)


@step(Stage.LOAD, talks_to_orthanc=True)
def _load(job: Job, request: JobRequest) -> Loaded:
    def work(child: InChild) -> Loaded:
        refuse_overtaken(request)
        return child(tasks.load, job.identity, request, _reference(request))

    return run(job, Stage.LOAD, work)


def _require_files(child: InChild, job: Job, before: Stage, recipe: Recipe) -> None:
    """Have the files of the stages before one here, whichever host did them."""
    child(tasks.make_again, job.identity, before, recipe, installed(recipe.request.model))


@step(Stage.ALIGN, talks_to_orthanc=True)
def _align(job: Job, recipe: Recipe) -> Aligned:
    def work(child: InChild) -> Aligned:
        _require_files(child, job, Stage.ALIGN, recipe)
        return child(tasks.align, job.identity, recipe.settled, recipe.reference)

    return run(job, Stage.ALIGN, work)


@step(Stage.INFER, talks_to_orthanc=True)
def _infer(job: Job, recipe: Recipe) -> Inferred:
    def work(child: InChild) -> Inferred:
        _require_files(child, job, Stage.INFER, recipe)
        return child(tasks.infer, job.identity, installed(recipe.request.model), recipe.reference)

    return run(job, Stage.INFER, work)


@step(Stage.RESTORE, talks_to_orthanc=True)
def _restore(job: Job, recipe: Recipe) -> RestoredVolumes:
    def work(child: InChild) -> RestoredVolumes:
        _require_files(child, job, Stage.RESTORE, recipe)
        return child(tasks.restore, job.identity, installed(recipe.request.model), recipe.reference)

    return run(job, Stage.RESTORE, work)


@step(Stage.WRITE, talks_to_orthanc=True)
def _write(job: Job, recipe: Recipe) -> Written:
    def work(child: InChild) -> Written:
        request, created = recipe.settled, recipe.created or datetime.now(UTC)
        model = installed(request.model)
        replaced = _predecessors(job.identity, request.study)
        _require_files(child, job, Stage.WRITE, recipe)
        written, slices = child(
            tasks.write, job.identity, request, model, recipe.reference, recipe.flags, created, replaced
        )
        # Which images, by which network, became which objects.
        inputs = {
            sequence.value: {"series_instance_uid": uid, "sop_instance_uids": slices[sequence]}
            for sequence, uid in request.identification.chosen.items()
        }
        facts = {
            "study": request.study,
            "study_instance_uid": request.study_instance_uid,
            "inputs": inputs,
            "model": request.model,
            "model_sha256": model.card.sha256,
            "objects": {kind: one.sop_instance_uid for kind, one in written.objects.items()},
        }
        audit().append("segmented", job.identity, "worker", facts, once="result")
        return written

    return run(job, Stage.WRITE, work)


def _predecessors(identity: str, study: str) -> list[str]:
    """Orthanc's ids of the study's structure sets by other jobs, the latest first."""
    others = [job.result.stored for job in queue().jobs(study) if job.result and job.id != identity]
    return [stored["rtstruct"] for stored in others if "rtstruct" in stored]


@step(Stage.STORE, talks_to_orthanc=True)
def _store(job: Job, recipe: Recipe) -> Stored:
    def work(child: InChild) -> Stored:
        request = recipe.settled
        refuse_overtaken(request)
        replaced = tuple(_predecessors(job.identity, request.study))
        _require_files(child, job, Stage.STORE, replace(recipe, predecessors=replaced))
        stored = child(tasks.store, job.identity, request.study)
        facts = {"study": request.study, "objects": {**stored.stored, **stored.series}}
        audit().append("stored", job.identity, "worker", facts, once="objects")
        return stored

    return run(job, Stage.STORE, work)


@step("tidy")
def _tidy(job: Job, output: JobOutput) -> None:
    InChild(job, "tidy")(tasks.tidy, job.identity, output)


@DBOS.workflow(name=SEGMENT_WORKFLOW, max_recovery_attempts=5)
def segment(stored_request: object) -> JobOutput:
    """Segment one case; ends ``done``, ``refused`` with its reason, or raises the failure."""
    with computing().lend() as lent:
        return _segment(Job(str(DBOS.workflow_id), lent), JobRequest.model_validate(stored_request))


def _segment(job: Job, request: JobRequest) -> JobOutput:
    identity = job.identity
    timings: dict[str, float] = {}
    try:
        with coded("between stages"), last_error():
            request, outcomes = _run_stages(job, request, timings)
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            _record_failure(identity, request, error)
            announce_end(identity, request, JobOutput(state=JobState.FAILED, error=ErrorRecord.of(error)))
            raise
        error = refused_for_good(request, error)
        output = JobOutput(state=JobState.REFUSED, error=ErrorRecord.of(error), timings_s=timings)
        _tidy(job, output)
        audit().append("ended", identity, "worker", {"study": request.study, "refused": error.code}, once=error.code)
        announce_end(identity, request, output)
        return output
    result = outcomes.result(request.model, _reference(request))
    output = JobOutput(state=JobState.DONE, result=result, timings_s=timings)
    _tidy(job, output)
    for one in _routes(request, result):
        resources = _resources(one.send, outcomes.stored or Stored(), request)
        # A rule may ask for what this study has not; a destination of no rule is told even so.
        if resources or not one.because:
            begin_delivery(DeliveryTry(job=identity, destination=one.destination, resources=resources))
    enqueue_course(request.study)
    announce_end(identity, request, output)
    return output


def _run_stages(job: Job, request: JobRequest, timings: dict[str, float]) -> tuple[JobRequest, CaseOutcomes]:
    """Run the stages up to the stored objects.

    Returns
    -------
    tuple
        The request with the decision as the images settled it, and what the stages found. The time of each stage
        that ended is in ``timings`` also where a later one fails.
    """

    def ended(stage: Stage, outcome: _Outcome) -> _Outcome:
        timings[stage.value] = outcome.seconds
        return outcome

    identified = ended(Stage.IDENTIFY, _identify(job, request))
    await_whole(request)
    enqueue_priors(request)
    loaded = ended(Stage.LOAD, _load(job, request))
    settled = request
    if loaded.identification is not None:
        settled = request.model_copy(update={"decision": loaded.identification})
    recipe = Recipe(request, settled, _reference(request))
    aligned = ended(Stage.ALIGN, _align(job, recipe))
    with turn(job):
        inferred = ended(Stage.INFER, _infer(job, recipe))
        restored = ended(Stage.RESTORE, _restore(job, recipe))
    computing().start_ahead()  # for the job behind this one
    flags = all_flags((identified, loaded, aligned, inferred, restored))
    recipe = replace(recipe, flags=flags, created=identified.created or datetime.now(UTC))
    written = ended(Stage.WRITE, _write(job, recipe))
    await_whole(settled, (flag.code for flag in flags))
    stored = ended(Stage.STORE, _store(job, recipe))
    return settled, CaseOutcomes(identified, loaded, aligned, inferred, restored, written, stored)


def _record_failure(identity: str, request: JobRequest, error: GlioLoopError) -> None:
    """Put a failure on record; where the disk is what failed, the failure itself is what must be told."""
    facts = {"study": request.study, "failed": error.code}
    try:
        audit().append("ended", identity, "worker", facts, once=error.code)
    except SQLAlchemyError as reason:
        log.error("failure not in the audit trail", job=identity, code=error.code, reason=type(reason).__name__)


def _reference(request: JobRequest) -> MRSequence:
    """The sequence whose slices carry the contours, as configured when the job was asked for."""
    return request.reference or settings().reference


def _routes(request: JobRequest, result: SegmentationResult) -> tuple[Routed, ...]:
    """Where the results go; whoever asked for the job may have named it."""
    if request.destinations is not None or not settings().rules:
        named = settings().destinations_of(request.destinations)
        return tuple(Routed(destination=one.name, send=one.send) for one in named)
    return routes_by_rules(request, result)


def _resources(send: Sequence[ForwardKind], stored: Stored, request: JobRequest) -> list[str]:
    chosen = request.identification.chosen
    resources = [one for kind in send for one in stored.of(kind)]
    if "inputs" in send:
        images = list(chosen.values())
    elif "reference" in send:
        images = [chosen[_reference(request)]]
    else:
        images = []
    # Images first: a viewer that gets contours before their images shows nothing.
    return [instance for uid in images for instance in request.instances[uid]] + resources
