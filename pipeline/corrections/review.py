"""What people made of the results: the review state of a study, and agreement over time."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Ordered
from datetime import datetime
from enum import StrEnum
from statistics import fmean, median
from types import MappingProxyType
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Gauge

from pipeline.case.job import JobView
from pipeline.corrections.decisions import Decision, Decisions
from pipeline.corrections.pseudonyms import Pseudonyms
from pipeline.corrections.readers import Readers, readers_of, standing
from pipeline.corrections.record import CaseKind, CaseRecord, ShownCase
from pipeline.corrections.store import CorrectionStore
from pipeline.errors.records import ErrorRecord
from pipeline.names import TUMOUR_REGIONS
from pipeline.records import Record

#: Corrections that the agreement shown as a metric is taken over.
RECENT: Final = 20
_NONE_FAILED: Final[Mapping[str, ErrorRecord]] = MappingProxyType({})


class ReviewState(StrEnum):
    """How far a study's contours have come."""

    NONE = "none"
    AUTOMATIC = "automatic"
    SENT = "sent"
    CORRECTED = "corrected"
    ACCEPTED = "accepted"
    ACCEPT_FAILED = "accept_failed"
    HOLES_FILLED = "holes_filled"
    SENT_BACK = "sent_back"


class ReviewMark(Record):
    """How far the contours of a job have come.

    Attributes
    ----------
    trusted
        Whether the correction is learnt from; None where there is none.
    decision
        Who accepted the result in the dashboard or sent it back, and why; None where nobody did.
    error
        Why what was accepted could not be written; it can be accepted again.
    """

    state: ReviewState
    trusted: bool | None
    decision: Decision | None = None
    error: ErrorRecord | None = None


class Review(ReviewMark):
    """How far the contours of a study have come.

    Attributes
    ----------
    since
        UTC, ISO 8601; None where there are no contours.
    model
        Which network drew them.
    feedback
        The study's corrections with their differences, latest first, without consensus that is stale.
    readers
        Whose corrections they are, and how those agree.
    """

    since: str | None
    model: str | None
    feedback: tuple[ShownCase, ...]
    readers: Readers


class AgreementPoint(Record):
    """One region of one correction.

    Attributes
    ----------
    at, case, model, region, kind, trusted
        When it came, and what it is about.
    dice, hd95_mm, added_ml, removed_ml
        See :class:`pipeline.corrections.record.RegionDifference`.
    dice_recent
        Mean Dice of the same model and region up to it, over :data:`RECENT` cases at most.
    """

    at: str
    case: str
    model: str
    region: str
    kind: str
    trusted: bool
    dice: float
    dice_recent: float
    hd95_mm: float | None
    added_ml: float
    removed_ml: float


class AgreementSummary(Record):
    """A network and a region.

    Attributes
    ----------
    n
        Number of cases.
    dice_mean, dice_median, hd95_mm_median
        Over them; no distance where a region was empty in all.
    unchanged
        Share left as drawn, 0-1.
    first, last
        When the first and the last of them came.
    """

    model: str
    region: str
    n: int
    dice_mean: float
    dice_median: float
    hd95_mm_median: float | None
    unchanged: float
    first: str
    last: str


class Agreement(Record):
    """Agreement between automatic and reviewed contours."""

    points: tuple[AgreementPoint, ...]
    summary: tuple[AgreementSummary, ...]


def review_of(
    store: CorrectionStore,
    orthanc_id: str,
    study_instance_uid: str,
    jobs: Ordered[JobView],
    failed: Mapping[str, ErrorRecord] = _NONE_FAILED,
) -> Review:
    """Derive the review state of a study.

    Parameters
    ----------
    store
        The store of corrections.
    orthanc_id, study_instance_uid
        The study's two names.
    jobs
        Its jobs, latest first.
    failed
        Why what was accepted could not be written, by the jobs' ids.

    Returns
    -------
    Review
        Contours that a later job drew have not been reviewed, whatever was said of earlier ones.
    """
    kept = store.of_study(orthanc_id, study_instance_uid)
    cases, readers = tuple(standing(kept)), readers_of(kept)
    job = next((one for one in jobs if one.has_objects), None)
    newest = cases[0] if cases else None
    decision = Decisions(store.database).of([job.id]).get(job.id) if job is not None else None
    if newest is not None and (job is None or newest.job == job.id or _after(newest.received, str(job.created))):
        state, since, model, trusted = ReviewState(newest.kind), newest.received, newest.model, newest.trusted
        mark = ReviewMark(state=state, trusted=trusted, decision=decision)
        return Review(**dict(mark), since=since, model=model, feedback=cases, readers=readers)
    if job is not None:
        return Review(
            **dict(_mark(job, None, decision, failed.get(job.id))),
            since=decision.at if decision else job.updated,
            model=job.model,
            feedback=cases,
            readers=readers,
        )
    return Review(state=ReviewState.NONE, since=None, model=None, trusted=None, feedback=cases, readers=readers)


