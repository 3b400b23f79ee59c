"""Explains the routing of a study: which rules match, and where its results go."""

from pipeline.archive.protocol import Archive
from pipeline.archive.routing import ExplainedRule, Routed, RoutingFacts, explain, facts_of, routed
from pipeline.case.job import JobView
from pipeline.case.outcomes import SegmentationResult
from pipeline.jobs.request import JobRequest
from pipeline.records import Record
from pipeline.settings import Settings


class Explanation(Record):
    """Where the results of a study go, or would go, and why.

    Attributes
    ----------
    job
        Whose result the rules were held against; None where there is none yet, and what they ask of it is not known.
    by_name
        Whether who asked for the job had named the destinations: rules play no part then.
    rules
        Each rule, whether it matches, and why.
    destinations, approved
        What gets something of the results, and of contours that come back and are trusted.
    """

    study: str
    job: str | None
    facts: RoutingFacts
    by_name: bool
    rules: tuple[ExplainedRule, ...]
    destinations: tuple[Routed, ...]
    approved: tuple[Routed, ...]


def with_result(facts: RoutingFacts, result: SegmentationResult) -> RoutingFacts:
    """The facts, and what is known of the result."""
    known = {
        "found": result.tumour_found,
        "volumes_ml": result.volumes_ml,
        "flags": tuple(flag.code for flag in result.flags),
    }
    return facts.model_copy(update=known)


def explained(
    archive: Archive, settings: Settings, study: str, images: list[str], job: JobView | None, request: JobRequest | None
) -> Explanation:
    """Hold the rules against a study.

    Parameters
    ----------
    images
        Orthanc's ids of one image of each series that was, or would be, taken.
    job, request
        A job with a result, and what was asked of it; None where there is none.
    """
    facts = facts_of(archive, study, images)
    if job is not None and job.result is not None:
        facts = with_result(facts, job.result)
    names = request.destinations if request else None
    by_name = tuple(Routed(destination=one.name, send=one.send) for one in settings.destinations_of(names))
    return Explanation(
        study=study,
        job=job.id if job else None,
        facts=facts,
        by_name=names is not None,
        rules=explain(settings.rules, facts),
        destinations=routed(settings, facts) if names is None else by_name,
        approved=routed(settings, facts, "approved"),
    )
