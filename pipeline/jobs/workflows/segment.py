"""The durable workflow of a job: the segmentation of a case.

Each stage is one step whose outcome DBOS records; a worker that dies is started again, finds the
workflow, and goes on after the last recorded step. Steps are idempotent, since the one that was at
work when the worker died runs again: files are rewritten whole, UIDs derive from the job's identity,
and uploads of an object that is there already change nothing.
"""

import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pydicom
import structlog
from dbos import DBOS

from pipeline import jobs, stages
from pipeline.archive import fetch_image
from pipeline.deadline import WATCH
from pipeline.delivery import check_destination, store
from pipeline.delivery.durable import begin_delivery
from pipeline.durable import archive, audit, case_folder, installed, last_error, queue, refuse_endless, settings, step
from pipeline.errors import GlioLoopError, Kind
from pipeline.exhaustion import coded, exhausted, place_of, trace_of
from pipeline.identify import Decision
from pipeline.intake import may_lack_of
from pipeline.jobs import DeliveryTry, JobRequest
from pipeline.names import JobState, Sequence, Stage
from pipeline.settings import Destination
from pipeline.viewer.browse import keep_browsable

log = structlog.get_logger()

_REPORT_EVERY_SECONDS = 0.5


class _Reporter:
    """Tells how far a stage of a job is, a few times a second at most."""

    def __init__(self, identity: str, stage: Stage) -> None:
        self._identity = identity
        self._last = time.monotonic()
        self._report(stage=stage.value, progress=0.0, stage_started=datetime.now(UTC).isoformat())

    def __call__(self, fraction: float) -> None:
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


def _run(identity: str, stage: Stage, work: Callable[[_Reporter], dict[str, Any]]) -> dict[str, Any]:
    """Run a stage: report it, time it, and give every unforeseen error its code."""
    reporter = _Reporter(identity, stage)
    outcome: dict[str, Any] = {}
    try:
        refuse_endless(identity, stage)
        with stages.timed(outcome), WATCH.at_work(identity, stage.value):
            outcome |= work(reporter)
    except GlioLoopError as error:
        log.warning("stage ended", job=identity, stage=stage.value, code=error.code, detail=error.detail)
        raise
    except Exception as error:
        reason = exhausted(error, stage.value)
        if reason is not None:
            log.error("stage ended", job=identity, stage=stage.value, code=reason.code, detail=reason.detail)
            raise reason from error
        # Where, not what: the text of an exception may quote a patient's name.
        log.error("stage failed", job=identity, stage=stage.value, where=trace_of(error))
        raise GlioLoopError("INTERNAL", f"{stage.value}: {place_of(error)}") from error
    log.info("stage done", job=identity, stage=stage.value, seconds=outcome["seconds"])
    return outcome


# --- segmentation -------------------------------------------------------------------------------------


