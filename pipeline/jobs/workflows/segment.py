"""The durable workflow of a case.

Each stage is one step whose outcome DBOS records; a worker that dies is started again, finds the
workflow, and goes on after the last recorded step. Steps are idempotent, since the one that was at
work when the worker died runs again: files are rewritten whole, UIDs derive from the job's identity,
and uploads of an object that is there already change nothing.
"""

import shutil
from datetime import UTC, datetime
from typing import TypeVar

import pydicom
import structlog
from dbos import DBOS

from pipeline.archive.client import fetch_image
from pipeline.archive.forward import check_destination
from pipeline.archive.store import store
from pipeline.case import stages
from pipeline.case.lacking import may_lack_of
from pipeline.case.outcomes import (
    Aligned,
    CaseOutcomes,
    Identified,
    Inferred,
    JobOutput,
    Loaded,
    RestoredVolumes,
    StageOutcome,
    Stored,
    Written,
    all_flags,
    told,
)
from pipeline.dashboard.pictures import write_pictures
from pipeline.errors import GlioLoopError, Kind
from pipeline.errors.records import ErrorRecord, FlagRecord
from pipeline.errors.resources import coded, trace_of
from pipeline.identify import Decision
from pipeline.jobs.queues import SEGMENT_WORKFLOW
from pipeline.jobs.request import DeliveryTry, JobRequest
from pipeline.jobs.workflows.deliver import begin_delivery
from pipeline.jobs.workflows.resources import archive, audit, installed, queue, settings, workspace
from pipeline.jobs.workflows.steps import Reporter, last_error, run, step
from pipeline.names import JobState, MRSequence, Stage
from pipeline.settings import Destination

log = structlog.get_logger()

_Outcome = TypeVar("_Outcome", bound=StageOutcome)


@step(Stage.IDENTIFY, talks_to_orthanc=True)
def _identify(identity: str, request: JobRequest) -> Identified:
    def work(_: Reporter) -> Identified:
        decision = request.identification
        audit().append(
            "decided",
            identity,
            request.asked_by or request.origin,
            {
                "origin": request.origin,
                "study": request.study,
                "study_instance_uid": request.study_instance_uid,
                "series": {sequence.value: uid for sequence, uid in decision.chosen.items()},
                "model": request.model,
            },
            once="decision",
        )
        flags = decision.require(request.may_lack)
        for destination in request.destinations or ():
            check_destination(archive(), destination)
        # Recorded with this step: a later one that runs twice writes the same time into the objects.
        return Identified(created=datetime.now(UTC), flags=told(flags))

    return run(identity, Stage.IDENTIFY, work)


@step(Stage.LOAD, talks_to_orthanc=True)
def _load(identity: str, request: JobRequest) -> Loaded:
    def work(progress: Reporter) -> Loaded:
        case = workspace(identity)
        decision = request.identification
        most = settings().most_series_bytes
        case.drop_sources()  # a try before this one may have let series change places
        total = sum(len(request.instances[uid]) for uid in decision.chosen.values())
        done = 0

        def fetch(sequence: MRSequence, uid: str) -> None:
            nonlocal done
            _refuse_too_large(decision, uid, most)
            shutil.rmtree(case.source(sequence), ignore_errors=True)
            case.source(sequence).mkdir(parents=True)
            for instance in request.instances[uid]:
                fetch_image(archive(), instance, case.source(sequence) / f"{instance}.dcm", most)
                done += 1
                progress(min(0.5, 0.5 * done / total))

        def report(fraction: float) -> None:
            progress(0.5 + 0.5 * fraction)

        return stages.load_stage(case, decision, most, report, _reference(request), fetch)

    return run(identity, Stage.LOAD, work)


def _refuse_too_large(decision: Decision, uid: str, most_bytes: int) -> None:
    """Refuse a series that is too large before any of it is fetched."""
    for verdict in decision.verdicts:
        if verdict.series_instance_uid == uid and verdict.orthanc_id:
            statistics = archive().get(f"/series/{verdict.orthanc_id}/statistics")
            size = int(statistics["DiskSize"]) if statistics else 0
            if size > most_bytes:
                raise GlioLoopError("INPUT_TOO_LARGE", f"{size >> 20} MB in series {verdict.series_instance_uid}")
            return


@step(Stage.ALIGN)
def _align(identity: str, request: JobRequest) -> Aligned:
    def work(_: Reporter) -> Aligned:
        return stages.align_stage(workspace(identity), _reference(request), request.identification.named)

    return run(identity, Stage.ALIGN, work)


@step(Stage.INFER)
def _infer(identity: str, request: JobRequest) -> Inferred:
    def work(progress: Reporter) -> Inferred:
        network = installed(request.model)
        may_lack = may_lack_of(settings(), network.card)
        return stages.infer_stage(workspace(identity), _reference(request), network, progress, may_lack)

    return run(identity, Stage.INFER, work)


@step(Stage.RESTORE)
def _restore(identity: str, request: JobRequest) -> RestoredVolumes:
    def work(_: Reporter) -> RestoredVolumes:
        return stages.restore_stage(workspace(identity), _reference(request), installed(request.model).card)

    return run(identity, Stage.RESTORE, work)


@step(Stage.WRITE, talks_to_orthanc=True)
def _write(identity: str, request: JobRequest, created: datetime, flags: tuple[FlagRecord, ...]) -> Written:
    def work(_: Reporter) -> Written:
        outcome = stages.write_stage(
            workspace(identity),
            settings().model_copy(update={"reference": _reference(request)}),
            installed(request.model),
            flags,
            identity,
            created,
            _predecessor(identity, request.study),
        )
        _write_pictures(identity, request)
        _record_segmentation(identity, request, outcome)
        return outcome

    return run(identity, Stage.WRITE, work)


