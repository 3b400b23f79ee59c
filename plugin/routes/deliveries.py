"""Routes of destinations and of the deliveries to them."""

from pipeline.archive.study import find_study
from pipeline.case.job import DeliveryHistory, JobView
from pipeline.errors import GlioLoopError
from pipeline.jobs.deliveries import AGAIN, DestinationStanding
from pipeline.jobs.preparation import decide
from pipeline.jobs.routing import Explanation, explained
from pipeline.names import ENDED_DELIVERIES
from plugin.routes.documents import DestinationList, ListedDestination, NoOptions
from plugin.routes.handlers import Handlers
from plugin.routes.request import Request
from plugin.routes.table import DELIVERY_ROUTES


class DeliveryRoutes(Handlers):
    """Handlers of destinations, and of a job's delivery to one of them."""

    routes = DELIVERY_ROUTES

    def destinations(self, _request: Request) -> tuple[int, DestinationList]:
        """The configured destinations, and others that something was sent to, each with how it does."""
        standings = self.queue().deliveries.standings()
        listed = [
            ListedDestination(
                name=one.name,
                kind=type(one).__name__.lower(),
                send=one.send,
                alternate=one.alternate,
                standing=standings.get(one.name, DestinationStanding()),
            )
            for one in self._node.settings.destinations
        ]
        named = {one.name for one in listed}
        others = [ListedDestination(name=name, standing=standings[name]) for name in sorted(standings.keys() - named)]
        return 200, DestinationList(destinations=(*listed, *others))

    def explain(self, request: Request) -> tuple[int, Explanation]:
        """Which rules match for a study and why, and where its results go; nothing is sent."""
        request.options(NoOptions)
        study = find_study(self._archive, request.groups[0])
        jobs = [job for job in self.queue().jobs(study.orthanc_id) if job.result is not None]
        job = jobs[0] if jobs else None
        asked = self.queue().request(job.id) if job else None
        if asked is not None:
            images = asked.first_images
        else:
            chosen = set(decide(self._archive, study, self._node.settings, {}).chosen.values())
            images = [one.instances[0] for one in study.series.values() if one.uid in chosen and one.instances]
        return 200, explained(self._archive, self._node.settings, study.orthanc_id, images, job, asked)

    def deliveries(self, request: Request) -> tuple[int, tuple[DeliveryHistory, ...]]:
        """Each delivery of a job with its history."""
        return 200, self.queue().deliveries.history(self._job(request.groups[0]))

    def retry(self, request: Request) -> tuple[int, tuple[DeliveryHistory, ...]]:
        """Begin one delivery anew, also while it waits for its next try."""
        identity, name = request.groups
        delivery = self._job(identity).deliveries.get(name)
        if delivery is None:
            raise GlioLoopError("JOB_UNKNOWN", f"nothing goes to {name}")
        if delivery.state not in AGAIN:
            raise GlioLoopError("JOB_STATE", delivery.state)
        self.queue().deliveries.again(identity, name, delivery.number, delivery.state)
        return 202, self.queue().deliveries.history(self._job(identity))

    def cancel(self, request: Request) -> tuple[int, tuple[DeliveryHistory, ...]]:
        """Stop one delivery; the others go on."""
        identity, name = request.groups
        delivery = self._job(identity).deliveries.get(name)
        if delivery is None:
            raise GlioLoopError("JOB_UNKNOWN", f"nothing goes to {name}")
        if delivery.state in ENDED_DELIVERIES:
            raise GlioLoopError("JOB_STATE", delivery.state)
        self.queue().deliveries.cancel(identity, name)
        return 200, self.queue().deliveries.history(self._job(identity))

    def _job(self, identity: str) -> JobView:
        job = self.queue().job(identity)
        if job is None:
            raise GlioLoopError("JOB_UNKNOWN", identity)
        return job