@step(Stage.IDENTIFY, talks_to_orthanc=True)
def _identify(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        if "error" in request.decision:
            error = request.decision["error"]
            raise GlioLoopError(error["code"], error["detail"], error.get("data"))
        decision = Decision.from_json(request.decision)
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
        return {"created": datetime.now(UTC).isoformat(), "flags": [flag.as_json() for flag in flags]}

    return _run(identity, Stage.IDENTIFY, work)


@step(Stage.LOAD, talks_to_orthanc=True)
def _load(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(progress: _Reporter) -> dict[str, Any]:
        case = case_folder(identity)
        decision = Decision.from_json(request.decision)
        most = settings().most_series_bytes
        case.drop_sources()  # a try before this one may have let series change places
        total = sum(len(request.instances[uid]) for uid in decision.chosen.values())
        done = 0

        def fetch(sequence: Sequence, uid: str) -> None:
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

    return _run(identity, Stage.LOAD, work)


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
def _align(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        named = Decision.from_json(request.decision).named
        return stages.align_stage(case_folder(identity), _reference(request), named)

    return _run(identity, Stage.ALIGN, work)


@step(Stage.INFER)
def _infer(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(progress: _Reporter) -> dict[str, Any]:
        network = installed(request.model)
        may_lack = may_lack_of(settings(), network.card)
        return stages.infer_stage(case_folder(identity), _reference(request), network, progress, may_lack)

    return _run(identity, Stage.INFER, work)


@step(Stage.RESTORE)
def _restore(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        return stages.restore_stage(case_folder(identity), _reference(request), installed(request.model).card)

    return _run(identity, Stage.RESTORE, work)


@step(Stage.WRITE, talks_to_orthanc=True)
def _write(identity: str, request: JobRequest, created: str, flags: list[dict[str, Any]]) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        outcome = stages.write_stage(
            case_folder(identity),
            settings().model_copy(update={"reference": _reference(request)}),
            installed(request.model),
            flags,
            identity,
            datetime.fromisoformat(created),
            _predecessor(identity, request.study),
        )
        _keep_browsable(identity, request)
        _record_segmentation(identity, request, outcome)
        return outcome

    return _run(identity, Stage.WRITE, work)


def _record_segmentation(identity: str, request: JobRequest, outcome: dict[str, Any]) -> None:
    """Put on record which images, by which network, became which objects."""
    case = case_folder(identity)
    inputs = {
        sequence.value: {"series_instance_uid": uid, "sop_instance_uids": case.instances(sequence)}
        for sequence, uid in Decision.from_json(request.decision).chosen.items()
    }
    facts = {
        "study": request.study,
        "study_instance_uid": request.study_instance_uid,
        "inputs": inputs,
        "model": request.model,
        "model_sha256": installed(request.model).card.sha256,
        "objects": {kind: one["sop_instance_uid"] for kind, one in outcome["objects"].items()},
    }
    audit().append("segmented", identity, "worker", facts, once="result")


def _keep_browsable(identity: str, request: JobRequest) -> None:
    """Draw what the dashboard browses; contours go out also where that fails."""
    try:
        keep_browsable(case_folder(identity), _reference(request), settings().roi_names)
    except Exception as error:
        log.error("slices not drawn", job=identity, where=trace_of(error))


def _predecessor(identity: str, study: str) -> pydicom.Dataset | None:
    """Return the study's latest structure set by another job, where the archive still has it."""
    for job in queue().jobs(study):
        stored = (job["result"] or {}).get("stored", {}).get("rtstruct")
        if job["id"] != identity and stored:
            path = case_folder(identity).write_bytes("predecessor.dcm", b"")
            if archive().download(f"/instances/{stored}/file", path):
                return pydicom.dcmread(path)
    return None


@step(Stage.STORE, talks_to_orthanc=True)
def _store(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        # An upload into a study that was deleted meanwhile would bring an empty shell of it back.
        if archive().get(f"/studies/{request.study}") is None:
            raise GlioLoopError("STUDY_GONE", request.study)
        stored = store(archive(), sorted(case_folder(identity).objects.glob("*.dcm")))
        audit().append("stored", identity, "worker", {"study": request.study, "objects": stored}, once="objects")
        return {"stored": stored}

    return _run(identity, Stage.STORE, work)


@step("tidy")
def _tidy(identity: str, result: dict[str, Any]) -> None:
    case = case_folder(identity)
    case.write_json("result", result)
    if not settings().keep_job_files:
        case.tidy()


@DBOS.workflow(name=jobs.SEGMENT_WORKFLOW, max_recovery_attempts=5)
def segment(request_json: dict[str, Any]) -> dict[str, Any]:
    """Segment one case; ends ``done``, ``refused`` with its reason, or raises the failure."""
    identity = str(DBOS.workflow_id)
    request = JobRequest.model_validate(request_json)
    outcomes: dict[str, dict[str, Any]] = {}
    try:
        with coded("between stages"), last_error():
            _run_stages(identity, request, outcomes)
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            _record_failure(identity, request, error)
            raise
        _tidy(identity, {"error": error.as_json()})
        audit().append("ended", identity, "worker", {"study": request.study, "refused": error.code}, once=error.code)
        return {"state": JobState.REFUSED.value, "error": error.as_json(), "timings_s": _timings(outcomes)}
    request = _settled(request, outcomes)
    result = stages.collect_result(outcomes, request.model, _reference(request))
    _tidy(identity, result)
    for destination in _destinations(request):
        resources = _resources(destination, result["stored"], request)
        begin_delivery(DeliveryTry(job=identity, destination=destination.modality, resources=resources))
    return {"state": JobState.DONE.value, "result": result, "timings_s": _timings(outcomes)}


def _run_stages(identity: str, request: JobRequest, outcomes: dict[str, dict[str, Any]]) -> None:
    """Run the stages up to the stored result; what is there already when one fails stays in ``outcomes``."""
    outcomes[Stage.IDENTIFY] = _identify(identity, request)
    outcomes[Stage.LOAD] = _load(identity, request)
    request = _settled(request, outcomes)
    outcomes[Stage.ALIGN] = _align(identity, request)
    outcomes[Stage.INFER] = _infer(identity, request)
    outcomes[Stage.RESTORE] = _restore(identity, request)
    flags = [flag for outcome in outcomes.values() for flag in outcome.get("flags", [])]
    outcomes[Stage.WRITE] = _write(identity, request, outcomes[Stage.IDENTIFY]["created"], flags)
    outcomes[Stage.STORE] = _store(identity, request)


def _settled(request: JobRequest, outcomes: dict[str, dict[str, Any]]) -> JobRequest:
    """The request with the decision as the images settled it, where the headers had left it open."""
    decision = outcomes[Stage.LOAD].get("identification")
    return request if decision is None else request.model_copy(update={"decision": decision})


def _record_failure(identity: str, request: JobRequest, error: GlioLoopError) -> None:
    """Put a failure on record; where the disk is what failed, the failure itself is what must be told."""
    facts = {"study": request.study, "failed": error.code}
    try:
        audit().append("ended", identity, "worker", facts, once=error.code)
    except OSError as reason:
        log.error("failure not in the audit trail", job=identity, code=error.code, reason=reason.strerror)


def _reference(request: JobRequest) -> Sequence:
    """The sequence whose slices carry the contours, as configured when the job was asked for."""
    return request.reference or settings().reference


def _timings(outcomes: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {str(stage): outcome["seconds"] for stage, outcome in outcomes.items()}


# --- delivery -----------------------------------------------------------------------------------------


def _destinations(request: JobRequest) -> tuple[Destination, ...]:
    configured = {one.modality: one for one in settings().destinations}
    if request.destinations is None:
        return tuple(configured.values())
    return tuple(configured.get(name, Destination(modality=name)) for name in request.destinations)


def _resources(destination: Destination, stored: dict[str, str], request: JobRequest) -> list[str]:
    chosen = Decision.from_json(request.decision).chosen
    resources = [stored[kind] for kind in destination.send if kind in stored]
    if "inputs" in destination.send:
        images = list(chosen.values())
    elif "reference" in destination.send:
        images = [chosen[_reference(request)]]
    else:
        images = []
    # Images first: a viewer that gets contours before their images shows nothing.
    return [instance for uid in images for instance in request.instances[uid]] + resources
