"""The rules of the routing, held against a study from within a workflow."""

import structlog

from pipeline.archive.routing import Routed, RoutingFacts, facts_of, routed
from pipeline.case.outcomes import SegmentationResult
from pipeline.jobs.request import JobRequest
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.routing import with_result
from pipeline.jobs.workflows.resources import queue
from pipeline.jobs.workflows.steps import step

log = structlog.get_logger()


@step("route", talks_to_orthanc=True)
def routes_by_rules(request: JobRequest, result: SegmentationResult) -> tuple[Routed, ...]:
    """Where the results of a job go by the rules."""
    found = routes_of(request, result)
    log.info("routed", study=request.study, to={one.destination: one.because for one in found})
    return found


def routes_of(request: JobRequest, result: SegmentationResult) -> tuple[Routed, ...]:
    """Where the results of a job go by the rules."""
    return routed(settings(), _facts(request, result))


def send_approved(job: str, instance: str, kind: str) -> None:
    """Have contours that came back and are trusted sent where the rules say so.

    Parameters
    ----------
    job
        That had made what they correct.
    instance
        Orthanc's id of the object.
    kind
        ``rtstruct`` or ``seg``.
    """
    view, request = queue().job(job), queue().request(job)
    if view is None or view.result is None or request is None:
        return
    for one in routed(settings(), _facts(request, view.result), "approved"):
        if kind in one.send:
            queue().deliveries.more(job, one.destination, [instance])
            log.info("approved contours routed", job=job, instance=instance, to=one.destination, because=one.because)


def _facts(request: JobRequest, result: SegmentationResult) -> RoutingFacts:
    return with_result(facts_of(archive(), request.study, request.first_images), result)
