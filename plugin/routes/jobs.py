"""Routes of studies, jobs, networks and the node's health, under Orthanc's own authentication."""

from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy.exc import DatabaseError

from pipeline import __version__
from pipeline.archive.forward import check_destinations
from pipeline.archive.study import find_study
from pipeline.corrections.review import collect_metrics, review_of
from pipeline.errors import GlioLoopError
from pipeline.errors.records import ErrorRecord
from pipeline.files.joblog import read_log
from pipeline.identify import Decision
from pipeline.jobs.acceptance import failed_acceptances
from pipeline.jobs.checks import CheckOptions, CheckState, check_state, collect_check, enqueue_check
from pipeline.jobs.preparation import decide, prepare
from pipeline.jobs.queue import DAMAGED_STATUS, JobQueue
from pipeline.jobs.queues import ARCHIVE
from pipeline.jobs.request import ProcessOptions, Undecided
from pipeline.names import ENDED_JOBS, JobState
from plugin.routes.documents import (
    AskedCheck,
    CurrentModel,
    Health,
    ListedModel,
    LogAnswer,
    ReviewedJob,
    StudyAnswer,
    WhoAsks,
    WorkerHealth,
)
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import NODE_ROUTES

_MOST_JOBS: Final = 2000


class NodeRoutes(Handlers):
    """Handlers of studies, jobs, networks, and the node itself."""

    routes = NODE_ROUTES

    # --- studies ---

    def process(self, request: Request) -> tuple[int, ReviewedJob]:
        """Queue a study; 202 with the job."""
        options = request.options(ProcessOptions)
        jobs, settings = self.queue(), self._node.settings
        check_destinations(self._archive, map(settings.destination, options.destinations or ()))
        study = find_study(self._archive, request.groups[0])
        card = self.registry().get(options.model or settings.model or None).card
        origin = ARCHIVE if options.background else "rest"
        prepared = prepare(self._archive, settings, study, options, card, origin)
        known = jobs.same_input(prepared.request) if options.known else None
        if known is not None:
            return 202, self._asked_for(known, options)
        prepared.decision.require(prepared.request.may_lack)
        request_of_user = prepared.request.model_copy(update={"asked_by": request.user})
        quiet_in = settings.turns.seconds_to_quiet(datetime.now()) if options.quiet else None
        jobs.enqueue_job(prepared.identity, request_of_user, options.priority, quiet_in)
        return 202, self._asked_for(prepared.identity, options)

    def _asked_for(self, identity: str, options: ProcessOptions) -> ReviewedJob:
        """A job that may have waited for quiet hours since before; now somebody waits for it."""
        if not options.quiet:
            self.queue().hasten(identity)
        return self.shown_job(identity)

    def study(self, request: Request) -> tuple[int, StudyAnswer]:
        """Which series was taken for which sequence and why, and what came of it."""
        jobs = self.queue()
        study = find_study(self._archive, request.groups[0])
        identification: Decision | Undecided
        try:
            identification = decide(self._archive, study, self._node.settings, {})
        except GlioLoopError as error:
            identification = Undecided(error=ErrorRecord.of(error))
        found = jobs.jobs(study.orthanc_id)
        failed = failed_acceptances(jobs, [job.id for job in found if job.has_objects])
        return 200, StudyAnswer(
            study=study.orthanc_id,
            study_instance_uid=study.study_instance_uid,
            stable=study.stable,
            identification=identification,
            jobs=self.reviewed(found),
            review=review_of(self.corrections(), study.orthanc_id, study.study_instance_uid, found, failed),
        )

    # --- jobs ---

    def job(self, request: Request) -> tuple[int, ReviewedJob]:
        """Show one job."""
        return 200, self.shown_job(request.groups[0])

    def log(self, request: Request) -> tuple[int, LogAnswer]:
        """What the workers said of a job."""
        job = self.shown_job(request.groups[0])
        return 200, LogAnswer(read_log(self._node.settings.jobs_folder / job.id))

    def preview(self, request: Request) -> tuple[int, bytes]:
        """Picture of a job's result."""
        path = self._node.folders.file(f"jobs/{request.groups[0]}", "objects/preview.png")
        if not path.is_file():
            raise GlioLoopError("JOB_UNKNOWN", "no preview")
        return 200, path.read_bytes()

    def cancel(self, request: Request) -> tuple[int, ReviewedJob]:
        """Stop a job."""
        job = self.shown_job(request.groups[0])
        if job.state in ENDED_JOBS:
            raise GlioLoopError("JOB_STATE", job.state)
        self.queue().cancel(job.id)
        return 200, self.shown_job(job.id)

    def retry(self, request: Request) -> tuple[int, ReviewedJob]:
        """Run an ended job again, from the stage that did not succeed."""
        job = self.shown_job(request.groups[0])
        if job.state not in ENDED_JOBS - {JobState.DONE}:
            raise GlioLoopError("JOB_STATE", job.state)
        self.queue().retry(job.id)
        return 202, self.shown_job(job.id)

    # --- models ---

    def models(self, _request: Request) -> tuple[int, tuple[ListedModel, ...]]:
        """List the installed networks."""
        registry = self.registry()
        current = registry.get(None).card.identity
        cards = [model.card for model in registry.installed()]
        return 200, tuple(
            ListedModel(**dict(card), identity=card.identity, current=card.identity == current) for card in cards
        )

    def promote(self, request: Request) -> tuple[int, CurrentModel]:
        """Make a network the one that the next job uses."""
        name, version = request.groups
        return 200, CurrentModel(current=self.registry().promote(f"{name}@{version}", request.user).card.identity)

    def rollback(self, request: Request) -> tuple[int, CurrentModel]:
        """Go back to the network that was in use before the last promotion."""
        return 200, CurrentModel(current=self.registry().rollback(request.user).card.identity)

    # --- the node ---

    def user(self, request: Request) -> tuple[int, WhoAsks]:
        """Tell who asks, and their role."""
        return 200, WhoAsks(name=request.user, role=request.role)

    def health(self, _request: Request) -> tuple[int, Health]:
        """Tell whether the node does its work; 503 where it does not."""
        workers = self._node.supervisor.workers
        queue, waiting, error, check = "ready", None, None, None
        try:
            waiting = self.queue().waiting()
            # A queue of an earlier version is there before the tables that the routes read.
            self._node.database()
        except GlioLoopError:
            queue = "starting"
        except DatabaseError as failure:
            queue = f"unusable: {type(failure.orig).__name__}"
        if any(worker.pid is None and worker.last_exit == DAMAGED_STATUS for worker in workers):
            queue = "damaged"
            error = ErrorRecord.of(GlioLoopError("QUEUE_DAMAGED"))
        if queue == "ready":
            check = self._check_state()
            error = check.error
        well = queue == "ready" and self._node.supervisor.alive == len(workers) and error is None
        health = Health(
            version=__version__,
            viewer=self._node.settings.viewer_url,
            editor=self._node.settings.editor_url,
            workers=tuple(WorkerHealth.model_validate(worker, from_attributes=True) for worker in workers),
            queue=queue,
            waiting=waiting,
            status="ok" if well else "degraded",
        )
        further = {name: one for name, one in (("check", check), ("error", error)) if one is not None}
        return (200 if well else 503), health.model_copy(update=further)

    def check(self, _request: Request) -> tuple[int, CheckState]:
        """Tell how the node stands with its check of itself."""
        return 200, self._check_state()

    def ask_check(self, request: Request) -> tuple[int, AskedCheck]:
        """Ask for a check; 202 with its id, or that of the one that is running."""
        options = request.options(CheckOptions)
        state = self._check_state()
        return 202, AskedCheck(id=state.id if state.running else enqueue_check(self.queue(), options))

    def _check_state(self) -> CheckState:
        settings = self._node.settings
        return check_state(self.queue(), 3600 + 4 * settings.stage_deadline_seconds, settings.check_every_hours)

    def metrics(self, _request: Request) -> tuple[int, str]:
        """Prometheus text."""
        collector = CollectorRegistry()
        queue = self.queue()
        by_state = Gauge("glioloop_jobs", f"Jobs by state, of the latest {_MOST_JOBS}", ["state"], registry=collector)
        for state in JobState:
            by_state.labels(state.value)
        for job in queue.jobs(limit=_MOST_JOBS):
            by_state.labels(job.state).inc()
        _collect_backlog(queue, collector)
        supervisor = self._node.supervisor
        Gauge("glioloop_workers_alive", "Workers that run", registry=collector).set(supervisor.alive)
        Gauge("glioloop_worker_restarts", "Restarts of workers since Orthanc's start", registry=collector).set(
            sum(worker.restarts for worker in supervisor.workers)
        )
        collect_metrics(self.corrections(), collector)
        collect_check(self._check_state(), collector)
        return 200, generate_latest(collector).decode()


def _collect_backlog(queue: JobQueue, collector: CollectorRegistry) -> None:
    waiting = Gauge("glioloop_queue_waiting", "Queued and not yet begun", ["queue"], registry=collector)
    running = Gauge("glioloop_queue_running", "At work", ["queue"], registry=collector)
    oldest = Gauge(
        "glioloop_queue_oldest_seconds", "How long the first in the queue has waited", ["queue"], registry=collector
    )
    for name, backlog in queue.backlog().items():
        label = name.removeprefix("glioloop-")
        waiting.labels(label).set(backlog.waiting)
        running.labels(label).set(backlog.running)
        oldest.labels(label).set(round(backlog.oldest_seconds, 1))
