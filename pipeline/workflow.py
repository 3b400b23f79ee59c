"""The durable workflows: intake of a study, segmentation of a case, delivery to a destination.

Each stage is one step whose outcome DBOS records; a worker that dies is started again, finds the
workflow, and goes on after the last recorded step. Steps are idempotent, since the one that was at
work when the worker died runs again: files are rewritten whole, UIDs derive from the job's identity,
and uploads of an object that is there already change nothing.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
import structlog
from dbos import DBOS, EnqueueOptions, SetWorkflowID
from dbos import error as dbos_error

from pipeline import intake, jobs, stages
from pipeline.archive import HttpArchive
from pipeline.audit import AuditTrail
from pipeline.casefolder import CaseFolder
from pipeline.deadline import TRIES, WATCH
from pipeline.delivery import check_destination, forward_once, store
from pipeline.errors import GlioLoopError, Kind
from pipeline.exhaustion import coded, exhausted, trace_of
from pipeline.identify import Decision
from pipeline.jobs import JobQueue, JobRequest, ProcessOptions
from pipeline.names import JobState, Stage
from pipeline.registry import InstalledModel, Registry
from pipeline.settings import Destination, Settings, load_settings
from pipeline.viewer.browse import keep_browsable

log = structlog.get_logger()

_REPORT_EVERY_SECONDS = 0.5
_CHANGES_PAGE = 1000
_SLOWEST_DELIVERY_SECONDS = 600.0


@cache
def settings() -> Settings:
    """Return this worker's settings, read once."""
    return load_settings()


@cache
def archive() -> HttpArchive:
    """Return this worker's connection to Orthanc."""
    return HttpArchive(settings())


@cache
def queue() -> JobQueue:
    """Return this worker's client of the queue, for what is not part of a workflow's history."""
    return JobQueue(settings().queue_database_url)


@cache
def audit() -> AuditTrail:
    """Return the node's audit trail."""
    return AuditTrail(settings().state_folder)


def registry() -> Registry:
    """Return the registry; read anew, so that a promotion counts for the next job."""
    return Registry(settings().models_folder, settings().state_folder)


