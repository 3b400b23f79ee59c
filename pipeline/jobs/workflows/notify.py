"""The durable workflows of telling people: one for each try, a look at the node now and then, and a digest a day."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from dbos import DBOS

from pipeline.archive.orthanc import StudyRecord
from pipeline.case.job import JobView
from pipeline.case.outcomes import JobOutput
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.errors.resources import coded
from pipeline.jobs.deaths import deaths, hand_over
from pipeline.jobs.notifications import Telling, TellingOutcome, about_result, notice_of
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.queues import ARCHIVE, DIGEST_WORKFLOW, INTAKE_QUEUE, JOBS_QUEUE, NOTIFY_WORKFLOW, WATCH_WORKFLOW
from pipeline.jobs.request import JobRequest
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.resources import queue
from pipeline.jobs.workflows.schedules import daily, schedule
from pipeline.jobs.workflows.steps import step
from pipeline.names import Event, JobState
from pipeline.notify.message import Notice, Person
from pipeline.notify.send import tell
from pipeline.settings import Fhir, Hl7, Notify

log = structlog.get_logger()

_EVERY_FIVE_MINUTES: Final = "*/5 * * * *"
#: What the look every few minutes is for.
_WATCHED: Final = (Event.QUEUE, Event.UNWELL, Event.FAILED)
_DAY: Final = timedelta(days=1)
_MOST_JOBS: Final = 2000


# --- what is told ---


def announce_end(identity: str, request: JobRequest, output: JobOutput) -> None:
    """Tell how a job ended; to be called from its workflow."""
    if not settings().notify.channels or not _is_news(request):
        return
    if output.state is JobState.DONE:
        flagged = bool(output.result and output.result.flags)
        event, also = (Event.FLAGGED, (Event.DONE,)) if flagged else (Event.DONE, ())
    else:
        event, also = (Event.REFUSED if output.state is JobState.REFUSED else Event.FAILED), ()
    notice = about_result(notice_of(event, identity, output.error), output.result)
    _announce(_about_job(notice, identity, request.study, request.study_instance_uid, request.model), also)


def _is_news(request: JobRequest) -> bool:
    """The node's own test study, what is done anew for a course, and a run over the archive are nobody's."""
    return (request.destinations != () or request.origin == "rest") and request.origin != ARCHIVE


def announce_failed_delivery(job: str, destination: str, error: ErrorRecord) -> None:
    """Tell that results did not come to a destination; to be called from a workflow."""
    if settings().notify.wants(Event.FAILED):
        _announce_delivery(job, destination, error)


def announce_unwell(what: str, error: ErrorRecord) -> None:
    """Tell that the node is unwell; to be called from a step."""
    if settings().notify.wants(Event.UNWELL):
        queue().notifications.announce(settings().notify, notice_of(Event.UNWELL, what, error))


@step("announce")
def _announce(notice: Notice, also: tuple[Event, ...]) -> None:
    queue().notifications.announce(settings().notify, notice, also)


@step("announce-delivery")
def _announce_delivery(job: str, destination: str, error: ErrorRecord) -> None:
    view = queue().job(job)
    notice = notice_of(Event.FAILED, f"{job}.{destination}", error)
    if view is not None:
        notice = _about_job(notice, job, view.study or "", view.study_instance_uid or "", view.model or "")
    queue().notifications.announce(settings().notify, notice)


def _about_job(notice: Notice, job: str, study: str, study_instance_uid: str, model: str) -> Notice:
    about = {"job": job, "study": study, "study_instance_uid": study_instance_uid, "model": model}
    return notice.model_copy(update=about)


# --- telling ---


@step("tell")
def _tell(one: Telling) -> TellingOutcome:
    """Tell once; a failure is an outcome here, so that it is recorded with the try."""
    channel = settings().notify.channel(one.channel)
    try:
        if channel is None:
            raise GlioLoopError("CHANNEL_UNKNOWN", one.channel)
        with coded("notify"):
            wanted = channel.patient_name or isinstance(channel, Fhir | Hl7)
            person = _person(one.notice.study) if wanted and one.notice.study else None
            tell(one.notice, channel, _node(), _link(one.notice), person)
    except GlioLoopError as error:
        log.warning("not told", channel=one.channel, key=one.notice.key, code=error.code, detail=error.detail)
        again = channel is not None and one.attempt <= len(channel.retry_seconds)
        return TellingOutcome(error=ErrorRecord.of(error), again=again)
    log.info("told", channel=one.channel, key=one.notice.key, attempt=one.attempt)
    return TellingOutcome()


@DBOS.workflow(name=NOTIFY_WORKFLOW, max_recovery_attempts=20)
def notify(request: object) -> TellingOutcome:
    """Try once to tell somebody something; put the next try off where this one fails.

    Raises
    ------
    GlioLoopError
        What the last try ended with.
    """
    one = Telling.model_validate(request)
    outcome = _tell(one)
    if outcome.error is None:
        return outcome
    channel = settings().notify.channel(one.channel)
    if not outcome.again or channel is None:
        raise outcome.error.error
    wait = channel.retry_seconds[min(one.attempt, len(channel.retry_seconds)) - 1]
    DBOS.enqueue_workflow_with_options(one.following.options(wait), one.following.model_dump(mode="json"))
    return outcome


def _node() -> str:
    """What the node is called; an archive that is down keeps nobody from being told so."""
    try:
        return str((archive().get("/system") or {}).get("Name") or "GlioLoop")
    except GlioLoopError:
        return "GlioLoop"


def _link(notice: Notice) -> str:
    root = settings().notify.url.rstrip("/")
    return f"{root}/glioloop/app/#/jobs/{notice.job}" if root and notice.job else root


def _person(study: str) -> Person | None:
    found = archive().get(f"/studies/{study}")
    if found is None:
        return None
    tags = StudyRecord.model_validate(found).patient_tags
    return Person(name=tags.get("PatientName", "").replace("^", " ").strip(), number=tags.get("PatientID", ""))


# --- looking and counting ---


def announce_deaths(jobs: JobQueue, notify: Notify) -> None:
    """Tell of what worker after worker died of: the workflows can't do so themselves."""
    for death in deaths(jobs, datetime.now(UTC) - _DAY):
        if death.request is not None and not _is_news(death.request):
            continue
        notice = notice_of(Event.FAILED, death.what, death.error)
        notice = _about_job(notice, death.job, death.study, death.study_instance_uid, death.model)
        # Once for each end, however long it is seen.
        once = {"key": f"{Event.FAILED.value}-{death.what}-{death.ended}", "at": death.ended}
        jobs.notifications.announce(notify, notice.model_copy(update=once))


