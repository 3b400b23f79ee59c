"""What the workflows of a course have a child do: see :mod:`pipeline.jobs.tasks`."""

from pipeline.child.task import Report
from pipeline.course.archives import PriorSearch, RemoteStudy
from pipeline.course.candidate import Candidate, Followed
from pipeline.database.engine import database_of
from pipeline.jobs.resources import archive, settings


def follow(_report: Report, patient: str, anchor: str, candidates: list[Candidate]) -> Followed:
    """Make the course that a study is part of: see :class:`pipeline.course.follow.Course`."""
    from pipeline.course.follow import Course

    return Course(archive(), settings(), database_of(settings()), patient).follow(anchor, candidates)


def search_priors(_report: Report, study: str) -> PriorSearch:
    """Ask other archives for a study's priors."""
    from pipeline.course.archives import search

    return search(archive(), settings(), study)


def fetch_prior(_report: Report, study: str, wanted: RemoteStudy) -> str:
    """Fetch one of them: see :func:`pipeline.course.archives.fetch`."""
    from pipeline.course.archives import fetch

    return fetch(archive(), settings(), study, wanted)