def _step(
    name: Stage | str, talks_to_orthanc: bool = False, waits_for: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def transient(error: BaseException) -> bool:
        return isinstance(error, GlioLoopError) and (error.reason.transient or error.code in waits_for)

    return DBOS.step(
        name=str(name),
        retries_allowed=talks_to_orthanc,
        max_attempts=9,  # 1, 2, 4 … 128 s: an Orthanc that restarts is waited for
        interval_seconds=1,
        backoff_rate=2,
        should_retry=transient,
    )


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
        _refuse_endless(identity, stage)
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
        raise GlioLoopError("INTERNAL", f"{stage.value}: {type(error).__name__}: {error}"[:500]) from error
    log.info("stage done", job=identity, stage=stage.value, seconds=outcome["seconds"])
    return outcome


def _refuse_endless(identity: str, stage: str) -> None:
    """Fail a job whose stage ran over its deadline at every try: a third would not end either."""
    if queue().timeouts(identity, stage) >= TRIES:
        raise GlioLoopError("STAGE_TIMEOUT", f"{stage}: {TRIES} times over {settings().stage_deadline_seconds:g} s")


def case_folder(identity: str) -> CaseFolder:
    """Return the working folder of a job."""
    return CaseFolder(settings().jobs_folder / identity)


# --- segmentation -------------------------------------------------------------------------------------


@_step(Stage.IDENTIFY, talks_to_orthanc=True)
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


@_step(Stage.LOAD, talks_to_orthanc=True)
def _load(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(progress: _Reporter) -> dict[str, Any]:
        case = case_folder(identity)
        decision = Decision.from_json(request.decision)
        chosen = decision.chosen
        _refuse_too_large(decision)
        if decision.open:
            case.drop_sources()  # a try before this one may have let two series change places
        total = sum(len(request.instances[uid]) for uid in chosen.values())
        done = 0
        for sequence, uid in chosen.items():
            case.source(sequence).mkdir(parents=True, exist_ok=True)
            for instance in request.instances[uid]:
                _download(instance, case.source(sequence) / f"{instance}.dcm")
                done += 1
                progress(0.5 * done / total)
        return stages.load_stage(case, decision, lambda fraction: progress(0.5 + 0.5 * fraction))

    return _run(identity, Stage.LOAD, work)


def _refuse_too_large(decision: Decision) -> None:
    """Refuse a series that is too large before any of it is fetched."""
    chosen = set(decision.chosen.values())
    for verdict in decision.verdicts:
        if verdict.series_instance_uid in chosen and verdict.orthanc_id:
            statistics = archive().get(f"/series/{verdict.orthanc_id}/statistics")
            size = int(statistics["DiskSize"]) if statistics else 0
            if size > _most_bytes():
                raise GlioLoopError("INPUT_TOO_LARGE", f"{size >> 20} MB in series {verdict.series_instance_uid}")


def _most_bytes() -> int:
    return settings().most_series_megabytes << 20


def _download(instance: str, target: Path) -> None:
    """Fetch one instance; an image that is being sent again is gone for a moment and comes back."""
    for wait in (0.0, 0.5, 2.0, 5.0):
        time.sleep(wait)
        if archive().download(f"/instances/{instance}/file", target, _most_bytes()):
            return
    listed = archive().get(f"/instances/{instance}") is not None
    raise GlioLoopError("IMAGE_WITHHELD" if listed else "STUDY_GONE", f"instance {instance}")


@_step(Stage.ALIGN)
def _align(identity: str) -> dict[str, Any]:
    return _run(identity, Stage.ALIGN, lambda _: stages.align_stage(case_folder(identity), settings().reference))


@_step(Stage.INFER)
def _infer(identity: str, model: str) -> dict[str, Any]:
    def work(progress: _Reporter) -> dict[str, Any]:
        return stages.infer_stage(case_folder(identity), settings().reference, installed(model), progress)

    return _run(identity, Stage.INFER, work)


@_step(Stage.RESTORE)
def _restore(identity: str, model: str) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        return stages.restore_stage(case_folder(identity), settings().reference, installed(model).card)

    return _run(identity, Stage.RESTORE, work)


@_step(Stage.WRITE, talks_to_orthanc=True)
def _write(identity: str, request: JobRequest, created: str, flags: list[dict[str, Any]]) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        outcome = stages.write_stage(
            case_folder(identity),
            settings(),
            installed(request.model),
            flags,
            identity,
            datetime.fromisoformat(created),
            _predecessor(identity, request.study),
        )
        _keep_browsable(identity)
        _record_segmentation(identity, request, outcome)
        return outcome

    return _run(identity, Stage.WRITE, work)


def _record_segmentation(identity: str, request: JobRequest, outcome: dict[str, Any]) -> None:
    """Put on record which images, by which network, became which objects."""
    case = case_folder(identity)
    inputs = {}
    for sequence, uid in Decision.from_json(request.decision).chosen.items():
        slices = case.read_json(f"volume-{sequence.value}")["slices"]
        inputs[sequence.value] = {
            "series_instance_uid": uid,
            "sop_instance_uids": sorted({one["sop_instance_uid"] for one in slices}),
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


def _keep_browsable(identity: str) -> None:
    """Draw what the dashboard browses; contours go out also where that fails."""
    try:
        keep_browsable(case_folder(identity), settings().reference, settings().roi_names)
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


@_step(Stage.STORE, talks_to_orthanc=True)
def _store(identity: str, request: JobRequest) -> dict[str, Any]:
    def work(_: _Reporter) -> dict[str, Any]:
        # An upload into a study that was deleted meanwhile would bring an empty shell of it back.
        if archive().get(f"/studies/{request.study}") is None:
            raise GlioLoopError("STUDY_GONE", request.study)
        stored = store(archive(), sorted(case_folder(identity).objects.glob("*.dcm")))
        audit().append("stored", identity, "worker", {"study": request.study, "objects": stored}, once="objects")
        return {"stored": stored}

    return _run(identity, Stage.STORE, work)


@_step("tidy")
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
        with coded("between stages"), _last_error():
            _run_stages(identity, request, outcomes)
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            _record_failure(identity, request, error)
            raise
        _tidy(identity, {"error": error.as_json()})
        audit().append("ended", identity, "worker", {"study": request.study, "refused": error.code}, once=error.code)
        return {"state": JobState.REFUSED.value, "error": error.as_json(), "timings_s": _timings(outcomes)}
    request = _settled(request, outcomes)
    result = stages.collect_result(outcomes, request.model, settings().reference)
    _tidy(identity, result)
    for destination in _destinations(request):
        resources = _resources(destination, result["stored"], request)
        # Known before this workflow ends, so that the job is at no moment "done" with its delivery to come.
        _delivered(identity, destination.modality, {"state": "queued", "attempts": 0})
        with SetWorkflowID(f"{identity}.{destination.modality}"):
            DBOS.enqueue_workflow(jobs.DELIVERY_QUEUE, deliver, identity, destination.modality, resources)
    return {"state": JobState.DONE.value, "result": result, "timings_s": _timings(outcomes)}


@contextmanager
def _last_error() -> Iterator[None]:
    """Let what a step ended with at its last try stand for all of them."""
    try:
        yield
    except dbos_error.DBOSMaxStepRetriesExceeded as error:
        raise error.errors[-1] from error


def _run_stages(identity: str, request: JobRequest, outcomes: dict[str, dict[str, Any]]) -> None:
    """Run the stages up to the stored result; what is there already when one fails stays in ``outcomes``."""
    outcomes[Stage.IDENTIFY] = _identify(identity, request)
    outcomes[Stage.LOAD] = _load(identity, request)
    request = _settled(request, outcomes)
    outcomes[Stage.ALIGN] = _align(identity)
    outcomes[Stage.INFER] = _infer(identity, request.model)
    outcomes[Stage.RESTORE] = _restore(identity, request.model)
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


def _timings(outcomes: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {str(stage): outcome["seconds"] for stage, outcome in outcomes.items()}


def installed(model: str) -> InstalledModel:
    """Return a model from the registry.

    Raises
    ------
    GlioLoopError
        MODEL_UNKNOWN, MODEL_DAMAGED.
    """
    return registry().get(model)


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
        images = [chosen[settings().reference]]
    else:
        images = []
    # Images first: a viewer that gets contours before their images shows nothing.
    return [instance for uid in images for instance in request.instances[uid]] + resources


@_step(Stage.FORWARD)
def _forward(identity: str, modality: str, resources: list[str], attempt: int) -> dict[str, Any]:
    """Try to send once; a failure is an outcome here, so that it is recorded with the try."""
    start = time.perf_counter()
    key = f"delivery.{modality}"
    queue().report(identity, stage=Stage.FORWARD.value, **{key: {"state": "running", "attempts": attempt}})
    stage = f"{Stage.FORWARD}.{modality}"  # several destinations are served at once
    deadline = settings().stage_deadline_seconds
    try:
        _refuse_endless(identity, stage)
        with coded(stage), WATCH.at_work(identity, stage):
            forward_once(archive(), modality, resources, min(_SLOWEST_DELIVERY_SECONDS, deadline * 0.8))
    except GlioLoopError as error:
        log.warning("forward failed", job=identity, modality=modality, attempt=attempt, detail=error.detail)
        return {"error": error.as_json(), "seconds": round(time.perf_counter() - start, 3)}
    seconds = round(time.perf_counter() - start, 3)
    log.info("forwarded", job=identity, modality=modality, attempt=attempt, seconds=seconds)
    return {"error": None, "seconds": seconds}


@_step("delivery-state")
def _delivered(identity: str, modality: str, state: dict[str, Any]) -> None:
    queue().report(identity, **{f"delivery.{modality}": state})


@DBOS.workflow(name=jobs.DELIVER_WORKFLOW, max_recovery_attempts=20)
def deliver(identity: str, modality: str, resources: list[str]) -> None:
    """Send results to one destination, waiting between tries as configured.

    Raises
    ------
    GlioLoopError
        What the last try ended with, FORWARD_FAILED as a rule; STUDY_GONE where there is nothing left to send.
    """
    waits = (0.0, *settings().forward_retry_seconds)
    seconds = 0.0
    for attempt, wait in enumerate(waits, start=1):
        if wait:
            DBOS.sleep(wait)
        outcome = _forward(identity, modality, resources, attempt)
        seconds += outcome["seconds"]
        if outcome["error"] is None:
            audit().append("forwarded", identity, "worker", {"to": modality, "resources": resources}, once=modality)
            _delivered(identity, modality, {"state": "done", "attempts": attempt, "seconds": round(seconds, 3)})
            return
        code = outcome["error"]["code"]
        last = attempt == len(waits) or code == "STUDY_GONE"
        state = {"state": "failed" if last else "waiting", "attempts": attempt, "error": outcome["error"]}
        _delivered(identity, modality, state | ({} if last else {"next_in_seconds": waits[attempt]}))
        if last:
            raise GlioLoopError(code, outcome["error"]["detail"])


# --- intake -------------------------------------------------------------------------------------------


_INTAKE_STAGE = "intake"


# Here there is no job yet that could say why nothing came of a study.
@_step("look", talks_to_orthanc=True, waits_for=("DISK_FULL", "OUT_OF_MEMORY"))
def _look(study_id: str, origin: str) -> dict[str, Any]:
    """Look at a study and queue what follows: a job, a second look after the grace time, or nothing."""
    look = str(DBOS.workflow_id)
    _refuse_endless(look, _INTAKE_STAGE)
    with coded("look"), WATCH.at_work(look, _INTAKE_STAGE):
        return _looked(study_id, origin)


def _looked(study_id: str, origin: str) -> dict[str, Any]:
    try:
        study = intake.find_study(archive(), study_id)
    except GlioLoopError as error:
        if error.code != "STUDY_UNKNOWN":
            raise
        return {"outcome": "gone", "code": error.code}
    audit().append(
        "received",
        study.orthanc_id,
        origin,
        {
            "study_instance_uid": study.study_instance_uid,
            "series": len(study.series),
            "instances": sum(len(one["Instances"]) for one in study.series.values()),
        },
        once=str(DBOS.workflow_id),
    )
    if origin in ("grace", "rescan") and not study.stable:
        return {"outcome": "still arriving"}  # its own stable event follows
    model = ""
    try:
        # A registry that is being put right is waited for like a sequence that lacks.
        card = registry().get(settings().model or None).card
        model = card.identity
        prepared = intake.prepare(archive(), settings(), study, ProcessOptions(), card, origin)
    except GlioLoopError as error:
        if error.reason.kind is not Kind.REFUSAL:
            raise
        if origin in ("stable", "rescan"):
            return {"outcome": "incomplete", "code": error.code}
        identity, request = intake.refused(study, error, model, origin)
    else:
        if prepared.decision.missing and origin in ("stable", "rescan"):
            return {"outcome": "incomplete", "missing": [one.value for one in prepared.decision.missing]}
        identity, request = prepared.identity, prepared.request
    queue().enqueue_job(identity, request)
    return {"outcome": "queued", "job": identity}


@_step("give-up", talks_to_orthanc=True)
def _give_up(study_id: str, origin: str, failure: dict[str, Any]) -> dict[str, Any]:
    """Queue a job that says why a study could not even be looked at: none disappears without a reason."""
    error = GlioLoopError(failure["code"], failure["detail"])
    study = intake.find_study(archive(), study_id)
    identity, request = intake.refused(study, error, settings().model or "", origin)
    queue().enqueue_job(identity, request)
    return {"outcome": "given up", "code": error.code, "job": identity}


def _look_or_give_up(study_id: str, origin: str) -> dict[str, Any]:
    outcome: dict[str, Any]
    try:
        with _last_error():
            outcome = _look(study_id, origin)
    except GlioLoopError as error:
        log.error("study not looked at", study=study_id, origin=origin, code=error.code, detail=error.detail)
        outcome = _give_up(study_id, origin, error.as_json())
    return outcome


@DBOS.workflow(name=jobs.INTAKE_WORKFLOW)
def take_in(study_id: str, origin: str) -> dict[str, Any]:
    """Look at a study; where sequences lack, look again after the grace time and then decide."""
    outcome = _look_or_give_up(study_id, origin)
    if outcome["outcome"] == "incomplete":
        DBOS.enqueue_workflow_with_options(
            EnqueueOptions(
                workflow_name=jobs.INTAKE_WORKFLOW,
                queue_name=jobs.INTAKE_QUEUE,
                workflow_id=f"{DBOS.workflow_id}-grace",
                delay_seconds=settings().grace_seconds,
            ),
            study_id,
            "grace",
        )
    if settings().feedback.enabled and origin in ("stable", "rescan") and outcome["outcome"] != "gone":
        DBOS.enqueue_workflow_with_options(
            EnqueueOptions(
                workflow_name=jobs.FEEDBACK_WORKFLOW,
                queue_name=jobs.FEEDBACK_QUEUE,
                workflow_id=f"{DBOS.workflow_id}-feedback",
            ),
            study_id,
        )
    log.info("study looked at", study=study_id, origin=origin, **outcome)
    return outcome


@_step("changed-studies", talks_to_orthanc=True)
def _changed_studies() -> dict[str, Any]:
    """Studies that changed since the node was last started, from Orthanc's own log of changes.

    A restart inside a study's stable age loses its event for good (the study then reads as stable);
    the log still names it. On the node's first start nothing is taken up: an archive that was there
    before is not segmented unasked.
    """
    cursor = settings().state_folder / "changes.seq"
    last = int(archive().get("/changes?last")["Last"])
    if not cursor.exists():
        return {"studies": [], "last": last}
    since, studies = int(cursor.read_text()), set()
    while since < last:
        page = archive().get(f"/changes?since={since}&limit={_CHANGES_PAGE}")
        studies |= {one["ID"] for one in page["Changes"] if one["ResourceType"] == "Study"}
        since = int(page["Last"])
        if page["Done"]:
            break
    return {"studies": sorted(studies), "last": last}


@_step("changes-seen")
def _note_changes(last: int) -> None:
    """Remember how far Orthanc's log was followed; a power cut leaves the old number or the new one."""
    path = settings().state_folder / "changes.seq"
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(str(last))
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


@DBOS.workflow(name=jobs.RESCAN_WORKFLOW)
def rescan() -> int:
    """Look at every study that changed since the node was last started."""
    changed: dict[str, Any] = _changed_studies()
    for study in changed["studies"]:
        with SetWorkflowID(f"{DBOS.workflow_id}-{study}"):
            DBOS.enqueue_workflow(jobs.INTAKE_QUEUE, take_in, study, "rescan")
    # Only now: a worker that dies before looks at all of them again, and none is lost.
    _note_changes(changed["last"])
    log.info("rescan", studies=len(changed["studies"]))
    return len(changed["studies"])
