"""What every group of routes shares: the node's parts, and registration with Orthanc."""

from collections.abc import Iterable
from typing import ClassVar

import orthanc

from pipeline.case.job import JobView
from pipeline.corrections.review import reviews_of
from pipeline.corrections.store import CorrectionStore
from pipeline.errors import GlioLoopError
from pipeline.jobs.acceptance import failed_acceptances
from pipeline.jobs.queue import JobQueue
from pipeline.registry import Registry
from plugin.inside import PluginArchive
from plugin.node import Node
from plugin.routes.answers import Method, answered_by
from plugin.routes.documents import ReviewedJob
from plugin.routes.table import Route, pattern_of


class Handlers:
    """A group of routes of :mod:`plugin.routes.table`; its methods answer them.

    Parameters
    ----------
    node
        The running node.
    """

    routes: ClassVar[tuple[Route, ...]]

    def __init__(self, node: Node) -> None:
        self._node = node
        self._archive = PluginArchive()

    def register(self) -> None:
        """Register every route with Orthanc, which takes one callback a path, whatever the methods."""
        for path, routes in _by_path(self.routes).items():
            methods = {route.method: Method(getattr(self, route.handler), route.role) for route in routes}
            orthanc.RegisterRestCallback(pattern_of(path), answered_by(methods))

    def queue(self) -> JobQueue:
        """The durable queue.

        Raises
        ------
        GlioLoopError
            NODE_STARTING.
        """
        try:
            return self._node.queue()
        except Exception as error:
            raise GlioLoopError("NODE_STARTING", type(error).__name__) from error

    def registry(self) -> Registry:
        """The installed networks."""
        return Registry(self._node.settings.models_folder, self._node.settings.state_folder, self._node.database())

    def corrections(self) -> CorrectionStore:
        """The store of corrections."""
        return CorrectionStore(self._node.settings.feedback_folder, self._node.database(), self._node.settings.feedback)

    def shown_job(self, identity: str) -> ReviewedJob:
        """A job, and how far its contours have come.

        Raises
        ------
        GlioLoopError
            JOB_UNKNOWN.
        """
        job = self.queue().job(identity)
        if job is None:
            raise GlioLoopError("JOB_UNKNOWN", identity)
        return self.reviewed([job])[0]

    def reviewed(self, jobs: list[JobView]) -> tuple[ReviewedJob, ...]:
        """Jobs, and how far their contours have come."""
        failed = failed_acceptances(self.queue(), [job.id for job in jobs if job.has_objects])
        reviews = reviews_of(self.corrections(), jobs, failed)
        return tuple(ReviewedJob(**dict(job), review=reviews[job.id]) for job in jobs)


def _by_path(routes: Iterable[Route]) -> dict[str, list[Route]]:
    paths: dict[str, list[Route]] = {}
    for route in routes:
        paths.setdefault(route.path, []).append(route)
    return paths
