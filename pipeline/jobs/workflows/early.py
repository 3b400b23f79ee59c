"""Jobs that nobody asked for tell nothing of half a study.

A job asks whether its images are still all there are before it fetches them, and once more before its objects go into
the archive; where more have come (a sender paused for longer than the stable age) it ends, and the look that those
cause makes the study anew. What could have its reason in images that are still to come (a refusal, a flag about
coverage) waits until the study is stable, where the job began before that.
"""

from collections.abc import Iterable
from typing import Final

from dbos import DBOS

from pipeline.archive.study import find_study
from pipeline.errors import GlioLoopError
from pipeline.errors.resources import coded
from pipeline.jobs.queues import READY
from pipeline.jobs.request import JobRequest
from pipeline.jobs.resources import archive, settings
from pipeline.jobs.workflows.steps import last_error, step
from pipeline.records import StoredRecord

#: Flags that half a series could be the reason of.
_OF_LACKING_IMAGES: Final = frozenset(
    (
        "FILES_DAMAGED",
        "SEQUENCE_INCOMPLETE_COVERAGE",
        "COARSE_SLICES",
        "SLICES_ODD",
        "SECOND_CHOICE",
        "SERIES_SPLIT",
        "TUMOUR_AT_EDGE",
        "NO_TUMOUR_FOUND",
    )
)
#: What a study's arrival itself brings about.
_UNASKED: Final = frozenset((READY, "stable", "grace", "rescan"))
_POLL_SECONDS: Final = 5.0


class Completeness(StoredRecord):
    """Whether no more images have come to a job's series than it was asked to take, and whether the study is stable."""

    unchanged: bool
    stable: bool


@step("completeness", talks_to_orthanc=True)
def _completeness(request: JobRequest) -> Completeness:
    return _found(request)


def _found(request: JobRequest) -> Completeness:
    with coded("completeness"):
        try:
            study = find_study(archive(), request.study)
        except GlioLoopError as error:
            if error.code != "STUDY_UNKNOWN":
                raise
            return Completeness(unchanged=True, stable=True)  # the stage that misses it tells
        there = {one.uid: set(one.instances) for one in study.series.values()}
        wanted = request.identification.chosen.values()
        unchanged = all(there.get(uid, set()) <= set(request.instances[uid]) for uid in wanted)
        return Completeness(unchanged=unchanged, stable=study.stable)


def await_whole(request: JobRequest, flags: Iterable[str] = ()) -> None:
    """Make sure that a job has all images of its series; one that began when its study was stable has.

    Parameters
    ----------
    request
        Of the job.
    flags
        Codes of what was found; where lacking images could be the reason, the study must become stable first.

    Raises
    ------
    GlioLoopError
        SUPERSEDED where more images have come.
    """
    if request.origin == READY:
        _await(request, not _OF_LACKING_IMAGES.isdisjoint(flags))


def refuse_overtaken(request: JobRequest) -> None:
    """Refuse what nobody asked for and more images have overtaken; a part of the steps that fetch and that store.

    Raises
    ------
    GlioLoopError
        SUPERSEDED.
    """
    if request.origin in _UNASKED and not _found(request).unchanged:
        raise GlioLoopError("SUPERSEDED")


def refused_for_good(request: JobRequest, refusal: GlioLoopError) -> GlioLoopError:
    """Return what a job is refused for: the reason, or, where nobody asked for it, that more images have come.

    A job that began before its study was stable waits for that: what was refused may have been half a study.
    """
    if request.origin in _UNASKED and refusal.code != "SUPERSEDED":
        try:
            with last_error():
                _await(request, doubtful=request.origin == READY)
        except GlioLoopError as error:
            return error if error.code == "SUPERSEDED" else refusal
    return refusal


def _await(request: JobRequest, doubtful: bool) -> None:
    for _ in range(1 + int(settings().forced_seconds / _POLL_SECONDS)):
        found = _completeness(request)
        if not found.unchanged:
            raise GlioLoopError("SUPERSEDED")
        if found.stable or not doubtful:
            return
        DBOS.sleep(_POLL_SECONDS)