def reviews_of(
    store: CorrectionStore, jobs: Ordered[JobView], failed: Mapping[str, ErrorRecord] = _NONE_FAILED
) -> dict[str, ReviewMark]:
    """Derive how far the contours of each of many jobs have come, for lists.

    Parameters
    ----------
    store
        The store of corrections; only cases of these jobs' studies are read.
    jobs
        The jobs.
    failed
        As in :func:`review_of`.

    Returns
    -------
    dict
        By job id. A correction counts for the job that drew what it corrects.
    """
    drawn = {job.id: job for job in jobs if job.has_objects}
    pseudonyms = Pseudonyms.of_installation(store.database)
    names = {name for job in drawn.values() for name in (str(job.study), str(job.study_instance_uid))}
    corrections: dict[str, CaseRecord] = {}
    for case in standing(store.of_studies(map(pseudonyms.study, names))):
        corrections.setdefault(case.job, case)
    decisions = Decisions(store.database).of(drawn)
    return {job.id: _mark(job, corrections.get(job.id), decisions.get(job.id), failed.get(job.id)) for job in jobs}


def _mark(
    job: JobView, correction: CaseRecord | None, decision: Decision | None, failure: ErrorRecord | None
) -> ReviewMark:
    if not job.has_objects:
        return ReviewMark(state=ReviewState.NONE, trusted=None)
    if correction is not None:
        return ReviewMark(state=ReviewState(correction.kind), trusted=correction.trusted, decision=decision)
    if decision is not None and decision.verdict == "accepted" and failure is not None:
        return ReviewMark(state=ReviewState.ACCEPT_FAILED, trusted=None, decision=decision, error=failure)
    if decision is not None:
        return ReviewMark(state=ReviewState(decision.verdict), trusted=None, decision=decision)
    return ReviewMark(state=ReviewState.SENT if job.delivered else ReviewState.AUTOMATIC, trusted=None)


def _after(one: str, other: str) -> bool:
    return datetime.fromisoformat(one) > datetime.fromisoformat(other)


def agreement(cases: Iterable[CaseRecord]) -> Agreement:
    """Agreement between automatic and reviewed contours, in the order of time, per region and model version.

    Only regions that were drawn count: one taken over from the automatic result agrees by construction. What may be a
    viewer's doing does not count, nor does a consensus: its readers do.
    """
    points: list[AgreementPoint] = []
    recent: dict[tuple[str, str], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
    for case in sorted(cases, key=lambda one: one.received):
        for name, region in case.regions.items():
            if region.drawn and _by_a_person(case):
                last = recent[case.model, name]
                last.append(region.dice)
                points.append(
                    AgreementPoint(
                        at=case.received,
                        case=case.id,
                        model=case.model,
                        region=name,
                        kind=case.kind,
                        trusted=case.trusted,
                        dice=region.dice,
                        dice_recent=round(fmean(last), 4),
                        hd95_mm=region.hd95_mm,
                        added_ml=region.added_ml,
                        removed_ml=region.removed_ml,
                    )
                )
    return Agreement(points=tuple(points), summary=_summary(points))


def _by_a_person(case: CaseRecord) -> bool:
    return case.kind != "holes_filled" and not case.consensus_of


def _summary(points: list[AgreementPoint]) -> tuple[AgreementSummary, ...]:
    groups: dict[tuple[str, str], list[AgreementPoint]] = defaultdict(list)
    for point in points:
        groups[point.model, point.region].append(point)
    rows = []
    for (model, region), members in sorted(groups.items()):
        distances = [one.hd95_mm for one in members if one.hd95_mm is not None]
        rows.append(
            AgreementSummary(
                model=model,
                region=region,
                n=len(members),
                dice_mean=round(fmean(one.dice for one in members), 4),
                dice_median=round(median(one.dice for one in members), 4),
                hd95_mm_median=round(median(distances), 2) if distances else None,
                unchanged=round(fmean(one.added_ml + one.removed_ml == 0 for one in members), 3),
                first=members[0].at,
                last=members[-1].at,
            )
        )
    return tuple(rows)


def collect_metrics(store: CorrectionStore, registry: CollectorRegistry) -> None:
    """Add the loop's figures to Prometheus metrics."""
    cases = store.cases()
    kept = Gauge("glioloop_feedback_cases", "Cases in the store of corrections", ["kind"], registry=registry)
    for kind in get_args(CaseKind):
        kept.labels(kind).set(sum(case.kind == kind for case in cases))
    Gauge("glioloop_feedback_bytes", "Size of the store of corrections", registry=registry).set(store.size_bytes())
    dice = Gauge(
        "glioloop_feedback_dice",
        f"Mean Dice of automatic and reviewed contours over the last {RECENT} cases",
        ["region", "model"],
        registry=registry,
    )
    recent: dict[tuple[str, str], list[float]] = defaultdict(list)
    for case in filter(_by_a_person, cases):
        for region in TUMOUR_REGIONS:
            found = case.regions.get(region.value)
            if found is not None and found.drawn and len(recent[region.value, case.model]) < RECENT:
                recent[region.value, case.model].append(found.dice)
    for (name, model), values in recent.items():
        dice.labels(name, model).set(fmean(values))