def _record_segmentation(identity: str, request: JobRequest, outcome: Written) -> None:
    """Put on record which images, by which network, became which objects."""
    case = workspace(identity)
    inputs = {
        sequence.value: {"series_instance_uid": uid, "sop_instance_uids": case.instances(sequence)}
        for sequence, uid in request.identification.chosen.items()
    }
    facts = {
        "study": request.study,
        "study_instance_uid": request.study_instance_uid,
        "inputs": inputs,
        "model": request.model,
        "model_sha256": installed(request.model).card.sha256,
        "objects": {kind: one.sop_instance_uid for kind, one in outcome.objects.items()},
    }
    audit().append("segmented", identity, "worker", facts, once="result")


def _write_pictures(identity: str, request: JobRequest) -> None:
    """Draw what the dashboard browses; contours go out also where that fails."""
    try:
        write_pictures(workspace(identity), _reference(request), settings().roi_names)
    except Exception as error:
        log.error("slices not drawn", job=identity, where=trace_of(error))


def _predecessor(identity: str, study: str) -> pydicom.Dataset | None:
    """Return the study's latest structure set by another job, where the archive still has it."""
    for job in queue().jobs(study):
        stored = job.result.stored.get("rtstruct") if job.result else None
        if job.id != identity and stored:
            path = workspace(identity).write_bytes("predecessor.dcm", b"")
            if archive().download(f"/instances/{stored}/file", path):
                return pydicom.dcmread(path)
    return None


@step(Stage.STORE, talks_to_orthanc=True)
def _store(identity: str, request: JobRequest) -> Stored:
    def work(_: Reporter) -> Stored:
        # An upload into a study that was deleted meanwhile would bring an empty shell of it back.
        if archive().get(f"/studies/{request.study}") is None:
            raise GlioLoopError("STUDY_GONE", request.study)
        stored = store(archive(), sorted(workspace(identity).objects.glob("*.dcm")))
        audit().append("stored", identity, "worker", {"study": request.study, "objects": stored}, once="objects")
        return Stored(stored=stored)

    return run(identity, Stage.STORE, work)


@step("tidy")
def _tidy(identity: str, output: JobOutput) -> None:
    case = workspace(identity)
    case.write_json("result", (output.result or JobOutput(error=output.error)).as_json())
    if not settings().keep_job_files:
        case.tidy()


@DBOS.workflow(name=SEGMENT_WORKFLOW, max_recovery_attempts=5)
def segment(stored_request: object) -> JobOutput:
    """Segment one case; ends ``done``, ``refused`` with its reason, or raises the failure."""
    identity = str(DBOS.workflow_id)
    request = JobRequest.model_validate(stored_request)
    timings: dict[str, float] = {}
    try:
        with coded("between stages"), last_error():
            request, outcomes = _run_stages(identity, request, timings)
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            _record_failure(identity, request, error)
            raise
        output = JobOutput(state=JobState.REFUSED, error=ErrorRecord.of(error), timings_s=timings)
        _tidy(identity, output)
        audit().append("ended", identity, "worker", {"study": request.study, "refused": error.code}, once=error.code)
        return output
    result = outcomes.result(request.model, _reference(request))
    output = JobOutput(state=JobState.DONE, result=result, timings_s=timings)
    _tidy(identity, output)
    for destination in _destinations(request):
        resources = _resources(destination, result.stored, request)
        begin_delivery(DeliveryTry(job=identity, destination=destination.modality, resources=resources))
    return output


def _run_stages(identity: str, request: JobRequest, timings: dict[str, float]) -> tuple[JobRequest, CaseOutcomes]:
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

    identified = ended(Stage.IDENTIFY, _identify(identity, request))
    loaded = ended(Stage.LOAD, _load(identity, request))
    if loaded.identification is not None:
        request = request.model_copy(update={"decision": loaded.identification})
    aligned = ended(Stage.ALIGN, _align(identity, request))
    inferred = ended(Stage.INFER, _infer(identity, request))
    restored = ended(Stage.RESTORE, _restore(identity, request))
    flags = all_flags((identified, loaded, aligned, inferred, restored))
    created = identified.created or datetime.now(UTC)
    written = ended(Stage.WRITE, _write(identity, request, created, flags))
    stored = ended(Stage.STORE, _store(identity, request))
    return request, CaseOutcomes(identified, loaded, aligned, inferred, restored, written, stored)


def _record_failure(identity: str, request: JobRequest, error: GlioLoopError) -> None:
    """Put a failure on record; where the disk is what failed, the failure itself is what must be told."""
    facts = {"study": request.study, "failed": error.code}
    try:
        audit().append("ended", identity, "worker", facts, once=error.code)
    except OSError as reason:
        log.error("failure not in the audit trail", job=identity, code=error.code, reason=reason.strerror)


def _reference(request: JobRequest) -> MRSequence:
    """The sequence whose slices carry the contours, as configured when the job was asked for."""
    return request.reference or settings().reference


def _destinations(request: JobRequest) -> tuple[Destination, ...]:
    configured = {one.modality: one for one in settings().destinations}
    if request.destinations is None:
        return tuple(configured.values())
    return tuple(configured.get(name, Destination(modality=name)) for name in request.destinations)


def _resources(destination: Destination, stored: dict[str, str], request: JobRequest) -> list[str]:
    chosen = request.identification.chosen
    resources = [stored[kind] for kind in destination.send if kind in stored]
    if "inputs" in destination.send:
        images = list(chosen.values())
    elif "reference" in destination.send:
        images = [chosen[_reference(request)]]
    else:
        images = []
    # Images first: a viewer that gets contours before their images shows nothing.
    return [instance for uid in images for instance in request.instances[uid]] + resources