@step("hand-over")
def _hand_over() -> list[str]:
    return hand_over(queue(), lambda name: settings().destination(name).alternate, datetime.now(UTC) - _DAY)


@step("watch")
def _watch() -> None:
    announce_deaths(queue(), settings().notify)
    minutes = settings().notify.queue_minutes
    backlog = queue().backlog()
    oldest = max(backlog[name].oldest_seconds for name in (JOBS_QUEUE, INTAKE_QUEUE)) / 60
    if oldest > minutes:
        waiting = backlog[JOBS_QUEUE].waiting + backlog[INTAKE_QUEUE].waiting
        line = f"{waiting} wait; the first of them for {oldest:.0f} minutes."
        queue().notifications.announce(settings().notify, notice_of(Event.QUEUE, "queue", lines=[line]))
    try:
        archive().get("/system")
    except GlioLoopError as error:
        announce_unwell("archive", ErrorRecord.of(error))


@DBOS.workflow(name=WATCH_WORKFLOW)
def watch(_at: datetime, _context: Any) -> None:
    """Look whether studies wait for too long, what workers died of, and whether the archive answers.

    A delivery that they died of is its alternate's then, as one whose last try failed.
    """
    if settings().notify.wants(*_WATCHED):
        _watch()
    if any(one.alternate for one in settings().destinations):
        _hand_over()


@step("digest")
def _digest() -> None:
    now = datetime.now(UTC)
    day, since = f"{now:%Y%m%d}", (now - _DAY).isoformat()
    jobs = [job for job in queue().jobs(limit=_MOST_JOBS) if (job.updated or "") >= since]
    notice = notice_of(Event.DIGEST, day, lines=digest_lines(jobs))
    lines = [*notice.lines, *_destination_lines(), *_channel_lines(now - _DAY)]
    once = {"key": f"digest-{day}", "lines": tuple(lines)}
    queue().notifications.announce(settings().notify, notice.model_copy(update=once))


def digest_lines(jobs: list[JobView]) -> list[str]:
    """How many jobs ended how, and why."""
    states = {state: [job for job in jobs if job.state is state] for state in JobState}
    lines = [f"{len(jobs)} jobs in 24 hours"]
    for state, found in states.items():
        if found:
            codes = [job.error.code for job in found if job.error]
            why = ", ".join(f"{codes.count(code)} {code}" for code in sorted(set(codes)))
            lines.append(f"{len(found)} {state.value}" + (f" ({why})" if why else ""))
    done = [job.result for job in states[JobState.DONE] if job.result]
    if done:
        flags = [flag.code for result in done for flag in result.flags]
        told = ", ".join(f"{flags.count(code)} {code}" for code in sorted(set(flags)))
        lines.append(f"{sum(bool(result.flags) for result in done)} flagged" + (f" ({told})" if told else ""))
        lines.append(f"{sum(result.tumour_found for result in done)} with a tumour")
    return lines


def _destination_lines() -> list[str]:
    found = queue().deliveries.standings().items()
    return [f"{name}: {one.waiting} wait, {one.failed} failed" for name, one in found if one.waiting or one.failed]


def _channel_lines(since: datetime) -> list[str]:
    return [f"{name}: {count} not told" for name, count in sorted(queue().notifications.failed(since).items())]


@DBOS.workflow(name=DIGEST_WORKFLOW)
def digest(_at: datetime, _context: Any) -> None:
    """Tell what came of the day."""
    if settings().notify.wants(Event.DIGEST):
        _digest()


def schedule_notify() -> None:
    """Look every few minutes and count every day, where there is anything to do."""
    told = settings().notify
    if told.wants(*_WATCHED) or any(one.alternate for one in settings().destinations):
        schedule(f"glioloop-{WATCH_WORKFLOW}", watch, _EVERY_FIVE_MINUTES)
    if told.wants(Event.DIGEST):
        schedule(f"glioloop-{DIGEST_WORKFLOW}", digest, daily(told.digest))
