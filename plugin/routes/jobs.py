"""Routes of studies, jobs, networks and the node's health, under Orthanc's own authentication."""

from typing import Any, Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from sqlalchemy.exc import DatabaseError

from pipeline import __version__
from pipeline.archive.study import find_study
from pipeline.corrections.review import collect_metrics, review_of, reviews_of
from pipeline.errors import GlioLoopError
from pipeline.files.joblog import read_log
from pipeline.jobs.checks import CheckOptions, CheckState, check_state, collect_check, enqueue_check
from pipeline.jobs.deadline import DAMAGED_STATUS
from pipeline.jobs.preparation import decide, prepare
from pipeline.jobs.queue import JobQueue
from pipeline.jobs.request import ProcessOptions
from pipeline.names import JobState
from plugin.routes.answers import number, user_of
from plugin.routes.handlers import Handlers, checked
from plugin.routes.table import NODE_ROUTES

_MOST_JOBS: Final = 2000
_ENDED: Final = {JobState.DONE.value, JobState.REFUSED.value, JobState.FAILED.value, JobState.CANCELLED.value}


class NodeRoutes(Handlers):
    """Handlers of studies, jobs, networks, and the node itself."""

    routes = NODE_ROUTES

    # --- studies ---

    def process(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Queue a study; 202 with the job."""
        options = checked(request, ProcessOptions)
        jobs, settings = self.queue(), self._node.settings
        known = self._archive.get("/modalities") or []
        unknown = [name for name in options.destinations or () if name not in known]
        if unknown:
            raise GlioLoopError("DESTINATION_UNKNOWN", ", ".join(unknown))
        study = find_study(self._archive, request["groups"][0])
        card = self.registry().get(options.model or settings.model or None).card
        prepared = prepare(self._archive, settings, study, options, card, "rest")
        prepared.decision.require(prepared.request.may_lack)
        request_of_user = prepared.request.model_copy(update={"asked_by": user_of(request)})
        jobs.enqueue_job(prepared.identity, request_of_user, options.priority)
        return 202, self._job(prepared.identity)

    def study(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Which series was taken for which sequence and why, and what came of it."""
        jobs = self.queue()
        study = find_study(self._archive, request["groups"][0])
        try:
            decision = decide(self._archive, study, self._node.settings, {}).as_json()
        except GlioLoopError as error:
            decision = {"error": error.as_json()}
        found = jobs.jobs(study.orthanc_id)
        return 200, {
            "study": study.orthanc_id,
            "study_instance_uid": study.study_instance_uid,
            "stable": study.stable,
            "identification": decision,
            "jobs": self._reviewed(found),
            "review": review_of(self.corrections(), study.orthanc_id, study.study_instance_uid, found),
        }

    # --- jobs ---

    def jobs(self, request: dict[str, Any]) -> tuple[int, Any]:
        """List jobs, latest first."""
        study = request.get("get", {}).get("study")
        found = self.queue().jobs(
            find_study(self._archive, study).orthanc_id if study else None,
            number(request, "limit", 100, _MOST_JOBS),
            number(request, "offset", 0, 10**6),
        )
        return 200, self._reviewed(found)

    def job(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Show one job."""
        return 200, self._job(request["groups"][0])

    def log(self, request: dict[str, Any]) -> tuple[int, Any]:
        """What the workers said of a job."""
        job = self._job(request["groups"][0])
        return 200, read_log(self._node.settings.jobs_folder / job["id"])

    def preview(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Picture of a job's result."""
        path = self._node.settings.jobs_folder / request["groups"][0] / "objects" / "preview.png"
        if not path.is_file():
            raise GlioLoopError("JOB_UNKNOWN", "no preview")
        return 200, path.read_bytes()

    def cancel(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Stop a job."""
        job = self._job(request["groups"][0])
        if job["state"] in _ENDED:
            raise GlioLoopError("JOB_STATE", job["state"])
        self.queue().cancel(job["id"])
        return 200, self._job(job["id"])

    def retry(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Run an ended job again, from the stage that did not succeed."""
        job = self._job(request["groups"][0])
        if job["state"] not in _ENDED - {JobState.DONE.value}:
            raise GlioLoopError("JOB_STATE", job["state"])
        self.queue().retry(job["id"])
        return 202, self._job(job["id"])

    def _job(self, identity: str) -> dict[str, Any]:
        job = self.queue().job(identity)
        if job is None:
            raise GlioLoopError("JOB_UNKNOWN", identity)
        return self._reviewed([job])[0]

    def _reviewed(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        reviews = reviews_of(self.corrections(), jobs)
        return [job | {"review": reviews[job["id"]]} for job in jobs]

    # --- models ---

    def models(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """List the installed networks."""
        registry = self.registry()
        current = registry.get(None).card.identity
        cards = [model.card for model in registry.installed()]
        return 200, [
            card.model_dump(mode="json") | {"identity": card.identity, "current": card.identity == current}
            for card in cards
        ]

    def promote(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Make a network the one that the next job uses."""
        name, version = request["groups"]
        return 200, {"current": self.registry().promote(f"{name}@{version}", user_of(request)).card.identity}

    def rollback(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Go back to the network that was in use before the last promotion."""
        return 200, {"current": self.registry().rollback(user_of(request)).card.identity}

    # --- the node ---

    def health(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """Tell whether the node does its work; 503 where it does not."""
        workers = self._node.supervisor.workers
        health: dict[str, Any] = {
            "version": __version__,
            "viewer": self._node.settings.viewer_url,
            "workers": [vars(worker) for worker in workers],
            "queue": "ready",
            "waiting": None,
        }
        try:
            health["waiting"] = self.queue().waiting()
        except GlioLoopError:
            health["queue"] = "starting"
        except DatabaseError as error:
            health["queue"] = f"unusable: {type(error.orig).__name__}"
        if any(worker.pid is None and worker.last_exit == DAMAGED_STATUS for worker in workers):
            health["queue"] = "damaged"
            health["error"] = GlioLoopError("QUEUE_DAMAGED").as_json()
        well = health["queue"] == "ready" and self._node.supervisor.alive == len(workers)
        if health["queue"] == "ready":
            state = self._check_state()
            health["check"] = state.as_json()
            if state.error:
                well = False
                health.setdefault("error", state.error)
        return (200 if well else 503), health | {"status": "ok" if well else "degraded"}

    def check(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """Tell how the node stands with its check of itself."""
        return 200, self._check_state().as_json()

    def ask_check(self, request: dict[str, Any]) -> tuple[int, Any]:
        """Ask for a check; 202 with its id, or that of the one that is running."""
        options = checked(request, CheckOptions)
        state = self._check_state()
        return 202, {"id": state.id if state.running else enqueue_check(self.queue(), options)}

    def _check_state(self) -> CheckState:
        settings = self._node.settings
        return check_state(self.queue(), 3600 + 4 * settings.stage_deadline_seconds, settings.check_every_hours)

    def metrics(self, _request: dict[str, Any]) -> tuple[int, Any]:
        """Prometheus text."""
        collector = CollectorRegistry()
        queue = self.queue()
        by_state = Gauge("glioloop_jobs", f"Jobs by state, of the latest {_MOST_JOBS}", ["state"], registry=collector)
        for state in JobState:
            by_state.labels(state.value)
        for job in queue.jobs(limit=_MOST_JOBS):
            by_state.labels(job["state"]).inc()
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
